//! What every queue of ours goes through when there may be something in it.

use std::io;

use virtio_queue::{QueueOwnedT, QueueT};

use crate::memory::Memory;
use crate::virtio::chain::{Chain, ChainError};
use crate::virtio::device::ActiveQueue;
use crate::virtio::interrupt::Interrupt;

/// Why a queue is not served any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("{0}")]
    Ring(#[from] virtio_queue::Error),
    #[error("eventfd: {0}")]
    Eventfd(#[from] io::Error),
    /// The device can make nothing of a request.
    #[error("{0}")]
    Request(Box<dyn std::error::Error + Send + Sync>),
}

impl QueueError {
    pub fn request(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        QueueError::Request(error.into())
    }
}

/// What becomes of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes back to the driver with this many bytes written.
    Used(u32),
    /// It stays where it is, and what is behind it waits too. Something else
    /// than the driver's notification has to wake the device up.
    Wait,
}

/// Gives every chain of a queue to `each`, until there is none or `each` has
/// to wait, and tells the driver.
///
/// A driver that never runs out of requests must not keep the device's thread
/// from anything else: after as many as the queue holds, the queue kicks
/// itself and has to wait for its turn.
///
/// # Errors
/// The queue is broken, and the device needs a reset.
pub(super) fn drain(
    active: &mut ActiveQueue,
    memory: &Memory,
    interrupt: &Interrupt,
    mut each: impl FnMut(Chain<'_>) -> Result<Step, QueueError>,
) -> Result<(), QueueError> {
    let ActiveQueue { queue, kick } = active;
    if !queue.ready() {
        return Ok(());
    }
    let mut budget = queue.size();
    loop {
        queue.disable_notification(memory)?;
        let mut used = false;
        let mut wait = false;
        while budget > 0
            && let Some(chain) = Chain::take(queue, memory)?
        {
            budget -= 1;
            let head = chain.head;
            match each(chain)? {
                Step::Used(len) => {
                    queue.add_used(memory, head, len)?;
                    used = true;
                }
                Step::Wait => {
                    queue.go_to_previous_position();
                    wait = true;
                    break;
                }
            }
        }
        if used && queue.needs_notification(memory)? {
            interrupt.used()?;
        }
        if wait {
            return Ok(());
        }
        if budget == 0 {
            return Ok(kick.write(1)?);
        }
        if !queue.enable_notification(memory)? {
            return Ok(());
        }
        budget -= 1;
    }
}
