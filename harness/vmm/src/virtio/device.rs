//! What the transport asks of a device.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use virtio_queue::Queue;
use vmm_sys_util::eventfd::EventFd;

use crate::complaints::Complaints;
use crate::memory::Memory;
use crate::virtio::interrupt::Interrupt;

/// Why a device does not work.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The driver set a queue up in a way that no device can serve.
    #[error("queue {index}: {reason}")]
    Queue {
        /// Which.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The vhost-user backend refused or is gone.
    #[error("vhost-user: {0}")]
    Backend(String),
    /// A snapshot does not fit the device.
    #[error("restore: {0}")]
    State(String),
    /// The device's thread panicked.
    #[error("the device's thread panicked")]
    Panic,
}

/// A virtio device behind a transport. The driver's life with it is: features,
/// queues, [`Device::activate`], work, [`Device::deactivate`] at a reset.
pub trait Device: Debug + Send {
    /// Device type (virtio 1.2, section 5).
    fn device_type(&self) -> u32;

    /// A name for messages, such as `blk lower`.
    fn name(&self) -> String;

    /// Feature bits offered, `VIRTIO_F_VERSION_1` among them.
    fn features(&self) -> u64;

    /// The largest size of each queue; their number is that of the queues.
    fn queue_sizes(&self) -> &[u16];

    /// Reads the configuration space; bytes beyond its end are zero.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// Starts to work. The transport has seen that every queue that is ready
    /// lies in guest memory (`Queue::is_valid`).
    ///
    /// # Errors
    /// The device does not work; the transport says `DEVICE_NEEDS_RESET`.
    fn activate(&mut self, activation: Activation) -> Result<(), DeviceError>;

    /// Stops to work, with every request finished or not begun, and gives the
    /// queues back as they stand; [`Device::activate`] with them goes on. Does
    /// nothing to a device that does not work.
    ///
    /// # Errors
    /// The device has stopped all the same.
    fn deactivate(&mut self) -> Result<Vec<Queue>, DeviceError>;

    /// The driver has reset the device, which does not work then: whatever it
    /// knows of the driver is void.
    fn reset(&mut self) {}

    /// Whether interrupts reach the guest without the device's doing, as from
    /// a vhost-user backend: the interrupt status then always says that a
    /// buffer may have been used.
    fn interrupts_by_itself(&self) -> bool {
        false
    }

    /// What the device knows that neither guest memory nor the queues hold.
    /// Asked of a device that does not work.
    fn save(&self) -> DeviceState {
        DeviceState::None
    }

    /// Becomes the device that `state` was taken from; [`Device::activate`]
    /// with its queues goes on from there.
    ///
    /// # Errors
    /// [`DeviceError::State`]: the state is that of another kind of device.
    fn restore(&mut self, state: &DeviceState) -> Result<(), DeviceError> {
        match state {
            DeviceState::None => Ok(()),
            other => Err(DeviceError::State(format!(
                "{} has no state, but was given {other:?}",
                self.name()
            ))),
        }
    }
}

/// What a device knows by itself, for a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceState {
    /// Nothing: guest memory and the queues say it all.
    #[default]
    None,
    /// A console's port.
    Console(ConsoleState),
}

/// How far a console's port and its driver have come with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsoleState {
    /// The driver asked for the ports.
    pub device_ready: bool,
    /// The driver has the port.
    pub port_ready: bool,
    /// A program in the guest has the port open.
    pub guest_open: bool,
    /// What the driver was last told of the host's end, if anything.
    pub told_open: Option<bool>,
    /// The driver was told the port's name.
    pub told_name: bool,
    /// The driver was told of the port.
    pub told_port: bool,
    /// Bytes already taken from the buffer at the head of the transmit queue.
    pub sent: usize,
}

/// What a device works with.
#[derive(Debug)]
pub struct Activation {
    /// Guest memory.
    pub memory: Memory,
    /// Feature bits the driver accepted, a subset of those offered.
    pub features: u64,
    /// One for each of [`Device::queue_sizes`].
    pub queues: Vec<ActiveQueue>,
    /// The way to the guest.
    pub interrupt: Arc<Interrupt>,
    /// Where the device says what is wrong with the guest or with the host.
    pub complaints: Complaints,
}

/// A queue and its doorbell.
#[derive(Debug)]
pub struct ActiveQueue {
    /// The queue; one that the driver does not use is not ready.
    pub queue: Queue,
    /// Written by KVM when the guest notifies the queue (ioeventfd).
    pub kick: EventFd,
}
