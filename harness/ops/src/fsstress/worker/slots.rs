//! Operations on files kept open.

use rand::Rng;

use super::{Turn, is_file, path};
use crate::fsstress::mix::Kind;
use crate::op::{Op, Whence};

/// Open files a worker keeps at most.
pub(super) const SLOTS: usize = 4;

const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_TRUNC: u32 = 0o1_000;
const O_APPEND: u32 = 0o2_000;
/// Without it open(2) of a fifo waits for its other end.
const O_NONBLOCK: u32 = 0o4_000;
const O_RDONLY: u32 = 0;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;

/// An open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The regular file's index into the sizes.
    inode: Option<usize>,
    /// It takes pread(2).
    reads: bool,
    /// It takes pwrite(2) and ftruncate(2).
    writes: bool,
}

impl Turn<'_> {
    pub(super) fn open(&mut self) -> Op {
        let slot = self.rng.random_range(0..SLOTS);
        let access = self.pick(&[O_RDONLY, O_WRONLY, O_RDWR, O_RDWR]);
        let mut flags = O_NONBLOCK | access;
        let create = self.rng.random_bool(0.3);
        if create {
            flags |= O_CREAT;
            flags |= if self.rng.random_bool(0.2) { O_EXCL } else { 0 };
        }
        flags |= if self.rng.random_bool(0.1) {
            O_TRUNC
        } else {
            0
        };
        flags |= if self.rng.random_bool(0.1) {
            O_APPEND
        } else {
            0
        };
        let at = if create && self.rng.random_bool(0.5) {
            self.new_name(false)
        } else {
            self.existing(is_file)
        };
        if create {
            self.tree.open_or_add(&at, flags & O_EXCL != 0);
        }
        let inode = self.tree.file(&at);
        if flags & O_TRUNC != 0 {
            self.tree.resize(inode, 0);
        }
        let open = Slot {
            inode,
            reads: access != O_WRONLY,
            writes: access != O_RDONLY,
        };
        self.slots[slot] = self.tree.get(&at).map(|_| open);
        let mode = if create { 0o644 } else { 0 };
        Op::Open {
            slot: slot_number(slot),
            path: path(&at),
            flags,
            mode,
        }
    }

    pub(super) fn on_slot(&mut self, kind: Kind) -> Op {
        let suits = |slot: &Slot| match kind {
            Kind::Pwrite | Kind::Ftruncate => slot.writes && slot.inode.is_some(),
            Kind::Pread => slot.reads && slot.inode.is_some(),
            _ => true,
        };
        let suited: Vec<_> = (0..SLOTS)
            .filter(|at| self.slots[*at].as_ref().is_some_and(suits))
            .collect();
        let at = if suited.is_empty() || self.rng.random_bool(0.05) {
            self.rng.random_range(0..SLOTS)
        } else {
            self.pick(&suited)
        };
        let inode = self.slots[at].and_then(|slot| slot.inode);
        let size = inode.map_or(0, |inode| self.tree.size(inode));
        let slot = slot_number(at);
        match kind {
            Kind::Close => {
                self.slots[at] = None;
                Op::Close { slot }
            }
            Kind::Pwrite => {
                let (off, len) = self.write_range(size);
                self.tree.extend(inode, off + u64::from(len));
                Op::Pwrite {
                    slot,
                    off,
                    len,
                    seed: self.seed(),
                }
            }
            Kind::Pread => {
                let (off, len) = self.range(size.max(4096));
                Op::Pread { slot, off, len }
            }
            Kind::Ftruncate => {
                let size = self.new_size(size);
                self.tree.resize(inode, size);
                Op::Ftruncate { slot, size }
            }
            Kind::Lseek => {
                let whence = self.pick(&[
                    Whence::Set,
                    Whence::Cur,
                    Whence::End,
                    Whence::Data,
                    Whence::Hole,
                ]);
                let off = self
                    .rng
                    .random_range(-64..=i64::try_from(size).unwrap_or(0) + 64);
                Op::Lseek { slot, off, whence }
            }
            Kind::Fsyncfd => Op::Fsyncfd { slot },
            _ => Op::Fstat { slot },
        }
    }
}
fn slot_number(slot: usize) -> u16 {
    u16::try_from(slot).unwrap_or(0)
}
