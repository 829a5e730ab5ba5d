//! Words as an operation of `op::LockOp`.

use super::super::args::{Args, Fault, Word};
use super::super::words::{FLOCKS, LOCKS};
use super::values::{SLOT, fits};
use crate::op::{LockOp, Locked};

const LOCK: &str = "rd, wr or un";

/// The operation `word` names, if it is one of these.
pub(super) fn op(word: &Word, args: &mut Args) -> Result<Option<LockOp>, Fault> {
    Ok(Some(match word.bare.as_str() {
        "flock" => LockOp::Flock {
            slot: args.number(SLOT)?,
            lock: args.one_of(&FLOCKS, "sh, ex or un")?,
        },
        "lock" => {
            let (slot, lock, off, len) = range(args)?;
            LockOp::Lock {
                slot,
                lock,
                off,
                len,
            }
        }
        "getlock" => {
            let (slot, lock, off, len) = range(args)?;
            LockOp::GetLock {
                slot,
                lock,
                off,
                len,
            }
        }
        "lease" => LockOp::Lease {
            slot: args.number(SLOT)?,
            lock: args.one_of(&LOCKS, LOCK)?,
        },
        _ => return Ok(None),
    }))
}

/// Slot, lock, `off=`, `len=`; the whole file where neither is given.
fn range(args: &mut Args) -> Result<(u16, Locked, i64, i64), Fault> {
    let (slot, lock) = (args.number(SLOT)?, args.one_of(&LOCKS, LOCK)?);
    let [off, len] = args.named(["off", "len"])?;
    Ok((slot, lock, fits(off, Some(0))?, fits(len, Some(0))?))
}
