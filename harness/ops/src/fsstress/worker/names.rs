//! Operations that make and move names.

use rand::Rng;

use super::{Turn, path};
use crate::fsstress::mix::Kind;
use crate::fsstress::model::Node;
use crate::op::{NodeKind, Op, RenameFlags};

impl Turn<'_> {
    pub(super) fn make(&mut self, kind: Kind) -> Op {
        let at = self.new_name(kind == Kind::Mkdir);
        match kind {
            Kind::Mkdir => {
                self.tree.add(&at, Node::Dir);
                Op::Mkdir {
                    path: path(&at),
                    mode: self.pick(&[0o755, 0o755, 0o700, 0o1777, 0o2775]),
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
                let old = self.existing(|node| node != Node::Dir);
                self.tree.link(&old, &at);
                Op::Link {
                    old: path(&old),
                    new: path(&at),
                }
            }
            _ => {
                self.tree.add_file(&at);
                Op::Creat {
                    path: path(&at),
                    mode: self.pick(&[0o644, 0o600, 0o666, 0o755, 0o4755]),
                }
            }
        }
    }

    pub(super) fn rename(&mut self, kind: Kind) -> Op {
        let old = self.existing(|_| true);
        let old = if old == self.home {
            self.anywhere()
        } else {
            old
        };
        let dir = self.tree.get(&old) == Some(Node::Dir);
        let mut flags = RenameFlags::default();
        let onto_existing = match kind {
            Kind::Rnoreplace => 0.2,
            Kind::Rexchange => 0.9,
            _ => 0.4,
        };
        let new = if self.rng.random_bool(onto_existing) {
            self.existing(|node| (node == Node::Dir) == dir)
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
