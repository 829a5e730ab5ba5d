//! Mounting the arms, and unmounting them for good.

use std::fs;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use thiserror::Error;

use crate::guest;
use crate::holders::{holders, mounts_below};

/// The directory of all mount points.
pub const MOUNTS: &str = "/mnt";
/// Mount point of the backed share.
pub const BACKED: &str = "/mnt/backed";
/// Mount point of the ordinary share.
pub const PLAIN: &str = "/mnt/plain";
/// Mount point of `devfuse`.
pub const DEVFUSE: &str = "/mnt/devfuse";
/// Mount point of the backing ext4.
pub const LOWER: &str = "/mnt/lower";
/// Mount point of the reference ext4.
pub const EXT4: &str = "/mnt/ext4";
/// The ordinary share's outside directory, bound so that it is another mount.
pub const PLAIN_OUTSIDE: &str = "/mnt/plain-outside";
/// The outside directory of `devfuse`, bound so that what it backs is on
/// another mount than the case's directory.
pub const DEVFUSE_OUTSIDE: &str = "/mnt/devfuse-outside";
/// The reference's outside directory, bound so that it is another mount.
pub const EXT4_OUTSIDE: &str = "/mnt/ext4-outside";

/// A file system can't be mounted or unmounted.
#[derive(Debug, Error)]
pub enum MountError {
    /// mount(2) failed.
    #[error("mount {what} on {on}: {source}")]
    Mount {
        /// Device, tag or directory.
        what: String,
        /// Mount point.
        on: String,
        /// Why.
        source: Errno,
    },
    /// umount(2) failed.
    #[error("umount {on}: {source}{held}")]
    Umount {
        /// Mount point.
        on: String,
        /// Why.
        source: Errno,
        /// Who holds it, as the rest of the sentence.
        held: String,
    },
    /// The mount is gone, the file system behind it is not.
    #[error("{device} is unmounted but its ext4 is still active: something in the kernel holds it")]
    StillActive {
        /// The block device.
        device: String,
    },
    /// The mount point can't be made.
    #[error(transparent)]
    Guest(#[from] guest::GuestError),
}

impl MountError {
    /// Something was still busy after everything on it was closed.
    pub fn is_leak(&self) -> bool {
        matches!(
            self,
            MountError::Umount {
                source: Errno::EBUSY,
                ..
            } | MountError::StillActive { .. }
        )
    }
}

fn mount_on(
    what: &str,
    on: &str,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), MountError> {
    guest::make_dir(on)?;
    mount(Some(what), on, kind, flags, options).map_err(|source| MountError::Mount {
        what: what.into(),
        on: on.into(),
        source,
    })
}

/// Mount an ext4 disk.
///
/// # Errors
/// [`MountError::Mount`].
pub fn mount_disk(device: &str, on: &str) -> Result<(), MountError> {
    mount_on(device, on, Some("ext4"), MsFlags::empty(), None)
}

/// Mount a virtiofs share.
///
/// # Errors
/// [`MountError::Mount`].
pub fn mount_share(tag: &str, on: &str) -> Result<(), MountError> {
    mount_on(tag, on, Some("virtiofs"), MsFlags::empty(), None)
}

/// Mount a virtiofs share whose root is backed by `dir`.
///
/// # Errors
/// [`MountError`].
pub fn mount_share_on(tag: &str, dir: &str, on: &str) -> Result<(), MountError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(dir, flags, Mode::empty()).map_err(|source| MountError::Mount {
        what: dir.into(),
        on: on.into(),
        source,
    })?;
    let options = format!("root_dir={}", root.as_raw_fd());
    mount_on(tag, on, Some("virtiofs"), MsFlags::empty(), Some(&options))
}

/// Mount a FUSE file system: served through `device`, an open /dev/fuse, or by
/// nobody; its root backed by `root_dir`, or not.
///
/// # Errors
/// [`MountError::Mount`].
pub fn mount_fuse(
    device: Option<RawFd>,
    root_dir: Option<RawFd>,
    on: &str,
) -> Result<(), MountError> {
    let mut options = String::from("rootmode=40000,user_id=0,group_id=0,allow_other");
    match device {
        Some(fd) => options.push_str(&format!(",fd={fd}")),
        None => options.push_str(",no_daemon"),
    }
    if let Some(fd) = root_dir {
        options.push_str(&format!(",root_dir={fd}"));
    }
    mount_on(
        "devfuse",
        on,
        Some("fuse"),
        MsFlags::empty(),
        Some(&options),
    )
}

/// Bind a directory to a second place.
///
/// # Errors
/// [`MountError::Mount`].
pub fn bind(dir: &str, on: &str) -> Result<(), MountError> {
    mount_on(dir, on, None, MsFlags::MS_BIND, None)
}

/// Unmount `on` and what a trace left mounted below it. Nothing of ours may be
/// open there. What stays busy is detached after the error is known, so that
/// the next case can go on.
///
/// # Errors
/// [`MountError::Umount`].
pub fn unmount(on: &str) -> Result<(), MountError> {
    let info = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut result = Ok(());
    for point in mounts_below(&info, Path::new(on)).iter().rev() {
        if let Err(source) = umount2(point, MntFlags::UMOUNT_NOFOLLOW) {
            result = Err(MountError::Umount {
                on: point.display().to_string(),
                source,
                held: held(point),
            });
            // The report says what matters; this only clears the way.
            let _ = umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        }
    }
    result
}

/// Unmount a disk and see that its file system went with the mount.
///
/// # Errors
/// [`MountError::Umount`], [`MountError::StillActive`].
pub fn unmount_disk(device: &str, on: &str) -> Result<(), MountError> {
    unmount(on)?;
    let name = device.trim_start_matches("/dev/");
    if Path::new("/sys/fs/ext4").join(name).exists() {
        return Err(MountError::StillActive {
            device: device.into(),
        });
    }
    Ok(())
}

fn held(point: &Path) -> String {
    let found = holders(point);
    if found.is_empty() {
        "; no process holds it, so the kernel does".into()
    } else {
        format!("; {}", found.join(", "))
    }
}
