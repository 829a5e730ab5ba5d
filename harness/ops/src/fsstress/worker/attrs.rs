//! Operations that change attributes.

use rand::Rng;

use super::{Turn, path};
use crate::fsstress::mix::Kind;
use crate::op::Op;

impl Turn<'_> {
    pub(super) fn attributes(&mut self, kind: Kind) -> Op {
        let path = path(&self.existing(|_| true));
        if kind == Kind::Chown {
            let (uid, gid) = (self.owner(), self.owner());
            return Op::Chown { path, uid, gid };
        }
        if self.rng.random_bool(0.6) {
            let mode = self.pick(&[0o644, 0o600, 0o755, 0o777, 0o400, 0o1777, 0o2755, 0o4755, 0]);
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
}
