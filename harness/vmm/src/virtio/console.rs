//! A console with one generic port (virtio 1.2, section 5.3): a byte stream
//! between a program in the guest and a socket of the host.
//!
//! The guest finds the port by its name (`/sys/class/virtio-ports/*/name`,
//! drivers/char/virtio_console.c). The host's end is open from the start, and
//! closed when the socket's peer has said its last. Bytes stay in the socket
//! until the guest has room for them, and in the guest until the socket has.

#[cfg(test)]
mod bench;
mod control;
#[cfg(test)]
mod hostile;
mod port;
mod serving;
#[cfg(test)]
mod tests;

use std::os::unix::net::UnixStream;

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::Queue;

use crate::virtio::console::port::{Port, Stream};
use crate::virtio::console::serving::Serving;
use crate::virtio::device::{Activation, ConsoleState, Device, DeviceError, DeviceState};
use crate::virtio::worker::Worker;

/// Ports, and a control queue (section 5.3.3).
const F_MULTIPORT: u32 = 1;
const FEATURES: u64 = 1 << VIRTIO_F_VERSION_1
    | 1 << VIRTIO_RING_F_INDIRECT_DESC
    | 1 << VIRTIO_RING_F_EVENT_IDX
    | 1 << F_MULTIPORT;

/// Of the only port: to the guest, from the guest.
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// Of the ports as such.
const CONTROL_RECEIVE: usize = 2;
const CONTROL_TRANSMIT: usize = 3;
const QUEUES: usize = 4;
/// Linux has a page in each buffer.
const QUEUE_SIZES: [u16; QUEUES] = [128, 128, 32, 32];

/// `max_nr_ports` in `struct virtio_console_config`.
const MAX_PORTS_AT: u64 = 4;
const MAX_PORTS: u32 = 1;

/// A port of the guest.
#[derive(Debug)]
pub struct Console {
    port_name: String,
    state: ConsoleState,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Idle(Stream),
    Working(Worker<Serving>),
    /// The thread took the stream with it.
    Lost,
}

impl Console {
    /// A port by this name, whose other end is the peer of `stream`.
    ///
    /// # Errors
    /// [`DeviceError::System`]: the stream can't be made non-blocking.
    pub fn new(port_name: &str, stream: UnixStream) -> Result<Self, DeviceError> {
        let nonblocking = stream.set_nonblocking(true);
        nonblocking.map_err(|source| DeviceError::System {
            what: "the console's socket",
            source,
        })?;
        Ok(Console {
            port_name: port_name.to_owned(),
            state: ConsoleState::default(),
            stage: Stage::Idle(Stream::new(stream)),
        })
    }
}

impl Device for Console {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_CONSOLE
    }

    fn name(&self) -> String {
        format!("console {}", self.port_name)
    }

    fn features(&self) -> u64 {
        FEATURES
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let ports = MAX_PORTS.to_le_bytes();
        for (at, byte) in (offset..=u64::MAX).zip(data) {
            let index = at.checked_sub(MAX_PORTS_AT);
            let index = index.and_then(|index| usize::try_from(index).ok());
            *byte = index.and_then(|index| ports.get(index)).map_or(0, |b| *b);
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<(), DeviceError> {
        let name = self.name();
        let queues = activation.queues.try_into();
        let queues = queues
            .map_err(|_| DeviceError::State(format!("{name} does not have {QUEUES} queues")))?;
        let stream = match std::mem::replace(&mut self.stage, Stage::Lost) {
            Stage::Idle(stream) => stream,
            Stage::Working(worker) => worker.stop()?.port.stream,
            Stage::Lost => {
                return Err(DeviceError::State(format!(
                    "{name}: the socket went with its thread"
                )));
            }
        };
        let multiport = activation.features & (1 << F_MULTIPORT) != 0;
        let serving = Serving {
            port: Port {
                device: name,
                name: self.port_name.clone(),
                stream,
                state: self.state,
                multiport,
                complaints: activation.complaints,
            },
            memory: activation.memory,
            interrupt: activation.interrupt,
            queues,
        };
        self.stage = Stage::Working(Worker::start(&self.name(), serving)?);
        Ok(())
    }

    fn deactivate(&mut self) -> Result<Vec<Queue>, DeviceError> {
        match std::mem::replace(&mut self.stage, Stage::Lost) {
            Stage::Working(worker) => {
                let serving = worker.stop()?;
                self.state = serving.port.state;
                self.stage = Stage::Idle(serving.port.stream);
                let queues = serving.queues.into_iter();
                Ok(queues.map(|active| active.queue).collect())
            }
            other => {
                self.stage = other;
                Ok(Vec::new())
            }
        }
    }

    fn reset(&mut self) {
        self.state = ConsoleState::default();
    }

    fn save(&self) -> DeviceState {
        DeviceState::Console(self.state)
    }

    /// The stream is a new one, whose end is open: a driver that was told
    /// otherwise will be told again.
    fn restore(&mut self, state: &DeviceState) -> Result<(), DeviceError> {
        match state {
            DeviceState::Console(state) => {
                self.state = *state;
                Ok(())
            }
            DeviceState::None => Err(DeviceError::State(format!(
                "{}: the snapshot knows nothing of its port",
                self.name()
            ))),
        }
    }
}
