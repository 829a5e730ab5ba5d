//! One worker's stream of operations.

mod attrs;
mod choose;
mod data;
mod later;
mod locks;
mod maps;
mod names;
mod process;
mod ranges;
mod slots;
mod xattrs;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::mix::{Kind, Mix};
use super::model::{Model, Node, User};
use crate::op::{Base, FileOp, Line, Op, Path};
use later::Later;
use maps::{MAPS, Map};
use slots::{Kept, SLOTS, Slot};

/// Bytes of a block of ext4, and of a page.
const BLOCK: u64 = 4096;

/// One process: its choices, and what is its own.
#[derive(Debug)]
pub(super) struct Worker {
    number: u16,
    /// The directory all its names are in; empty for the case's directory,
    /// which need not be made.
    home: String,
    rng: ChaCha8Rng,
    own: Own,
}

/// What a process has that no other sees.
#[derive(Debug)]
struct Own {
    slots: [Option<Slot>; SLOTS],
    /// What was asked for since something was last put into each slot.
    kept: [Kept; SLOTS],
    maps: [Option<Map>; MAPS],
    user: User,
    later: Later,
}

impl Worker {
    pub fn new(seed: u64, number: u16, home: String) -> Worker {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number.into());
        let mut later = Later::default();
        if !home.is_empty() {
            later.next(Op::Mkdir {
                path: path(&home),
                mode: 0o755,
            });
        }
        Worker {
            number,
            home,
            rng,
            own: Own {
                slots: [None; SLOTS],
                kept: [Kept::default(); SLOTS],
                maps: [None; MAPS],
                user: User::default(),
                later,
            },
        }
    }

    /// The next line, and what it most likely does to `tree`.
    pub fn next_line(&mut self, mix: &Mix, tree: &mut Model) -> Line {
        let due = self.own.later.due();
        tree.user = self.own.user;
        let mut turn = Turn {
            home: &self.home,
            rng: &mut self.rng,
            own: &mut self.own,
            tree,
            mix,
        };
        let op = match due {
            Some(op) => {
                turn.note(&op);
                op
            }
            None => {
                let kind = turn.mix.choose(turn.rng);
                turn.op(kind)
            }
        };
        Line::new(self.number, op)
    }
}

/// One choice: the worker's own, and the tree it may share.
struct Turn<'a> {
    home: &'a str,
    rng: &'a mut ChaCha8Rng,
    own: &'a mut Own,
    tree: &'a mut Model,
    mix: &'a Mix,
}

impl Turn<'_> {
    fn op(&mut self, kind: Kind) -> Op {
        match kind {
            Kind::Creat | Kind::Mkdir | Kind::Mknod | Kind::Symlink | Kind::Link => self.make(kind),
            Kind::Unlink | Kind::Rmdir => self.remove(kind),
            Kind::Rename | Kind::Rnoreplace | Kind::Rexchange | Kind::Rwhiteout => {
                self.rename(kind)
            }
            Kind::Tmpfile => self.tmpfile(),
            // truncate(2) waits until a lease is given back, and its holder for its turn.
            Kind::Truncate if self.tree.leases > 0 => self.look(Kind::Stat),
            Kind::Read
            | Kind::Readv
            | Kind::Dread
            | Kind::Aread
            | Kind::UringRead
            | Kind::Write
            | Kind::Writev
            | Kind::Dwrite
            | Kind::Awrite
            | Kind::UringWrite
            | Kind::Mread
            | Kind::Mwrite
            | Kind::Truncate => self.data(kind),
            Kind::Fallocate | Kind::Punch | Kind::Zero | Kind::Collapse | Kind::Insert => {
                self.fallocate(kind)
            }
            Kind::CopyRange | Kind::CloneRange | Kind::DedupeRange | Kind::Splice => {
                self.between(kind)
            }
            Kind::Fsync | Kind::Fdatasync | Kind::Stat | Kind::Getattr => self.look(kind),
            Kind::Access | Kind::Getdents | Kind::Readlink | Kind::Statfs | Kind::Lsattr => {
                self.look(kind)
            }
            Kind::Setattr | Kind::Chown => self.attributes(kind),
            Kind::Chattr => self.chattr(),
            Kind::Setfattr
            | Kind::Getfattr
            | Kind::Listfattr
            | Kind::Removefattr
            | Kind::AttrSet
            | Kind::AttrRemove => self.xattr(kind),
            Kind::Acl => self.acl(),
            Kind::Open => self.open(),
            Kind::Close
            | Kind::Pwrite
            | Kind::Pread
            | Kind::Fdwrite
            | Kind::Fdread
            | Kind::Ftruncate
            | Kind::Fstat
            | Kind::Lseek
            | Kind::Fsyncfd
            | Kind::Fdpath => self.on_slot(kind),
            Kind::Mmap | Kind::Mstore | Kind::Mload | Kind::Msync | Kind::Munmap => {
                self.mapping(kind)
            }
            Kind::Flock | Kind::Lock | Kind::Getlock | Kind::Lease => self.lock(kind),
            Kind::Creds => self.creds(),
            Kind::Umask => self.umask(),
            Kind::Sync => Op::Sync,
            Kind::Dropcaches => Op::DropCaches,
        }
    }

    /// Operations that change nothing.
    fn look(&mut self, kind: Kind) -> Op {
        let path = match kind {
            Kind::Fsync | Kind::Fdatasync => path(&self.existing(is_file)),
            Kind::Getdents => path(&self.existing(Node::is_dir)),
            Kind::Readlink => path(&self.existing(|node| matches!(node, Node::Symlink(_)))),
            _ => path(&self.existing(|_| true)),
        };
        match kind {
            Kind::Fsync => Op::Fsync { path },
            Kind::Fdatasync => Op::Fdatasync { path },
            Kind::Getattr => Op::Lstat { path },
            Kind::Access => Op::Access {
                path,
                mask: self.rng.random_range(0..8),
            },
            Kind::Getdents => Op::Readdir { path },
            Kind::Readlink => Op::Readlink { path },
            Kind::Statfs => Op::File(FileOp::Statfs { path }),
            Kind::Lsattr => Op::File(FileOp::Lsattr { path }),
            _ => Op::Stat { path },
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
