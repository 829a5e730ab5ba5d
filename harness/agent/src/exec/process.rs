//! Operations on the process, the mounts and the machine.

use std::time::Duration;

use lookback_ops::{Base, Op, Path, Value};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid, syncfs};

use super::{At, Done, Failed, UNSUPPORTED, World, nothing};
use crate::guest::{self, GuestError};

/// "Leave this id alone" of setresuid(2).
const SAME: u32 = u32::MAX;

impl World {
    /// What is left after names, attributes, data and slots.
    pub(super) fn process(&self, op: &Op) -> Done {
        match op {
            Op::Sync => self.syncfs(),
            Op::DropCaches => drop_caches(),
            Op::Wait { ms } => {
                self.board.pause(Duration::from_millis((*ms).into()));
                Ok(nothing(()))
            }
            Op::MountTmpfs { path } => {
                let path = self.path(path)?;
                let data = Some("mode=0755");
                mount(
                    Some("tmpfs"),
                    path.as_c_str(),
                    Some("tmpfs"),
                    MsFlags::empty(),
                    data,
                )
                .at("")
                .map(nothing)
            }
            Op::Umount { path } => {
                let path = self.path(path)?;
                umount2(path.as_c_str(), MntFlags::UMOUNT_NOFOLLOW)
                    .at("")
                    .map(nothing)
            }
            Op::Creds { uid, gid } => creds(*uid, *gid),
            Op::Umask { mask } => {
                let old = umask(Mode::from_bits_retain(*mask));
                Ok((old.bits().into(), Value::None))
            }
            // Every other operation has run before this is asked.
            _ => Err(UNSUPPORTED),
        }
    }

    fn syncfs(&self) -> Done {
        let base = self.path(&Path {
            base: Base::Arm,
            rel: String::new(),
        })?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open(base.as_c_str(), flags, Mode::empty()).at("open")?;
        syncfs(fd).at("syncfs").map(nothing)
    }
}

/// Run `work` as root, whoever the worker's user is.
pub(super) fn as_root<T>(work: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
    let user = geteuid();
    effective_user(Uid::from_raw(0))?;
    let done = work();
    effective_user(user)?;
    done
}

/// Not an operation of the worker's user: it works whoever that is.
pub(super) fn drop_caches() -> Done {
    let dropped = as_root(|| {
        guest::drop_caches().map_err(|e| Failed {
            step: "drop_caches",
            errno: match e {
                GuestError::File { source, .. } => {
                    Errno::from_raw(source.raw_os_error().unwrap_or(libc::EIO))
                }
                GuestError::Mount { source, .. } => source,
            },
        })
    });
    dropped.map(nothing)
}

fn effective_user(uid: Uid) -> Result<(), Failed> {
    setresuid(Uid::from_raw(SAME), uid, Uid::from_raw(SAME)).at("setresuid")
}

/// Effective ids only, so that the way back to root stays open. Leaving uid 0
/// takes the effective capabilities away (capabilities(7)).
fn creds(uid: u32, gid: u32) -> Done {
    effective_user(Uid::from_raw(0))?;
    setgroups(&[]).at("setgroups")?;
    setresgid(Gid::from_raw(SAME), Gid::from_raw(gid), Gid::from_raw(SAME)).at("setresgid")?;
    effective_user(Uid::from_raw(uid)).map(nothing)
}
