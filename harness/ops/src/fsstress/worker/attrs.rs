//! Operations that change attributes.

use rand::Rng;

use super::slots::{GUARD, O_NONBLOCK};
use super::{Turn, path};
use crate::fsstress::mix::Kind;
use crate::fsstress::model::Node;
use crate::op::{Base, FileOp, Op, Path};

/// FS_SYNC_FL (linux/fs.h)
const SYNC: u32 = 0x08;
/// FS_IMMUTABLE_FL
const IMMUTABLE: u32 = 0x10;
/// FS_APPEND_FL
const APPEND_ONLY: u32 = 0x20;
/// FS_NODUMP_FL
const NO_DUMP: u32 = 0x40;
/// FS_NOATIME_FL
const NO_ATIME: u32 = 0x80;

/// Lines of the worker until what is immutable is not any more, at most.
const GUARDED: u32 = 8;

impl Turn<'_> {
    pub(super) fn attributes(&mut self, kind: Kind) -> Op {
        let at = self.existing(|_| true);
        let path = path(&at);
        if kind == Kind::Chown {
            let (uid, gid) = (self.owner(), self.owner());
            self.tree.chown(&at, uid, gid);
            return Op::Chown { path, uid, gid };
        }
        if self.rng.random_bool(0.6) {
            let mode = self.pick(&[
                0o644, 0o600, 0o755, 0o777, 0o400, 0o1777, 0o2755, 0o4755, 0o6777, 0o2777, 0,
            ]);
            self.tree.chmod(&at, mode);
            return Op::Chmod { path, mode };
        }
        let mut time = || {
            (
                self.rng.random_range(0..2_000_000_000),
                self.rng.random_range(0..1_000_000_000),
            )
        };
        Op::Utimens {
            path,
            atime: time(),
            mtime: time(),
        }
    }

    /// Letters that change little; `a` and `i` until a few lines later.
    pub(super) fn chattr(&mut self) -> Op {
        let found = path(&self.existing(Node::has_attributes));
        // The undoing needs privileges, and the slot.
        if !self.own.user.is_root() || !self.own.later.is_empty() || self.rng.random_bool(0.7) {
            let flags = self.pick(&[NO_ATIME, NO_DUMP, NO_ATIME | NO_DUMP, SYNC, 0, 0]);
            return Op::File(FileOp::Chattr { path: found, flags });
        }
        let flags = self.pick(&[APPEND_ONLY, IMMUTABLE]);
        // By the open file: the name may be another's by then.
        let chattr = |flags| {
            let path = Path {
                base: Base::Slot(GUARD),
                rel: String::new(),
            };
            Op::File(FileOp::Chattr { path, flags })
        };
        let lines = self.rng.random_range(2..=GUARDED);
        self.own.later.next(chattr(flags));
        self.own.later.after(lines, chattr(0));
        self.own.later.after(lines, Op::Close { slot: GUARD });
        Op::Open {
            slot: GUARD,
            path: found,
            flags: O_NONBLOCK,
            mode: 0,
        }
    }
}
