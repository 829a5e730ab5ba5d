//! What a guest is made of, and the limits the devices put on it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use lookback_vmm::{Disk, Share};

use crate::error::Error;

/// Bytes of a virtio-blk serial number (`VIRTIO_BLK_ID_BYTES`, virtio 1.2, 5.2.6).
const SERIAL_MAX: usize = 20;
/// Bytes of a virtiofs tag (virtio 1.2, 5.11.4).
const TAG_MAX: usize = 36;
/// Bytes of a unix socket's path: `sun_path` less its terminating NUL, unix(7).
const SOCKET_MAX: usize = 107;

/// A guest to boot.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// The guest's bzImage, or its vmlinux if built with CONFIG_PVH: that one has
    /// nothing to decompress and is up about a second earlier under translation.
    pub kernel: PathBuf,
    /// cpio archive that the kernel unpacks as its root.
    pub initramfs: PathBuf,
    /// Kernel parameters added after the engine's own; a later parameter wins
    /// where the kernel takes the last.
    pub cmdline: String,
    /// Memory in MiB, shared with the backends of [`GuestSpec::shares`].
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub cpus: u32,
    /// An existing directory for `console.log` and `qemu.stderr`.
    pub run_dir: PathBuf,
    /// Name of the virtio-serial port of the control stream, as
    /// `/sys/class/virtio-ports/*/name` shows it.
    pub control_port: String,
    /// ext4 images and the like; the guest tells them apart by serial number.
    pub disks: Vec<Disk>,
    /// vhost-user-fs shares; their backends must already listen.
    pub shares: Vec<Share>,
}

impl Default for GuestSpec {
    /// 1 GiB, two CPUs, the control port `lookback.control`, nothing else.
    fn default() -> Self {
        GuestSpec {
            kernel: PathBuf::new(),
            initramfs: PathBuf::new(),
            cmdline: String::new(),
            memory_mib: 1024,
            cpus: 2,
            run_dir: PathBuf::new(),
            control_port: "lookback.control".to_owned(),
            disks: Vec::new(),
            shares: Vec::new(),
        }
    }
}

impl GuestSpec {
    /// Names the first thing that could not work, before anything is started.
    pub fn check(&self) -> Result<(), Error> {
        readable("guest kernel", &self.kernel)?;
        readable("initramfs", &self.initramfs)?;
        if !self.run_dir.is_dir() {
            return Err(Error::Unreadable {
                what: "run directory",
                path: self.run_dir.clone(),
                source: std::io::ErrorKind::NotADirectory.into(),
            });
        }
        if self.memory_mib == 0 || self.cpus == 0 {
            return Err(Error::Spec(
                "a guest needs memory and at least one CPU".to_owned(),
            ));
        }
        for disk in &self.disks {
            readable("disk image", &disk.path)?;
            identifier("serial number", &disk.serial, SERIAL_MAX)?;
        }
        for share in &self.shares {
            identifier("virtiofs tag", &share.tag, TAG_MAX)?;
            let length = share.socket.as_os_str().as_bytes().len();
            if length > SOCKET_MAX {
                return Err(Error::SocketPath {
                    path: share.socket.clone(),
                    length,
                });
            }
            std::fs::metadata(&share.socket).map_err(|source| Error::Unreadable {
                what: "vhost-user-fs socket",
                path: share.socket.clone(),
                source,
            })?;
        }
        identifier("control port name", &self.control_port, 128)?;
        unique(
            "serial number",
            self.disks.iter().map(|disk| disk.serial.as_str()),
        )?;
        unique(
            "virtiofs tag",
            self.shares.iter().map(|share| share.tag.as_str()),
        )
    }
}

fn readable(what: &'static str, path: &Path) -> Result<(), Error> {
    let unreadable = |source| Error::Unreadable {
        what,
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(())
}

fn identifier(what: &str, text: &str, max: usize) -> Result<(), Error> {
    if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
        return Err(Error::Spec(format!(
            "the {what} {text:?} must have 1 to {max} printable bytes"
        )));
    }
    Ok(())
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::Spec(format!("the {what} {name:?} is used twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn spec(dir: &Path) -> GuestSpec {
        let file = |name: &str| {
            let path = dir.join(name);
            std::fs::write(&path, "x").unwrap();
            path
        };
        GuestSpec {
            kernel: file("kernel"),
            initramfs: file("initramfs"),
            run_dir: dir.to_owned(),
            disks: vec![Disk {
                path: file("disk"),
                serial: "lower".into(),
                readonly: false,
            }],
            shares: vec![Share {
                tag: "plain".into(),
                socket: file("socket"),
            }],
            ..GuestSpec::default()
        }
    }

    type Break = fn(&mut GuestSpec);

    #[rstest]
    #[case::kernel(|s: &mut GuestSpec| s.kernel = "/no/such/bzImage".into(), "guest kernel")]
    #[case::kernel_dir(|s: &mut GuestSpec| s.kernel = "/".into(), "guest kernel")]
    #[case::initramfs(|s: &mut GuestSpec| s.initramfs = "/no/such/cpio".into(), "initramfs")]
    #[case::run_dir(|s: &mut GuestSpec| s.run_dir = "/no/such/dir".into(), "run directory")]
    #[case::disk(|s: &mut GuestSpec| s.disks[0].path = "/no/such/img".into(), "disk image")]
    #[case::serial(|s: &mut GuestSpec| s.disks[0].serial = "x".repeat(21), "serial number")]
    #[case::twice(|s: &mut GuestSpec| s.disks.push(s.disks[0].clone()), "used twice")]
    #[case::tag(|s: &mut GuestSpec| s.shares[0].tag = "x".repeat(37), "virtiofs tag")]
    #[case::no_tag(|s: &mut GuestSpec| s.shares[0].tag.clear(), "virtiofs tag")]
    #[case::socket(|s: &mut GuestSpec| s.shares[0].socket = "/no/such/socket".into(), "socket")]
    #[case::long(|s: &mut GuestSpec| s.shares[0].socket = format!("/{}", "x".repeat(107)).into(), "107")]
    #[case::memory(|s: &mut GuestSpec| s.memory_mib = 0, "memory")]
    #[case::port(|s: &mut GuestSpec| s.control_port = "a\nb".into(), "control port")]
    fn names_what_could_not_work(#[case] spoil: Break, #[case] named: &str) {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = spec(dir.path());
        spec.check().unwrap();
        spoil(&mut spec);
        let message = spec.check().unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
    }
}
