//! `LockOp` as calls.

use lookback_ops::{LockOp, Locked};

use super::Calls;
use crate::literal::signed;

impl Calls {
    pub(super) fn lock(&mut self, op: &LockOp) -> String {
        match op {
            LockOp::Flock { slot, lock } => {
                let how = match lock {
                    Locked::Shared => "LOCK_SH",
                    Locked::Exclusive => "LOCK_EX",
                    Locked::Not => "LOCK_UN",
                };
                format!("do_flock({}, {how})", self.slot(*slot))
            }
            LockOp::Lock {
                slot,
                lock,
                off,
                len,
            } => self.range("do_lock", *slot, *lock, *off, *len),
            LockOp::GetLock {
                slot,
                lock,
                off,
                len,
            } => self.range("do_getlock", *slot, *lock, *off, *len),
            LockOp::Lease { slot, lock } => {
                format!("do_lease({}, {})", self.slot(*slot), kind(*lock))
            }
        }
    }

    fn range(&mut self, name: &str, slot: u16, lock: Locked, off: i64, len: i64) -> String {
        let slot = self.slot(slot);
        format!(
            "{name}({slot}, {}, {}, {})",
            kind(lock),
            signed(off),
            signed(len)
        )
    }
}

fn kind(lock: Locked) -> &'static str {
    match lock {
        Locked::Shared => "F_RDLCK",
        Locked::Exclusive => "F_WRLCK",
        Locked::Not => "F_UNLCK",
    }
}
