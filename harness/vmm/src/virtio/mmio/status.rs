//! How far the driver has come with the device (virtio 1.2, sections 2.1, 3.1).

use std::sync::Arc;

use virtio_bindings::virtio_config::*;
use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Queue, QueueT};

use super::{MmioTransport, Running, queues, with_word};
use crate::virtio::device::{Activation, ActiveQueue, DeviceError};

/// Each step and the one it needs.
const STEPS: [(u32, u32); 3] = [
    (VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_ACKNOWLEDGE),
    (VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER),
    (VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK),
];
/// Every bit that a driver sets.
const DRIVERS: u32 = VIRTIO_CONFIG_S_ACKNOWLEDGE
    | VIRTIO_CONFIG_S_DRIVER
    | VIRTIO_CONFIG_S_FEATURES_OK
    | VIRTIO_CONFIG_S_DRIVER_OK
    | VIRTIO_CONFIG_S_FAILED;

impl MmioTransport {
    pub(super) fn read_status(&self) -> u32 {
        if self.interrupt.is_broken() {
            self.status | VIRTIO_CONFIG_S_NEEDS_RESET
        } else {
            self.status
        }
    }

    pub(super) fn write_status(&mut self, value: u32) {
        if value == 0 {
            return self.reset();
        }
        // A driver adds a bit to what it has read.
        let mut value = value & !VIRTIO_CONFIG_S_NEEDS_RESET;
        if self.status & !value != 0 || value & !DRIVERS != 0 {
            return self.complain(format_args!(
                "the guest sets the status from {:#x} to {value:#x}",
                self.status
            ));
        }
        let added = value & !self.status;
        if added & VIRTIO_CONFIG_S_FEATURES_OK != 0
            && let Err(reason) = self.check_features()
        {
            self.complain(reason);
            value &= !VIRTIO_CONFIG_S_FEATURES_OK;
        }
        for (step, needs) in STEPS {
            if value & step != 0 && value & needs == 0 {
                self.complain(format_args!(
                    "the guest sets the status bit {step:#x} without {needs:#x}"
                ));
                value &= !step;
            }
        }
        self.status = value;
        if added & value & VIRTIO_CONFIG_S_DRIVER_OK != 0
            && let Err(error) = self.activate(false)
        {
            self.give_up(&error);
        }
    }

    pub(super) fn write_driver_features(&mut self, value: u32) {
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            return self.complain("the guest changes features that are agreed on");
        }
        match self.driver_features_select {
            select @ 0..=1 => {
                self.driver_features = with_word(self.driver_features, select == 1, value);
            }
            _ if value == 0 => {}
            select => self.complain(format_args!(
                "the guest accepts features {value:#x} of word {select}, which has none"
            )),
        }
    }

    /// Starts the device with the queues as they stand. `again` if it has
    /// worked with them before: a notification may have come in meanwhile.
    pub(super) fn activate(&mut self, again: bool) -> Result<(), DeviceError> {
        let event_idx = self.driver_features & (1 << VIRTIO_RING_F_EVENT_IDX) != 0;
        let mut active = Vec::new();
        for (index, (queue, kick)) in self.queues.iter_mut().zip(&self.kicks).enumerate() {
            queue.set_event_idx(event_idx);
            if queue.ready() {
                queues::check(queue, &self.memory)
                    .map_err(|reason| DeviceError::Queue { index, reason })?;
            }
            let own = Queue::try_from(queue.state()).map_err(|e| DeviceError::Queue {
                index,
                reason: e.to_string(),
            })?;
            let eventfd = |source| DeviceError::System {
                what: "eventfd",
                source,
            };
            if again && queue.ready() {
                kick.write(1).map_err(eventfd)?;
            }
            active.push(ActiveQueue {
                // What it has not told the driver yet is not in its state.
                queue: std::mem::replace(queue, own),
                kick: kick.try_clone().map_err(eventfd)?,
            });
        }
        self.device.activate(Activation {
            memory: self.memory.clone(),
            features: self.driver_features,
            queues: active,
            interrupt: Arc::clone(&self.interrupt),
            complaints: self.complaints.clone(),
        })?;
        self.running = Running::Active;
        Ok(())
    }

    /// Stops the device, and takes its queues as they stand.
    pub(super) fn deactivate(&mut self) -> Result<(), DeviceError> {
        if self.running != Running::Active {
            return Ok(());
        }
        self.running = Running::Idle;
        let queues = self.device.deactivate()?;
        if queues.len() != self.queues.len() {
            return Err(DeviceError::State(format!(
                "{} gave {} of its {} queues back",
                self.name,
                queues.len(),
                self.queues.len()
            )));
        }
        self.queues = queues;
        self.running = Running::Stopped;
        Ok(())
    }

    /// The device stays as it is until the driver resets it.
    pub(super) fn give_up(&mut self, error: &DeviceError) {
        self.complain(error);
        if let Err(error) = self.interrupt.needs_reset() {
            self.complain(format_args!("the driver can't be told: {error}"));
        }
    }

    fn reset(&mut self) {
        if let Err(error) = self.deactivate() {
            self.complain(error);
        }
        self.device.reset();
        self.running = Running::Idle;
        for kick in &self.kicks {
            // Empty is as good as emptied.
            let _ = kick.read();
        }
        self.interrupt.reset();
        self.status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
        for queue in &mut self.queues {
            queue.reset();
        }
    }

    fn check_features(&self) -> Result<(), String> {
        let unknown = self.driver_features & !self.device.features();
        if unknown != 0 {
            return Err(format!(
                "the guest accepts features that are not offered: {unknown:#x}"
            ));
        }
        if self.driver_features & (1 << VIRTIO_F_VERSION_1) == 0 {
            return Err("the guest does not accept VIRTIO_F_VERSION_1".to_owned());
        }
        Ok(())
    }
}
