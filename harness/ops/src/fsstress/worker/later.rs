//! Operations that follow one another, and those that undo what must not last.

use super::Turn;
use crate::op::{FileOp, LockOp, Locked, Op};

/// What a worker does next, or in a while, whatever is chosen meanwhile.
#[derive(Debug, Default)]
pub(super) struct Later(Vec<(u32, Op)>);

impl Later {
    /// `op` is the worker's next line, after those that are next already.
    pub fn next(&mut self, op: Op) {
        self.after(0, op);
    }

    /// `op` comes after so many lines of the worker.
    pub fn after(&mut self, lines: u32, op: Op) {
        self.0.push((lines, op));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Another line: what it has to be, if anything.
    pub fn due(&mut self) -> Option<Op> {
        for (left, _) in &mut self.0 {
            *left = left.saturating_sub(1);
        }
        let first = self.0.iter().position(|(left, _)| *left == 0)?;
        Some(self.0.remove(first).1)
    }
}

impl Turn<'_> {
    /// What an operation that was put off most likely does, now that it comes.
    pub(super) fn note(&mut self, op: &Op) {
        match op {
            Op::Creds { uid, .. } => self.be(*uid),
            Op::Pwrite { slot, off, len, .. } => {
                let inode = self.open_in(*slot).and_then(|slot| slot.inode);
                self.tree.extend(inode, off + u64::from(*len));
            }
            Op::File(FileOp::LinkFd { slot, path }) => {
                if let Some(inode) = self.open_in(*slot).and_then(|slot| slot.inode) {
                    self.tree.link_inode(&path.rel, inode);
                }
            }
            Op::Lock(LockOp::Lease { lock, .. }) => match lock {
                Locked::Not => self.tree.leases = self.tree.leases.saturating_sub(1),
                Locked::Shared | Locked::Exclusive => self.tree.leases += 1,
            },
            _ => {}
        }
    }
}
