//! The machine around the agent: its first file systems, its disks, its end.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, geteuid, seteuid};
use thiserror::Error;

/// Page cache, and dentries and inodes (Documentation/admin-guide/sysctl/vm.rst).
const ALL_CACHES: &str = "3";

/// The guest can't be used.
#[derive(Debug, Error)]
pub enum GuestError {
    /// A file system every program expects can't be mounted.
    #[error("mount {kind} on {on}: {source}")]
    Mount {
        /// File system type.
        kind: &'static str,
        /// Mount point.
        on: &'static str,
        /// Why.
        source: Errno,
    },
    /// A file or directory of the agent's own can't be made or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Mount what a program expects to find, and connect to the console.
///
/// # Errors
/// [`GuestError`].
pub fn prepare() -> Result<(), GuestError> {
    umask(Mode::from_bits_truncate(0o022));
    let basic = [
        ("proc", "/proc", None),
        ("sysfs", "/sys", None),
        ("devtmpfs", "/dev", None),
        ("tmpfs", "/tmp", Some("mode=1777")),
        ("tmpfs", "/mnt", Some("mode=0755")),
    ];
    for (kind, on, data) in basic {
        make_dir(on)?;
        mount(Some(kind), on, Some(kind), MsFlags::empty(), data)
            .map_err(|source| GuestError::Mount { kind, on, source })?;
    }
    connect_console()
}

fn connect_console() -> Result<(), GuestError> {
    let path = "/dev/console";
    let failed = |source| GuestError::File {
        path: path.into(),
        source,
    };
    let console = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed)?;
    for fd in 0..3 {
        // SAFETY: descriptors 0 to 2 are nobody's but the standard streams'.
        let ret = unsafe { libc::dup2(console.as_raw_fd(), fd) };
        Errno::result(ret).map_err(|errno| failed(errno.into()))?;
    }
    Ok(())
}

/// Make a directory unless it is there.
///
/// # Errors
/// [`GuestError::File`].
pub fn make_dir(path: &str) -> Result<(), GuestError> {
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(GuestError::File {
            path: path.into(),
            source: e,
        }),
        _ => Ok(()),
    }
}

/// The block device of the disk with this serial number.
pub fn disk(serial: &str) -> Option<String> {
    let disks = fs::read_dir("/sys/block").ok()?.flatten();
    let names = disks.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| {
            let told = fs::read_to_string(format!("/sys/block/{name}/serial"));
            told.is_ok_and(|told| told.trim() == serial)
        })
        .map(|name| format!("/dev/{name}"))
        .next()
}

/// Whether a virtiofs device with this tag is there; `None` where the kernel
/// doesn't tell (before 6.9 it lists no tags).
pub fn has_share(tag: &str) -> Option<bool> {
    let devices = fs::read_dir("/sys/fs/virtiofs").ok()?.flatten();
    let mut tags =
        devices.map(|entry| fs::read_to_string(entry.path().join("tag")).unwrap_or_default());
    Some(tags.any(|told| told.trim() == tag))
}

/// uname -r.
pub fn release() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| String::new(),
        |u| u.release().to_string_lossy().into_owned(),
    )
}

/// Since the kernel started.
pub fn uptime() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map_or(Duration::ZERO, Duration::from)
}

/// Set the clock to this time since 1970.
///
/// # Errors
/// Those of clock_settime(2).
pub fn set_clock(time: Duration) -> nix::Result<()> {
    nix::time::clock_settime(nix::time::ClockId::CLOCK_REALTIME, time.into())
}

/// Write everything back, then drop the page cache and all unused dentries and inodes.
///
/// # Errors
/// [`GuestError::File`].
pub fn drop_caches() -> Result<(), GuestError> {
    let path = "/proc/sys/vm/drop_caches";
    nix::unistd::sync();
    fs::write(path, ALL_CACHES).map_err(|source| GuestError::File {
        path: path.into(),
        source,
    })
}

/// Reset the machine; returns only if the kernel refuses.
pub fn reset() -> Errno {
    nix::unistd::sync();
    match reboot(RebootMode::RB_AUTOBOOT) {
        Err(errno) => errno,
        Ok(never) => match never {},
    }
}

/// Do what the process's user may not do, if it can become root again.
///
/// # Errors
/// Those of `work` and setresuid(2).
pub fn as_root<T>(work: impl Fn() -> nix::Result<T>) -> nix::Result<T> {
    match work() {
        Err(Errno::EPERM) => {
            let user = geteuid();
            seteuid(Uid::from_raw(0))?;
            let done = work();
            seteuid(user)?;
            done
        }
        done => done,
    }
}
