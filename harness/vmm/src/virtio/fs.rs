//! The file system device (virtio 1.2, section 5.11), served by a
//! vhost-user-fs backend: the front end hands it guest memory, the queues and
//! their eventfds, and no request passes through here.

mod connection;
mod deadline;
mod hang_up;
mod rings;

use std::fmt;
use std::path::Path;

use vhost::VringConfigData;
use virtio_bindings::virtio_ids::VIRTIO_ID_FS;
use virtio_queue::{Queue, QueueT};

use crate::memory::Memory;
use crate::virtio::device::{Activation, ActiveQueue, Device, DeviceError};
use crate::virtio::worker::Worker;
use connection::{Connection, Start};
use hang_up::HangUp;

/// Bytes of a tag at most, and where the number of request queues follows.
const MAX_TAG: usize = 36;

/// Sizes of the high-priority queue, which takes FORGET, and of the one
/// request queue. A request of Linux 6.12 has up to 256 pages of data
/// (`FUSE_MAX_MAX_PAGES`, fs/fuse/fuse_i.h) and 4 descriptors beside them
/// (`FUSE_HEADER_OVERHEAD`, fs/fuse/virtio_fs.c); a driver that finds the queue
/// shorter than that splits what it reads and writes.
const QUEUE_SIZES: [u16; 2] = [512; 2];

/// A share of a vhost-user-fs backend.
pub struct Fs {
    tag: String,
    /// `struct virtio_fs_config`.
    config: [u8; MAX_TAG + 4],
    connection: Connection,
    active: Option<Active>,
}

/// What goes back to the transport, and what is watched meanwhile.
struct Active {
    memory: Memory,
    queues: Vec<Queue>,
    watch: Worker<HangUp>,
}

impl Fs {
    /// Connects to the backend that listens on `socket` and agrees with it on
    /// what both can do. A guest mounts the share by its tag.
    ///
    /// # Errors
    /// [`DeviceError::Backend`], which names the socket: nobody listens there,
    /// nobody answers, or who does is no backend this device can use. Or the
    /// tag has not 1 to 36 bytes, or has a zero among them.
    pub fn connect(tag: &str, socket: &Path) -> Result<Self, DeviceError> {
        let config = config(tag).ok_or_else(|| {
            DeviceError::Backend(format!(
                "tag {tag:?}: a tag has 1 to {MAX_TAG} bytes, none of them 0"
            ))
        })?;
        Ok(Fs {
            tag: tag.to_owned(),
            config,
            connection: Connection::open(socket, QUEUE_SIZES.len())?,
            active: None,
        })
    }
}

impl fmt::Debug for Fs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fs")
            .field("tag", &self.tag)
            .field("connection", &self.connection)
            .field("active", &self.active.is_some())
            .finish()
    }
}

impl Device for Fs {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_FS
    }

    fn name(&self) -> String {
        format!("fs {}", self.tag)
    }

    fn features(&self) -> u64 {
        self.connection.features()
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.config.get(offset..))
            .unwrap_or_default();
        let len = rest.len().min(data.len());
        data[..len].copy_from_slice(&rest[..len]);
    }

    fn activate(&mut self, activation: Activation) -> Result<(), DeviceError> {
        let Activation {
            memory,
            features,
            queues,
            interrupt,
            complaints,
        } = activation;
        // The backend hears of nothing before all of it is found good.
        let rings = rings(&memory, &queues)?;
        let started = self.connection.start(&Start {
            features,
            memory: &memory,
            queues: &queues,
            rings: &rings,
            call: interrupt.line(),
        });
        let mut queues: Vec<_> = queues.into_iter().map(|active| active.queue).collect();
        let watched = started.and_then(|()| {
            let watch = HangUp {
                stream: self.connection.stream()?,
                name: format!("{} on {}", self.name(), self.connection.socket()),
                interrupt,
                complaints,
            };
            Worker::start(&self.name(), watch)
        });
        match watched {
            Ok(watch) => {
                self.active = Some(Active {
                    memory,
                    queues,
                    watch,
                });
                Ok(())
            }
            Err(error) => {
                // The error that matters is the first one.
                let _ = self.connection.take_back(&mut queues);
                Err(error)
            }
        }
    }

    fn deactivate(&mut self) -> Result<Vec<Queue>, DeviceError> {
        let Some(Active {
            memory,
            mut queues,
            watch,
        }) = self.active.take()
        else {
            return Ok(Vec::new());
        };
        drop(watch);
        self.connection.stop(&memory, &mut queues)?;
        Ok(queues)
    }

    fn interrupts_by_itself(&self) -> bool {
        true
    }
}

/// The tag, zero-padded, and the number of request queues, little endian.
fn config(tag: &str) -> Option<[u8; MAX_TAG + 4]> {
    let mut config = [0; MAX_TAG + 4];
    if tag.is_empty() || tag.len() > MAX_TAG || tag.contains('\0') {
        return None;
    }
    config[..tag.len()].copy_from_slice(tag.as_bytes());
    config[MAX_TAG..].copy_from_slice(&1_u32.to_le_bytes());
    Some(config)
}

/// The addresses of the queues that are ready.
fn rings(
    memory: &Memory,
    queues: &[ActiveQueue],
) -> Result<Vec<Option<VringConfigData>>, DeviceError> {
    if queues.len() != QUEUE_SIZES.len() {
        return Err(DeviceError::Queue {
            index: queues.len(),
            reason: format!("the device has {} queues", QUEUE_SIZES.len()),
        });
    }
    queues
        .iter()
        .enumerate()
        .map(|(index, active)| match active.queue.ready() {
            true => rings::addresses(index, &active.queue, memory).map(Some),
            false => Ok(None),
        })
        .collect()
}

#[cfg(test)]
mod tests;
