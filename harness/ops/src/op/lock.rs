//! Operations on locks and leases.

use serde::{Deserialize, Serialize};

use super::Locked;

/// An operation on the file in a slot that never waits. Ranges are bytes from
/// the start of the file; a length of 0 reaches to its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the field names are those of the system calls
pub enum LockOp {
    /// flock(2) with LOCK_NB.
    Flock { slot: u16, lock: Locked },
    /// fcntl(2), F_SETLK: a lock of the worker's process.
    Lock {
        slot: u16,
        lock: Locked,
        off: i64,
        len: i64,
    },
    /// fcntl(2), F_GETLK: the lock in the way, if there is one.
    GetLock {
        slot: u16,
        lock: Locked,
        off: i64,
        len: i64,
    },
    /// fcntl(2), F_SETLEASE.
    Lease { slot: u16, lock: Locked },
}
