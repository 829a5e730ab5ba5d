//! The arm `devfuse`: FUSE over /dev/fuse with a small daemon, which answers
//! LOOKUP by the case's rules and has nothing else but empty files.

mod daemon;
mod init;
mod journal;
mod layout;
mod objects;
mod request;
mod server;
mod tree;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use lookback_wire::control::{CasePlan, OUTSIDE, OWN_ROOT};
use lookback_wire::rules::LookupRule;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, setresuid};
use thiserror::Error;

pub use daemon::{Daemon, DaemonError, Seen};

use crate::mounts::{self, DEVFUSE, MountError};
use objects::{Held, open_path};
use server::Server;

/// The id of what backs `outside`: none that can be registered.
const OUTSIDE_ID: u64 = 0;

/// The device every FUSE daemon opens.
const DEVICE: &str = "/dev/fuse";
/// Who opens /dev/fuse where its opener is to have no capabilities.
const NOBODY: Uid = Uid::from_raw(65_534);

/// The arm can't be mounted.
#[derive(Debug, Error)]
pub enum DevfuseError {
    /// A path can't be opened.
    #[error("open {path}: {source}")]
    Open {
        /// Which.
        path: String,
        /// Why.
        source: Errno,
    },
    /// A mode can't be changed.
    #[error("chmod {path}: {source}")]
    Mode {
        /// Whose.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The effective user can't be changed.
    #[error("setresuid: {0}")]
    User(Errno),
    /// The mount failed.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

/// Where the lower directories of one case are.
#[derive(Debug, Clone, Copy)]
pub struct Below<'a> {
    /// The case's.
    pub case_dir: &'a str,
    /// The other one, on a mount of its own, if the case has a use for it.
    pub outside: Option<&'a str>,
}

/// The arm, mounted.
#[derive(Debug, Default)]
pub struct Mounted {
    /// Who serves it.
    pub daemon: Option<Daemon>,
    /// Paths to be registered that are not there; their ids stand for nothing.
    pub missing: Vec<String>,
}

/// Mount the arm, with a daemon unless the plan wants none. `seen` is what the
/// last daemon of the case had seen.
///
/// # Errors
/// [`DevfuseError`]; then nothing of it is left but perhaps the mount.
pub fn mount(plan: &CasePlan, below: Below<'_>, seen: &Seen) -> Result<Mounted, DevfuseError> {
    let root = match plan.root_dir {
        true => Some(path(below.case_dir)?),
        false => None,
    };
    let root_fd = root.as_ref().map(AsRawFd::as_raw_fd);
    if plan.no_daemon {
        mounts::mount_fuse(None, root_fd, DEVFUSE)?;
        return Ok(Mounted::default());
    }
    let mut rules = plan.rules.clone();
    let mut objects = Vec::new();
    let mut own_root = Vec::new();
    let mut missing = Vec::new();
    for registration in &plan.register {
        if registration.path == OWN_ROOT {
            own_root.push(registration.id);
            continue;
        }
        let target = match registration.path.as_str() {
            "" => below.case_dir.to_owned(),
            rel => format!("{}/{rel}", below.case_dir),
        };
        match path(&target) {
            Ok(object) => objects.push((registration.id, object)),
            Err(DevfuseError::Open {
                source: Errno::ENOENT,
                ..
            }) => missing.push(target),
            Err(e) => return Err(e),
        }
    }
    if let Some(outside) = below.outside {
        objects.push((OUTSIDE_ID, path(outside)?));
        rules.lookup.push(outside_rule());
    }
    let device = match plan.unprivileged {
        true => as_user(device)?,
        false => device(),
    }?;
    mounts::mount_fuse(Some(device.as_raw_fd()), root_fd, DEVFUSE)?;
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = time.map_or(0, |since| since.as_secs());
    let server = Server::new(rules, time, seen.clone());
    let held = Held::new(objects, own_root, DEVFUSE);
    Ok(Mounted {
        daemon: Some(Daemon::start(device, server, held)?),
        missing,
    })
}

/// Last of the rules, so that a case's own comes first.
fn outside_rule() -> LookupRule {
    LookupRule {
        path: OUTSIDE.into(),
        backing: Some(OUTSIDE_ID),
        ..LookupRule::default()
    }
}

fn path(path: &str) -> Result<OwnedFd, DevfuseError> {
    open_path(path).map_err(|source| DevfuseError::Open {
        path: path.to_owned(),
        source,
    })
}

/// As udev leaves the device on any distribution.
fn open_to_all(path: &str) -> Result<(), DevfuseError> {
    let mode = fs::Permissions::from_mode(0o666);
    fs::set_permissions(path, mode).map_err(|source| DevfuseError::Mode {
        path: path.to_owned(),
        source,
    })
}

/// Runs `work` as a user without capabilities. Files remember the credentials
/// they were opened with.
fn as_user<T>(work: impl FnOnce() -> T) -> Result<T, DevfuseError> {
    let become_user = |uid| {
        let keep = Uid::from_raw(u32::MAX);
        setresuid(keep, uid, keep).map_err(DevfuseError::User)
    };
    open_to_all(DEVICE)?;
    become_user(NOBODY)?;
    let done = work();
    become_user(Uid::from_raw(0))?;
    Ok(done)
}

fn device() -> Result<OwnedFd, DevfuseError> {
    let path = DEVICE;
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).map_err(|source| DevfuseError::Open {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
