//! Operations that make and move names.

use rand::Rng;

use super::slots::{O_RDWR, O_TMPFILE, SLOTS, Slot, slot_number};
use super::{Turn, path};
use crate::fsstress::mix::Kind;
use crate::fsstress::model::{Node, WRITE};
use crate::op::{FileOp, NodeKind, Op, RenameFlags};

impl Turn<'_> {
    pub(super) fn make(&mut self, kind: Kind) -> Op {
        let at = self.new_name(kind == Kind::Mkdir);
        match kind {
            Kind::Mkdir => {
                let mode = self.pick(&[0o755, 0o777, 0o700, 0o1777, 0o2775]);
                self.tree.add_dir(&at, mode);
                Op::Mkdir {
                    path: path(&at),
                    mode,
                }
            }
            Kind::Mknod => {
                self.tree.add(&at, Node::Special);
                let null = NodeKind::Char(1, 3);
                let kind = self.pick(&[NodeKind::Fifo, NodeKind::Fifo, NodeKind::Socket, null]);
                Op::Mknod {
                    path: path(&at),
                    kind,
                    mode: self.pick(&[0o644, 0o600, 0o666]),
                }
            }
            Kind::Symlink => {
                let target = self.target();
                self.tree.add_symlink(&at, &target);
                Op::Symlink {
                    target,
                    path: path(&at),
                }
            }
            Kind::Link => {
                let old = self.existing(|node| !node.is_dir());
                self.tree.link(&old, &at);
                Op::Link {
                    old: path(&old),
                    new: path(&at),
                }
            }
            _ => {
                let mode = self.pick(&[0o644, 0o600, 0o666, 0o666, 0o755, 0o4755, 0o6777]);
                self.tree.add_file(&at, mode);
                Op::Creat {
                    path: path(&at),
                    mode,
                }
            }
        }
    }

    pub(super) fn remove(&mut self, kind: Kind) -> Op {
        if kind == Kind::Unlink {
            let at = self.existing(|node| !node.is_dir());
            self.tree.unlink(&at);
            return Op::Unlink { path: path(&at) };
        }
        let at = self.directory_to_remove();
        // The worker's own directory stays: without it nothing more happens.
        let at = if at == self.home { self.anywhere() } else { at };
        self.tree.rmdir(&at);
        Op::Rmdir { path: path(&at) }
    }

    /// A file without a name, which is written to and gets one.
    pub(super) fn tmpfile(&mut self) -> Op {
        let dir = self.existing(Node::is_dir);
        let at = self.rng.random_range(0..SLOTS);
        let slot = slot_number(at);
        let mode = self.pick(&[0o644, 0o600, 0o666]);
        let writable = self.tree.get(&dir).is_some() && self.tree.opens(&dir, WRITE);
        let inode = writable.then(|| self.tree.new_inode(mode));
        self.put(at, inode.map(Slot::of));
        let (off, len) = self.write_range(0);
        let seed = self.seed();
        let write = Op::Pwrite {
            slot,
            off,
            len,
            seed,
        };
        let link = FileOp::LinkFd {
            slot,
            path: path(&self.new_name(false)),
        };
        self.own.later.next(write);
        self.own.later.next(Op::File(link));
        Op::Open {
            slot,
            path: path(&dir),
            flags: O_TMPFILE | O_RDWR,
            mode,
        }
    }

    pub(super) fn rename(&mut self, kind: Kind) -> Op {
        let old = self.existing(|_| true);
        let old = if old == self.home {
            self.anywhere()
        } else {
            old
        };
        let dir = self.tree.get(&old).is_some_and(Node::is_dir);
        let mut flags = RenameFlags::default();
        let onto_existing = match kind {
            Kind::Rnoreplace => 0.2,
            Kind::Rexchange => 0.9,
            _ => 0.4,
        };
        let new = if self.rng.random_bool(onto_existing) {
            self.existing(|node| node.is_dir() == dir)
        } else {
            self.new_name(dir)
        };
        let new = if new == self.home {
            self.anywhere()
        } else {
            new
        };
        match kind {
            Kind::Rnoreplace => flags.noreplace = true,
            Kind::Rexchange => flags.exchange = true,
            Kind::Rwhiteout => flags.whiteout = true,
            _ => {}
        }
        if flags.exchange {
            self.tree.exchange(&old, &new);
        } else {
            self.tree
                .rename(&old, &new, flags.noreplace, flags.whiteout);
        }
        Op::Rename {
            old: path(&old),
            new: path(&new),
            flags,
        }
    }
}
