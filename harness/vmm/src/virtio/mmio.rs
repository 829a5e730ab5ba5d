//! The MMIO transport, version 2 (virtio 1.2, section 4.2).
//!
//! The registers of one device, seen by the driver as a page of memory. Which
//! of them can be written depends on how far the driver has come with the
//! device ([`status`]); a driver that writes others is ignored and complained
//! about, since it can't be told.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod hostile;
mod queues;
mod state;
mod status;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use virtio_bindings::virtio_mmio::*;
use virtio_queue::{Queue, QueueT};
use vm_device::MutDeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};
use vmm_sys_util::eventfd::EventFd;

pub use state::TransportState;

use crate::complaints::Complaints;
use crate::memory::Memory;
use crate::virtio::device::{Device, DeviceError};
use crate::virtio::interrupt::Interrupt;

/// `virt`, which tells the driver that there is a device.
const MAGIC: u32 = u32::from_le_bytes(*b"virt");
/// The version without legacy registers.
const VERSION: u32 = 2;
/// Whose device this is; no driver cares.
const VENDOR: u32 = u32::from_le_bytes(*b"lkbk");
/// What a shared memory region that does not exist has for length and base.
const NO_REGION: u32 = u32::MAX;

/// One device and its registers.
#[derive(Debug)]
pub struct MmioTransport {
    device: Box<dyn Device>,
    name: String,
    memory: Memory,
    complaints: Complaints,
    interrupt: Arc<Interrupt>,
    kicks: Vec<EventFd>,
    /// `VIRTIO_CONFIG_S_*` without `NEEDS_RESET`, which the interrupt knows.
    status: u32,
    running: Running,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    /// As the driver set them up; the device works with queues of its own.
    queues: Vec<Queue>,
    /// A guest that probes what is not there is complained about once.
    saw_odd_access: bool,
}

/// What the device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    /// Nothing: the driver is not done with it, or it failed to start.
    Idle,
    /// It works.
    Active,
    /// It was stopped in its work, by [`MmioTransport::save`].
    Stopped,
}

impl MmioTransport {
    /// Bytes of the address space that the registers take.
    pub const SIZE: u64 = 0x1000;

    /// Registers of a device that the driver has not found yet.
    ///
    /// # Errors
    /// [`DeviceError::System`] if there is no eventfd to be had,
    /// [`DeviceError::Queue`] if the device has queues of an impossible size.
    pub fn new(
        device: Box<dyn Device>,
        memory: Memory,
        complaints: Complaints,
    ) -> Result<Self, DeviceError> {
        let eventfd = |source| DeviceError::System {
            what: "eventfd",
            source,
        };
        let queues = device.queue_sizes().iter().enumerate();
        let queues = queues.map(|(index, &size)| {
            Queue::new(size).map_err(|e| DeviceError::Queue {
                index,
                reason: e.to_string(),
            })
        });
        let queues = queues.collect::<Result<Vec<_>, _>>()?;
        let kicks = queues.iter().map(|_| EventFd::new(libc::EFD_NONBLOCK));
        Ok(MmioTransport {
            name: device.name(),
            interrupt: Arc::new(Interrupt::new().map_err(eventfd)?),
            kicks: kicks.collect::<io::Result<_>>().map_err(eventfd)?,
            device,
            memory,
            complaints,
            status: 0,
            running: Running::Idle,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            queues,
            saw_odd_access: false,
        })
    }

    /// The device's interrupt; its line is an irqfd's.
    pub fn interrupt(&self) -> &Arc<Interrupt> {
        &self.interrupt
    }

    /// One for each queue, in order: ioeventfds of a 32-bit write of the
    /// queue's number to `VIRTIO_MMIO_QUEUE_NOTIFY`. A write that comes in by
    /// [`MutDeviceMmio::mmio_write`] does the same.
    pub fn kicks(&self) -> &[EventFd] {
        &self.kicks
    }

    /// The device's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn complain(&self, what: impl Display) {
        self.complaints.push(format_args!("{}: {what}", self.name));
    }

    fn odd_access(&mut self, what: &str, offset: u64, len: usize) {
        if !self.saw_odd_access {
            self.saw_odd_access = true;
            self.complain(format_args!(
                "the guest {what} {len} bytes at {offset:#x} of the registers, \
                 where there is no such register"
            ));
        }
    }

    /// `None` for what can't be read.
    fn read_register(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_DEVICE_ID => self.device.device_type(),
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => {
                word(self.device.features(), self.device_features_select)
            }
            VIRTIO_MMIO_QUEUE_NUM_MAX => self
                .selected()
                .map_or(0, |queue| u32::from(queue.max_size())),
            VIRTIO_MMIO_QUEUE_READY => {
                u32::from(self.selected().is_some_and(|queue| queue.ready()))
            }
            VIRTIO_MMIO_INTERRUPT_STATUS if self.device.interrupts_by_itself() => {
                self.interrupt.status() | VIRTIO_MMIO_INT_VRING
            }
            VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupt.status(),
            VIRTIO_MMIO_STATUS => self.read_status(),
            VIRTIO_MMIO_SHM_LEN_LOW
            | VIRTIO_MMIO_SHM_LEN_HIGH
            | VIRTIO_MMIO_SHM_BASE_LOW
            | VIRTIO_MMIO_SHM_BASE_HIGH => NO_REGION,
            VIRTIO_MMIO_CONFIG_GENERATION => self.interrupt.generation(),
            _ => return None,
        })
    }

    /// Whether there is such a register to be written.
    fn write_register(&mut self, offset: u32, value: u32) -> bool {
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES => self.write_driver_features(value),
            VIRTIO_MMIO_QUEUE_SEL => self.queue_select = value,
            VIRTIO_MMIO_QUEUE_NUM
            | VIRTIO_MMIO_QUEUE_DESC_LOW
            | VIRTIO_MMIO_QUEUE_DESC_HIGH
            | VIRTIO_MMIO_QUEUE_AVAIL_LOW
            | VIRTIO_MMIO_QUEUE_AVAIL_HIGH
            | VIRTIO_MMIO_QUEUE_USED_LOW
            | VIRTIO_MMIO_QUEUE_USED_HIGH => self.set_up_queue(offset, value),
            VIRTIO_MMIO_QUEUE_READY => self.set_queue_ready(value),
            VIRTIO_MMIO_QUEUE_NOTIFY => return self.notify(value),
            VIRTIO_MMIO_INTERRUPT_ACK => self.interrupt.acknowledge(value),
            VIRTIO_MMIO_STATUS => self.write_status(value),
            // No device has a region to be selected.
            VIRTIO_MMIO_SHM_SEL => {}
            _ => return false,
        }
        true
    }

    fn notify(&mut self, queue: u32) -> bool {
        let kick = usize::try_from(queue).ok().and_then(|i| self.kicks.get(i));
        let Some(kick) = kick else { return false };
        match kick.write(1) {
            // A counter that is full wakes the device up as well.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.complain(format_args!("queue {queue} can't be notified: {error}"));
            }
            _ => {}
        }
        true
    }
}

impl MutDeviceMmio for MmioTransport {
    fn mmio_read(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        data.fill(0);
        let config = u64::from(VIRTIO_MMIO_CONFIG);
        let value = if let Some(offset) = offset.checked_sub(config) {
            if matches!(data.len(), 1 | 2 | 4 | 8) {
                return self.device.read_config(offset, data);
            }
            None
        } else {
            let register = u32::try_from(offset).ok();
            register.and_then(|register| self.read_register(register))
        };
        match (value, <&mut [u8; 4]>::try_from(&mut *data)) {
            (Some(value), Ok(word)) => *word = value.to_le_bytes(),
            _ => self.odd_access("read", offset, data.len()),
        }
    }

    fn mmio_write(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        let value = <[u8; 4]>::try_from(data).map(u32::from_le_bytes);
        let known = match (u32::try_from(offset), value) {
            (Ok(offset), Ok(value)) => self.write_register(offset, value),
            _ => false,
        };
        if !known {
            self.odd_access("wrote", offset, data.len());
        }
    }
}

/// A half of `bits`; there are only two.
fn word(bits: u64, select: u32) -> u32 {
    let [a, b, c, d, e, f, g, h] = bits.to_le_bytes();
    match select {
        0 => u32::from_le_bytes([a, b, c, d]),
        1 => u32::from_le_bytes([e, f, g, h]),
        _ => 0,
    }
}

/// `bits` with a half replaced.
fn with_word(bits: u64, high: bool, value: u32) -> u64 {
    if high {
        u64::from(word(bits, 0)) | u64::from(value) << 32
    } else {
        u64::from(word(bits, 1)) << 32 | u64::from(value)
    }
}
