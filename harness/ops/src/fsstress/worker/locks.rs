//! Locks and leases.

use rand::Rng;

use super::slots::{O_CREAT, O_EXCL, O_NONBLOCK, SLOTS, Slot, slot_number};
use super::{Turn, path};
use crate::fsstress::mix::Kind;
use crate::op::{LockOp, Locked, Op};

/// Lines of the worker until it gives a lease back, at most. In 45 seconds
/// (lease-break-time) the kernel would take it, which nothing may depend on.
const LEASED: u32 = 6;

impl Turn<'_> {
    pub(super) fn lock(&mut self, kind: Kind) -> Op {
        let any = [Locked::Shared, Locked::Exclusive, Locked::Not];
        let lock = self.pick(&any);
        let at = self.slot_where(|slot| slot.inode.is_some());
        let slot = slot_number(at);
        if kind == Kind::Flock {
            return self.flock(lock);
        }
        Op::Lock(match kind {
            Kind::Lease => return self.lease(),
            kind => {
                let inode = self.own.slots[at].and_then(|slot| slot.inode);
                let size = inode.map_or(0, |inode| self.tree.size(inode));
                let (off, len) = self.range(size);
                let off = i64::try_from(off).unwrap_or(0);
                // To the end of the file now and then.
                let len = if self.rng.random_bool(0.1) {
                    0
                } else {
                    len.into()
                };
                match kind {
                    Kind::Lock => LockOp::Lock {
                        slot,
                        lock,
                        off,
                        len,
                    },
                    _ => LockOp::GetLock {
                        slot,
                        lock: self.pick(&any[..2]),
                        off,
                        len,
                    },
                }
            }
        })
    }

    fn flock(&mut self, lock: Locked) -> Op {
        let at = self.slot_kept(|slot, kept| slot.inode.is_some() && !kept.mapped);
        let slot = slot_number(at);
        if self.own.kept[at].mapped {
            return Op::Fstat { slot };
        }
        self.own.kept[at].locked = true;
        Op::Lock(LockOp::Flock { slot, lock })
    }

    /// A lease of a file that has just been made. Of any other it depends on
    /// who has it open for writing, and a mapping of a stacked file has only
    /// the lower one open (`backing_file_mmap`).
    fn lease(&mut self) -> Op {
        let at = self.rng.random_range(0..SLOTS);
        let (slot, name) = (slot_number(at), self.new_name(false));
        let mode = self.pick(&[0o644, 0o666]);
        self.tree.add_file(&name, mode);
        let inode = self.tree.file(&name);
        self.put(at, inode.map(Slot::to_read));
        self.own.kept[at].locked = true;
        let lease = |lock| Op::Lock(LockOp::Lease { slot, lock });
        let held = self.pick(&[Locked::Shared, Locked::Exclusive]);
        let lines = self.rng.random_range(2..=LEASED);
        self.own.later.next(lease(held));
        self.own.later.after(lines, lease(Locked::Not));
        Op::Open {
            slot,
            path: path(&name),
            flags: O_NONBLOCK | O_CREAT | O_EXCL,
            mode,
        }
    }
}
