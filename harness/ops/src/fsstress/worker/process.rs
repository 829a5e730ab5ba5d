//! Who the worker is.

use rand::Rng;

use super::{Turn, path};
use crate::op::Op;

/// Owners of some of the files, too.
const USERS: [u32; 2] = [1000, 1001];
/// Lines of the worker until it has its privileges back, at most.
const STRETCH: u32 = 40;

impl Turn<'_> {
    /// A stretch without privileges, in a directory where everybody may make
    /// names, or the end of one.
    pub(super) fn creds(&mut self) -> Op {
        let back = Op::Creds { uid: 0, gid: 0 };
        if !self.own.user.is_root() {
            self.be(0);
            return back;
        }
        // What is to be undone may need the privileges.
        if !self.own.later.is_empty() {
            return self.umask();
        }
        let user = self.pick(&USERS);
        self.own.later.next(Op::Creds {
            uid: user,
            gid: user,
        });
        let stretch = self.rng.random_range(5..=STRETCH);
        self.own.later.after(stretch, back);
        let mode = self.pick(&[0o777, 0o777, 0o1777]);
        self.tree.chmod(self.home, mode);
        Op::Chmod {
            path: path(self.home),
            mode,
        }
    }

    pub(super) fn umask(&mut self) -> Op {
        let mask = self.pick(&[0, 0o022, 0o022, 0o027, 0o077]);
        self.own.user.umask = mask;
        self.tree.user = self.own.user;
        Op::Umask { mask }
    }

    /// From here on the worker is somebody else.
    pub(super) fn be(&mut self, id: u32) {
        self.own.user.id = id;
        self.tree.user = self.own.user;
    }
}
