//! The extension's ioctls, and whether this kernel has them.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use lookback_wire::control::{DISK_LOWER, TAG_BACKED};
use lookback_wire::fuse::{
    BackingRegister, IOC_BACKING_REGISTER, IOC_BACKING_UNREGISTER, IOC_MAGIC,
};
use nix::errno::Errno;
use thiserror::Error;

use crate::guest;
use crate::mounts;

mod ioctl {
    use super::{BackingRegister, IOC_BACKING_REGISTER, IOC_BACKING_UNREGISTER, IOC_MAGIC};

    nix::ioctl_write_ptr!(register, IOC_MAGIC, IOC_BACKING_REGISTER, BackingRegister);
    nix::ioctl_write_ptr!(unregister, IOC_MAGIC, IOC_BACKING_UNREGISTER, u64);
}

/// Backing can't be set up.
#[derive(Debug, Error)]
pub enum BackingError {
    /// A path of the guest can't be opened.
    #[error("open {path}: {source}")]
    Open {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refused the registration.
    #[error("FUSE_IOC_BACKING_REGISTER of {path} as id {id}: {source}")]
    Register {
        /// What was to be registered.
        path: String,
        /// Under which id.
        id: u64,
        /// Why not.
        source: Errno,
    },
    /// The kernel refused to take it back.
    #[error("FUSE_IOC_BACKING_UNREGISTER of id {id}: {source}")]
    Unregister {
        /// Which.
        id: u64,
        /// Why not.
        source: Errno,
    },
}

impl BackingError {
    /// The error number it comes down to.
    pub fn errno(&self) -> Errno {
        match self {
            BackingError::Open { source, .. } => {
                Errno::from_raw(source.raw_os_error().unwrap_or(libc::EIO))
            }
            BackingError::Register { source, .. } | BackingError::Unregister { source, .. } => {
                *source
            }
        }
    }

    /// What was to be registered is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, BackingError::Open { source, .. } if source.kind() == ErrorKind::NotFound)
    }
}

/// The root of a mounted share, for its ioctls.
///
/// # Errors
/// [`BackingError::Open`].
pub fn open_root(mount_point: &str) -> Result<File, BackingError> {
    open(mount_point, libc::O_RDONLY | libc::O_DIRECTORY)
}

fn open(path: &str, flags: i32) -> Result<File, BackingError> {
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    file.map_err(|source| BackingError::Open {
        path: path.into(),
        source,
    })
}

/// Give `path` the backing id `id` on the share whose root is `root`.
///
/// # Errors
/// [`BackingError`].
pub fn register(root: &File, id: u64, path: &str) -> Result<(), BackingError> {
    let target = OwnedFd::from(open(path, libc::O_PATH | libc::O_NOFOLLOW)?);
    let request = BackingRegister {
        id,
        fd: target.as_raw_fd(),
        flags: 0,
    };
    // SAFETY: the kernel reads `request`, which outlives the call.
    let done = unsafe { ioctl::register(root.as_raw_fd(), &raw const request) };
    done.map(drop).map_err(|source| BackingError::Register {
        path: path.into(),
        id,
        source,
    })
}

/// Take the backing id `id` back from the share whose root is `root`.
///
/// # Errors
/// [`BackingError::Unregister`].
pub fn unregister(root: &File, id: u64) -> Result<(), BackingError> {
    // SAFETY: the kernel reads `id`, which outlives the call.
    let done = unsafe { ioctl::unregister(root.as_raw_fd(), &raw const id) };
    done.map(drop)
        .map_err(|source| BackingError::Unregister { id, source })
}

/// Mount the backed share and register a directory of the lower disk, then
/// undo both. `Err` says in a sentence why this kernel or run can't.
pub fn probe() -> Result<(), String> {
    if guest::has_share(TAG_BACKED) == Some(false) {
        return Err(format!("this run has no virtiofs share `{TAG_BACKED}`"));
    }
    let Some(device) = guest::disk(DISK_LOWER) else {
        return Err(format!(
            "this run has no disk with the serial number `{DISK_LOWER}`"
        ));
    };
    mounts::mount_disk(&device, mounts::LOWER).map_err(|e| e.to_string())?;
    let result = mounts::mount_share(TAG_BACKED, mounts::BACKED)
        .map_err(|e| e.to_string())
        .and_then(|()| {
            let registered = try_registering();
            let unmounted = mounts::unmount(mounts::BACKED).map_err(|e| e.to_string());
            registered.and(unmounted)
        });
    let unmounted = mounts::unmount_disk(&device, mounts::LOWER).map_err(|e| e.to_string());
    result.and(unmounted)
}

fn try_registering() -> Result<(), String> {
    let root = open_root(mounts::BACKED).map_err(|e| e.to_string())?;
    let lacks = |e: BackingError| match e {
        BackingError::Register { source, .. } => {
            format!(
                "this kernel lacks the FUSE lookup/backing extension (FUSE_IOC_BACKING_REGISTER: {source})"
            )
        }
        other => other.to_string(),
    };
    register(&root, 1, mounts::LOWER).map_err(lacks)?;
    unregister(&root, 1).map_err(|e| e.to_string())
}
