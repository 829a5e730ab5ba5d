//! Operations on locks and leases.

use std::os::fd::{AsRawFd, RawFd};

use lookback_ops::{LockOp, Locked, Value};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};

use super::{At, Done, World, nothing};

impl World {
    pub(super) fn lock(&self, op: &LockOp) -> Done {
        match op {
            LockOp::Flock { slot, lock } => {
                let how = match lock {
                    Locked::Shared => libc::LOCK_SH,
                    Locked::Exclusive => libc::LOCK_EX,
                    Locked::Not => libc::LOCK_UN,
                };
                let fd = self.open_at(*slot)?.as_raw_fd();
                // SAFETY: numbers alone, and the descriptor is open.
                let ret = unsafe { libc::flock(fd, how | libc::LOCK_NB) };
                Errno::result(ret).at("").map(|_| nothing(()))
            }
            LockOp::Lock {
                slot,
                lock,
                off,
                len,
            } => {
                let fd = self.open_at(*slot)?.as_raw_fd();
                range(fd, libc::F_SETLK, *lock, *off, *len).map(|_| nothing(()))
            }
            LockOp::GetLock {
                slot,
                lock,
                off,
                len,
            } => {
                let fd = self.open_at(*slot)?.as_raw_fd();
                let found = range(fd, libc::F_GETLK, *lock, *off, *len)?;
                Ok((0, Value::Text(shown(&found))))
            }
            LockOp::Lease { slot, lock } => {
                let fd = self.open_at(*slot)?.as_raw_fd();
                // Breaking a lease sends SIGIO, which would end the worker.
                // SAFETY: no handler is installed.
                unsafe { signal(Signal::SIGIO, SigHandler::SigIgn) }.at("signal")?;
                // SAFETY: numbers alone, and the descriptor is open.
                let ret = unsafe { libc::fcntl(fd, libc::F_SETLEASE, kind(*lock)) };
                Errno::result(ret).at("").map(|_| nothing(()))
            }
        }
    }
}

fn kind(lock: Locked) -> libc::c_int {
    match lock {
        Locked::Shared => libc::F_RDLCK,
        Locked::Exclusive => libc::F_WRLCK,
        Locked::Not => libc::F_UNLCK,
    }
}

/// fcntl(2) with a range from the start of the file.
fn range(
    fd: RawFd,
    call: libc::c_int,
    lock: Locked,
    off: i64,
    len: i64,
) -> Result<libc::flock, super::Failed> {
    let mut range = libc::flock {
        l_type: short(kind(lock)),
        l_whence: short(libc::SEEK_SET),
        l_start: off,
        l_len: len,
        l_pid: 0,
    };
    // SAFETY: the kernel reads and writes `range`, which outlives the call.
    let ret = unsafe { libc::fcntl(fd, call, &raw mut range) };
    Errno::result(ret).at("")?;
    Ok(range)
}

/// struct flock holds in shorts what libc spells as ints.
fn short(number: libc::c_int) -> libc::c_short {
    libc::c_short::try_from(number).unwrap_or(-1)
}

/// The lock in the way, without its owner: a process number is the guest's affair.
fn shown(found: &libc::flock) -> String {
    let word = match libc::c_int::from(found.l_type) {
        libc::F_UNLCK => return "un".to_owned(),
        libc::F_RDLCK => "rd",
        libc::F_WRLCK => "wr",
        other => return format!("type {other}"),
    };
    format!("{word} off={} len={}", found.l_start, found.l_len)
}
