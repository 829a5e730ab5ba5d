//! Operations on mounts and on the FUSE connection behind them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use lookback_ops::{MountOp, Path};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use super::{At, Done, Failed, Mount, UNSUPPORTED, World, nothing};
use crate::backing::{self, BackingError};
use crate::guest;

/// Where a file system is mounted a second time.
const SCRATCH: &str = "/mnt/scratch";
/// Where fusectl is mounted (Documentation/filesystems/fuse.rst).
const CONNECTIONS: &str = "/sys/fs/fuse/connections";

impl World {
    pub(super) fn mount(&self, op: &MountOp) -> Done {
        match op {
            MountOp::Bind {
                path,
                on,
                read_only,
            } => self.bind(path, on, *read_only),
            MountOp::Register { id, path } => {
                let path = self.text(path)?;
                self.on_root(|root| backing::register(root, *id, &path))
            }
            MountOp::Unregister { id } => self.on_root(|root| backing::unregister(root, *id)),
            MountOp::RootDir { paths } => self.root_dir(paths),
            MountOp::Abort => self.abort(),
        }
    }

    fn bind(&self, path: &Path, on: &Path, read_only: bool) -> Done {
        let (path, on) = (self.path(path)?, self.path(on)?);
        let none: Option<&str> = None;
        mount(
            Some(path.as_c_str()),
            on.as_c_str(),
            none,
            MsFlags::MS_BIND,
            none,
        )
        .at("bind")?;
        if read_only {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(none, on.as_c_str(), none, flags, none).at("remount")?;
        }
        Ok(nothing(()))
    }

    /// An ioctl of the extension, on the root of the arm's mount.
    fn on_root(&self, work: impl FnOnce(&fs::File) -> Result<(), BackingError>) -> Done {
        let failed = |step| {
            move |e: BackingError| Failed {
                step,
                errno: e.errno(),
            }
        };
        if self.bases.mount == Mount::Local {
            return Err(UNSUPPORTED);
        }
        let root = backing::open_root(&self.bases.root).map_err(failed("open root"))?;
        work(&root).map_err(failed("")).map(nothing)
    }

    fn root_dir(&self, paths: &[Path]) -> Done {
        let dirs = paths
            .iter()
            .map(|path| {
                let path = self.path(path)?;
                let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                open(path.as_c_str(), flags, Mode::empty()).at("open")
            })
            .collect::<Result<Vec<OwnedFd>, Failed>>()?;
        let mut options: Vec<_> = dirs
            .iter()
            .map(|dir| format!("root_dir={}", dir.as_raw_fd()))
            .collect();
        let (source, kind, device) = match self.bases.mount {
            Mount::Local => return Err(UNSUPPORTED),
            Mount::Virtiofs { tag } => (tag, "virtiofs", None),
            Mount::Fuse => {
                let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
                let device = open("/dev/fuse", flags, Mode::empty()).at("open /dev/fuse")?;
                let own = format!(
                    "fd={},rootmode=40000,user_id=0,group_id=0",
                    device.as_raw_fd()
                );
                options.insert(0, own);
                ("lookback", "fuse", Some(device))
            }
        };
        guest::make_dir(SCRATCH).map_err(|_| UNSUPPORTED)?;
        let options = options.join(",");
        let none = MsFlags::empty();
        mount(
            Some(source),
            SCRATCH,
            Some(kind),
            none,
            Some(options.as_str()),
        )
        .at("mount")?;
        // Nobody answers on it: closed, it aborts what would wait for an answer.
        drop(device);
        umount2(SCRATCH, MntFlags::UMOUNT_NOFOLLOW)
            .at("umount")
            .map(nothing)
    }

    fn abort(&self) -> Done {
        // fusectl has no entry for virtiofs (fs/fuse/virtio_fs.c: no_control).
        if self.bases.mount != Mount::Fuse {
            return Err(UNSUPPORTED);
        }
        let info =
            fs::read_to_string("/proc/self/mountinfo").map_err(|e| failed("mountinfo", &e))?;
        let connection = device_number(&info, &self.bases.root).ok_or(Failed {
            step: "mountinfo",
            errno: Errno::ENOENT,
        })?;
        let dir = format!("{CONNECTIONS}/{connection}");
        if !fs::exists(&dir).unwrap_or(false) {
            let none: Option<&str> = None;
            mount(
                Some("fusectl"),
                CONNECTIONS,
                Some("fusectl"),
                MsFlags::empty(),
                none,
            )
            .at("mount fusectl")?;
        }
        fs::write(format!("{dir}/abort"), "1")
            .map_err(|e| failed("abort", &e))
            .map(nothing)
    }
}

fn failed(step: &'static str, error: &io::Error) -> Failed {
    Failed {
        step,
        errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// The kernel's number of the device mounted on `point`, which is also the
/// name of its FUSE connection (fs/fuse/control.c, fuse_ctl_add_conn).
fn device_number(mountinfo: &str, point: &str) -> Option<u32> {
    let fields = |line: &str| {
        let mut fields = line.split(' ');
        let device = fields.nth(2)?.to_owned();
        let on = fields.nth(1)?.to_owned();
        Some((device, on))
    };
    // The last one mounted is the one that is seen.
    let found = mountinfo.lines().rev().filter_map(fields);
    let (device, _) = found.into_iter().find(|(_, on)| on == point)?;
    let (major, minor) = device.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    // MKDEV (linux/kdev_t.h)
    Some(major << 20 | minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_named_after_its_device() {
        let info = "20 1 0:17 / /mnt/backed rw - virtiofs a rw\n\
                    21 1 0:42 / /mnt/backed rw,relatime - virtiofs backed rw\n\
                    22 1 254:1 / /mnt/lower rw - ext4 /dev/vda rw\n";
        assert_eq!(device_number(info, "/mnt/backed"), Some(42));
        assert_eq!(device_number(info, "/mnt/lower"), Some((254 << 20) + 1));
        assert_eq!(device_number(info, "/mnt"), None);
    }
}
