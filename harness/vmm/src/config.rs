//! What a machine is made of.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::error::Error;
use crate::layout;

/// What a machine is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// A vmlinux or a bzImage.
    pub kernel: PathBuf,
    /// cpio archive that the kernel unpacks as its root.
    pub initramfs: PathBuf,
    /// Kernel parameters behind those that describe the machine; a later
    /// parameter wins where the kernel takes the last.
    pub cmdline: String,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// vCPUs, 1 to 8.
    pub cpus: u8,
    /// Name of the virtio-serial port that [`Streams::control`] is behind.
    pub control_port: String,
    /// virtio-blk devices.
    pub disks: Vec<Disk>,
    /// virtiofs devices.
    pub shares: Vec<Share>,
}

/// A raw image given to the guest as a virtio-blk device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image; nobody else may hold it while the guest runs.
    pub path: PathBuf,
    /// Serial number, at most 20 bytes (virtio 1.2, 5.2.6;
    /// `/sys/block/vd*/serial`).
    pub serial: String,
    /// Refuses writes.
    pub readonly: bool,
}

/// A directory given to the guest by a vhost-user-fs backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// virtiofs tag, at most 36 bytes (virtio 1.2, 5.11.4): the source of
    /// `mount -t virtiofs`.
    pub tag: String,
    /// Unix socket the backend listens on, at most 107 bytes long.
    pub socket: PathBuf,
}

/// The machine's ends of its two streams. They are closed when the guest has
/// ended, however it ended.
#[derive(Debug)]
pub struct Streams {
    /// All that the serial console prints.
    pub serial: UnixStream,
    /// Both ways to the control port.
    pub control: UnixStream,
}

impl Config {
    /// Names the first thing that could not work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(1..=layout::MAX_CPUS).contains(&self.cpus) {
            return Err(Error::Config(format!(
                "it has {} vCPUs, it can have 1 to {}",
                self.cpus,
                layout::MAX_CPUS
            )));
        }
        let devices = 1 + self.disks.len() + self.shares.len();
        if devices > layout::VIRTIO_IRQS.len() {
            return Err(Error::Config(format!(
                "it has {devices} virtio devices (disks, shares and the control port), there are \
                 interrupts for {}",
                layout::VIRTIO_IRQS.len()
            )));
        }
        Ok(())
    }
}
