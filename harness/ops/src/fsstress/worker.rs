//! One worker's stream of operations.

mod attrs;
mod choose;
mod data;
mod names;
mod slots;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::mix::{Kind, Mix};
use super::model::{Model, Node};
use crate::op::{Base, Line, Op, Path};
use slots::{SLOTS, Slot};

/// What is one worker's own: its choices, and what it has open.
#[derive(Debug)]
pub(super) struct Worker {
    number: u16,
    /// The directory all its names are in; empty for the case's directory,
    /// which need not be made.
    home: String,
    rng: ChaCha8Rng,
    slots: [Option<Slot>; SLOTS],
    started: bool,
}

impl Worker {
    pub fn new(seed: u64, number: u16, home: String) -> Worker {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number.into());
        Worker {
            number,
            started: home.is_empty(),
            home,
            rng,
            slots: [None; SLOTS],
        }
    }

    /// The next line, and what it most likely does to `tree`.
    pub fn next_line(&mut self, mix: &Mix, tree: &mut Model) -> Line {
        let op = if self.started {
            let kind = mix.choose(&mut self.rng);
            let mut turn = Turn {
                home: &self.home,
                rng: &mut self.rng,
                slots: &mut self.slots,
                tree,
            };
            turn.op(kind)
        } else {
            self.started = true;
            Op::Mkdir {
                path: path(&self.home),
                mode: 0o755,
            }
        };
        Line::new(self.number, op)
    }
}

/// One choice: the worker's own, and the tree it may share.
struct Turn<'a> {
    home: &'a str,
    rng: &'a mut ChaCha8Rng,
    slots: &'a mut [Option<Slot>; SLOTS],
    tree: &'a mut Model,
}

impl Turn<'_> {
    fn op(&mut self, kind: Kind) -> Op {
        match kind {
            Kind::Creat | Kind::Mkdir | Kind::Mknod | Kind::Symlink | Kind::Link => self.make(kind),
            Kind::Unlink => {
                let at = self.existing(|node| node != Node::Dir);
                self.tree.unlink(&at);
                Op::Unlink { path: path(&at) }
            }
            Kind::Rmdir => {
                let at = self.directory_to_remove();
                // The worker's own directory stays: without it nothing more happens.
                let at = if at == self.home { self.anywhere() } else { at };
                self.tree.rmdir(&at);
                Op::Rmdir { path: path(&at) }
            }
            Kind::Rename | Kind::Rnoreplace | Kind::Rexchange | Kind::Rwhiteout => {
                self.rename(kind)
            }
            Kind::Read | Kind::Write | Kind::Mread | Kind::Mwrite | Kind::Truncate => {
                self.data(kind)
            }
            Kind::Fsync => Op::Fsync {
                path: path(&self.existing(is_file)),
            },
            Kind::Fdatasync => Op::Fdatasync {
                path: path(&self.existing(is_file)),
            },
            Kind::Sync => Op::Sync,
            Kind::Stat => Op::Stat {
                path: path(&self.existing(|_| true)),
            },
            Kind::Getattr => Op::Lstat {
                path: path(&self.existing(|_| true)),
            },
            Kind::Setattr | Kind::Chown => self.attributes(kind),
            Kind::Access => Op::Access {
                path: path(&self.existing(|_| true)),
                mask: self.rng.random_range(0..8),
            },
            Kind::Getdents => Op::Readdir {
                path: path(&self.existing(|node| node == Node::Dir)),
            },
            Kind::Readlink => Op::Readlink {
                path: path(&self.existing(|node| matches!(node, Node::Symlink(_)))),
            },
            Kind::Open => self.open(),
            Kind::Close
            | Kind::Pwrite
            | Kind::Pread
            | Kind::Ftruncate
            | Kind::Fstat
            | Kind::Lseek
            | Kind::Fsyncfd => self.on_slot(kind),
        }
    }
}

fn is_file(node: Node) -> bool {
    matches!(node, Node::File(_))
}

fn path(rel: &str) -> Path {
    Path {
        base: Base::Arm,
        rel: rel.to_owned(),
    }
}
