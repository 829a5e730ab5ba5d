//! A block device on a raw image (virtio 1.2, section 5.2).

mod config;
mod disk;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod model;
mod request;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use virtio_bindings::virtio_blk::{VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use virtio_queue::Queue;

pub use disk::ImageError;

use crate::complaints::Complaints;
use crate::memory::Memory;
use crate::virtio::blk::config::Config;
use crate::virtio::blk::disk::Disk;
use crate::virtio::device::{Activation, ActiveQueue, Device, DeviceError};
use crate::virtio::drain::{QueueError, Step, drain};
use crate::virtio::interrupt::Interrupt;
use crate::virtio::worker::Worker;

/// Requests that the driver may have under way.
const QUEUE_SIZE: u16 = 256;

/// A disk of the guest. One thread serves its one queue, in order.
#[derive(Debug)]
pub struct Blk {
    serial: String,
    readonly: bool,
    config: Config,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle(Disk),
    Working(Worker<Requests>),
    /// The thread took the disk with it.
    Lost,
}

impl Blk {
    /// Opens the image and locks it (flock(2)) until the device is dropped: no
    /// other guest may have it, or none that writes if `readonly`. The guest
    /// sees the first 20 bytes of `serial` as the disk's serial number, and as
    /// many whole sectors of 512 bytes as there are.
    ///
    /// # Errors
    /// [`ImageError`], which names the file.
    pub fn open(path: &Path, serial: &str, readonly: bool) -> Result<Self, ImageError> {
        let disk = Disk::open(path, serial, readonly)?;
        Ok(Blk {
            serial: serial.to_owned(),
            readonly,
            config: Config::new(disk.sectors, QUEUE_SIZE),
            state: State::Idle(disk),
        })
    }
}

impl Device for Blk {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn name(&self) -> String {
        format!("blk {}", self.serial)
    }

    fn features(&self) -> u64 {
        let readonly = if self.readonly {
            1 << VIRTIO_BLK_F_RO
        } else {
            0
        };
        config::FEATURES | readonly
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    fn activate(&mut self, activation: Activation) -> Result<(), DeviceError> {
        let name = self.name();
        let queue = activation.queues.into_iter().next();
        let queue = queue.ok_or_else(|| DeviceError::State(format!("{name} has no queue")))?;
        let mut disk = match std::mem::replace(&mut self.state, State::Lost) {
            State::Idle(disk) => disk,
            State::Working(worker) => worker.stop()?.disk,
            State::Lost => {
                return Err(DeviceError::State(format!(
                    "{name}: the image went with its thread"
                )));
            }
        };
        disk.write_through = activation.features & (1 << VIRTIO_BLK_F_FLUSH) == 0;
        let requests = Requests {
            name,
            disk,
            memory: activation.memory,
            queue,
            interrupt: activation.interrupt,
            complaints: activation.complaints,
        };
        self.state = State::Working(Worker::start(&self.name(), requests)?);
        Ok(())
    }

    fn deactivate(&mut self) -> Result<Vec<Queue>, DeviceError> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Working(worker) => {
                let requests = worker.stop()?;
                self.state = State::Idle(requests.disk);
                Ok(vec![requests.queue.queue])
            }
            other => {
                self.state = other;
                Ok(Vec::new())
            }
        }
    }
}

/// The queue at work, and all that a request needs.
#[derive(Debug)]
struct Requests {
    name: String,
    disk: Disk,
    memory: Memory,
    queue: ActiveQueue,
    interrupt: Arc<Interrupt>,
    complaints: Complaints,
}

impl Requests {
    /// Serves what there is. A queue that is broken is left alone from then
    /// on, until the driver resets the device.
    fn serve(&mut self) {
        if self.interrupt.is_broken() {
            return;
        }
        let Requests {
            name,
            disk,
            memory,
            queue,
            interrupt,
            complaints,
        } = self;
        let served = drain(queue, memory, interrupt, |chain| {
            let answer = disk.serve(chain).map_err(QueueError::request)?;
            if let Some(complaint) = answer.complaint {
                complaints.push(format_args!("{name}: {complaint}"));
            }
            Ok(Step::Used(answer.len))
        });
        if let Err(error) = served {
            self.complain(&error);
            if let Err(error) = self.interrupt.needs_reset() {
                self.complain(&error);
            }
        }
    }

    fn complain(&self, error: &dyn std::error::Error) {
        self.complaints
            .push(format_args!("{}: queue 0: {error}", self.name));
    }
}

impl MutEventSubscriber for Requests {
    fn process(&mut self, _events: Events, _ops: &mut EventOps) {
        // Another wake-up may have emptied it already.
        let _ = self.queue.kick.read();
        self.serve();
    }

    fn init(&mut self, ops: &mut EventOps) {
        if let Err(error) = ops.add(Events::new(&self.queue.kick, EventSet::IN)) {
            self.complaints.push(format_args!(
                "{}: the queue can't be watched: {error:?}",
                self.name
            ));
        }
        self.serve();
    }
}
