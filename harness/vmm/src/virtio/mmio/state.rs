//! A transport and its device, for a snapshot.

use virtio_bindings::virtio_config::VIRTIO_CONFIG_S_FEATURES_OK;
use virtio_queue::{Queue, QueueState};

use super::{MmioTransport, Running};
use crate::virtio::device::{DeviceError, DeviceState};

/// What [`MmioTransport::save`] takes and [`MmioTransport::restore`] gives to
/// a new one. Guest memory, which the queues lie in, is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportState {
    pub(super) device_type: u32,
    device: DeviceState,
    /// Whether the device was at work.
    active: bool,
    status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    pub(super) driver_features: u64,
    queue_select: u32,
    pub(super) queues: Vec<QueueState>,
    interrupt_status: u32,
    broken: bool,
    config_generation: u32,
}

impl MmioTransport {
    /// Stops the device, with every request finished or not begun, and says
    /// how it stands. No vCPU may run until [`MmioTransport::resume`].
    ///
    /// # Errors
    /// The device could not be stopped in order; it does not work any more.
    pub fn save(&mut self) -> Result<TransportState, DeviceError> {
        self.deactivate()?;
        Ok(TransportState {
            device_type: self.device.device_type(),
            device: self.device.save(),
            active: self.running == Running::Stopped,
            status: self.status,
            device_features_select: self.device_features_select,
            driver_features_select: self.driver_features_select,
            driver_features: self.driver_features,
            queue_select: self.queue_select,
            queues: self.queues.iter().map(Queue::state).collect(),
            interrupt_status: self.interrupt.status(),
            broken: self.interrupt.is_broken(),
            config_generation: self.interrupt.generation(),
        })
    }

    /// Goes on after [`MmioTransport::save`]; nothing for a device that was
    /// not at work.
    ///
    /// # Errors
    /// The device does not start; the driver is told to reset it.
    pub fn resume(&mut self) -> Result<(), DeviceError> {
        if self.running != Running::Stopped {
            return Ok(());
        }
        self.running = Running::Idle;
        self.activate(true).inspect_err(|error| self.give_up(error))
    }

    /// Becomes what `state` was taken from. To be called on a new transport
    /// of the same kind of device, with the guest memory of that time, and with
    /// the interrupt's line and the kicks registered; a device that was at work
    /// is at work when this returns.
    ///
    /// # Errors
    /// [`DeviceError::State`] if the device is another, or why it does not
    /// start.
    pub fn restore(&mut self, state: &TransportState) -> Result<(), DeviceError> {
        let mismatch = |what: &str| DeviceError::State(format!("{}: {what}", self.name));
        if state.device_type != self.device.device_type() {
            return Err(mismatch("the snapshot has a device of another type"));
        }
        // What the driver has only written so far may be anything.
        let agreed = state.status & VIRTIO_CONFIG_S_FEATURES_OK != 0;
        if agreed && state.driver_features & !self.device.features() != 0 {
            return Err(mismatch(
                "the snapshot's driver uses features that are not offered",
            ));
        }
        let sizes = state.queues.iter().map(|queue| &queue.max_size);
        if !sizes.eq(self.device.queue_sizes()) {
            return Err(mismatch("the snapshot has other queues"));
        }
        let queues = state.queues.iter().enumerate().map(|(index, &queue)| {
            Queue::try_from(queue).map_err(|e| DeviceError::Queue {
                index,
                reason: e.to_string(),
            })
        });
        self.queues = queues.collect::<Result<_, _>>()?;
        self.device.restore(&state.device)?;
        self.status = state.status;
        self.device_features_select = state.device_features_select;
        self.driver_features_select = state.driver_features_select;
        self.driver_features = state.driver_features;
        self.queue_select = state.queue_select;
        self.interrupt
            .restore(
                state.interrupt_status,
                state.broken,
                state.config_generation,
            )
            .map_err(|source| DeviceError::System {
                what: "interrupt",
                source,
            })?;
        if !state.active {
            return Ok(());
        }
        // The driver may wait for what the device told it last.
        self.interrupt
            .used()
            .map_err(|source| DeviceError::System {
                what: "interrupt",
                source,
            })?;
        self.activate(true).inspect_err(|error| self.give_up(error))
    }
}
