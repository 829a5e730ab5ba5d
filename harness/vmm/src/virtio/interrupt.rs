//! From a device to the guest.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use virtio_bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};
use vmm_sys_util::eventfd::EventFd;

/// A device's interrupt: the status the driver reads, and the line.
#[derive(Debug)]
pub struct Interrupt {
    status: AtomicU32,
    /// Registered with KVM as an irqfd.
    line: EventFd,
    broken: AtomicBool,
    /// Of the configuration space: how often it has changed.
    generation: AtomicU32,
}

impl Interrupt {
    /// An interrupt whose line nobody listens to yet.
    ///
    /// # Errors
    /// Those of eventfd(2).
    pub fn new() -> io::Result<Self> {
        Ok(Interrupt {
            status: AtomicU32::new(0),
            line: EventFd::new(libc::EFD_NONBLOCK)?,
            broken: AtomicBool::new(false),
            generation: AtomicU32::new(0),
        })
    }

    /// The line, for an irqfd or a vhost-user backend's call descriptor.
    pub fn line(&self) -> &EventFd {
        &self.line
    }

    /// Tells the driver that buffers have been used.
    ///
    /// # Errors
    /// Those of write(2) on the line.
    pub fn used(&self) -> io::Result<()> {
        self.raise(VIRTIO_MMIO_INT_VRING)
    }

    /// Tells the driver that the configuration has changed.
    ///
    /// # Errors
    /// As [`Interrupt::used`].
    pub fn config_changed(&self) -> io::Result<()> {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.raise(VIRTIO_MMIO_INT_CONFIG)
    }

    /// Tells the driver that the device can't go on without a reset
    /// (`DEVICE_NEEDS_RESET`; virtio 1.2, section 2.1.2).
    ///
    /// # Errors
    /// As [`Interrupt::used`].
    pub fn needs_reset(&self) -> io::Result<()> {
        self.broken.store(true, Ordering::SeqCst);
        self.config_changed()
    }

    /// Whether [`Interrupt::needs_reset`] was called since the last reset.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// What the driver reads: `VIRTIO_MMIO_INT_*`.
    pub fn status(&self) -> u32 {
        self.status.load(Ordering::SeqCst)
    }

    /// The driver has taken note of these bits.
    pub fn acknowledge(&self, bits: u32) {
        self.status.fetch_and(!bits, Ordering::SeqCst);
    }

    /// How often the configuration has changed (virtio 1.2, 2.5.1).
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Takes up what a snapshot says. A status that asks for the driver's
    /// attention raises the line, since its edge may have been lost.
    ///
    /// # Errors
    /// As [`Interrupt::used`].
    pub fn restore(&self, status: u32, broken: bool, generation: u32) -> io::Result<()> {
        self.broken.store(broken, Ordering::SeqCst);
        self.generation.store(generation, Ordering::SeqCst);
        self.status.store(status, Ordering::SeqCst);
        if status == 0 {
            return Ok(());
        }
        self.line.write(1)
    }

    /// As new: the device was reset.
    pub fn reset(&self) {
        self.broken.store(false, Ordering::SeqCst);
        self.status.store(0, Ordering::SeqCst);
    }

    fn raise(&self, bit: u32) -> io::Result<()> {
        self.status.fetch_or(bit, Ordering::SeqCst);
        self.line.write(1)
    }
}
