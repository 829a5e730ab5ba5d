//! `op::LockOp` as text.

use std::fmt::{self, Display, Formatter};

use super::super::words::{FLOCKS, LOCKS};
use super::word;
use crate::op::LockOp;

impl Display for LockOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            LockOp::Flock { slot, lock } => write!(f, "flock {slot} {}", word(&FLOCKS, lock)),
            LockOp::Lock {
                slot,
                lock,
                off,
                len,
            } => write!(f, "lock {slot} {} off={off} len={len}", word(&LOCKS, lock)),
            LockOp::GetLock {
                slot,
                lock,
                off,
                len,
            } => write!(
                f,
                "getlock {slot} {} off={off} len={len}",
                word(&LOCKS, lock)
            ),
            LockOp::Lease { slot, lock } => write!(f, "lease {slot} {}", word(&LOCKS, lock)),
        }
    }
}
