//! Operations on files kept open.

use rand::Rng;

use super::{Turn, is_file, path};
use crate::fsstress::mix::Kind;
use crate::fsstress::model::{READ, WRITE};
use crate::op::{FileOp, IoOp, Op, Whence};

/// Open files a worker keeps at most.
pub(super) const SLOTS: usize = 4;
/// One more, for what must not be closed by chance.
pub(super) const GUARD: u16 = 4;

pub(super) const O_CREAT: u32 = 0o100;
pub(super) const O_EXCL: u32 = 0o200;
const O_TRUNC: u32 = 0o1_000;
const O_APPEND: u32 = 0o2_000;
/// Without it open(2) of a fifo waits for its other end, and of what is leased
/// for the holder.
pub(super) const O_NONBLOCK: u32 = 0o4_000;
const O_DIRECT: u32 = 0o40_000;
const O_NOFOLLOW: u32 = 0o400_000;
const O_NOATIME: u32 = 0o1_000_000;
const O_PATH: u32 = 0o10_000_000;
pub(super) const O_TMPFILE: u32 = 0o20_200_000;
const O_RDONLY: u32 = 0;
const O_WRONLY: u32 = 1;
pub(super) const O_RDWR: u32 = 2;

/// An open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The regular file's index into the sizes.
    pub inode: Option<usize>,
    /// It takes pread(2).
    pub reads: bool,
    /// It takes pwrite(2) and ftruncate(2).
    pub writes: bool,
    /// In whole sectors alone.
    direct: bool,
    /// write(2) goes to the end.
    append: bool,
}

/// What may go on with a file after its slot is closed. A mapping keeps the file,
/// and that a lock or a lease; but one of a stacked file has only the lower file
/// open (`backing_file_mmap`), so that there the lock is gone. No file has both,
/// whether it is known to be open or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// flock(2) or a lease was asked for.
    pub locked: bool,
    /// A mapping was.
    pub mapped: bool,
}

impl Slot {
    /// A file to read and to write.
    pub fn of(inode: usize) -> Slot {
        Slot {
            inode: Some(inode),
            reads: true,
            writes: true,
            direct: false,
            append: false,
        }
    }

    pub fn to_read(inode: usize) -> Slot {
        Slot {
            writes: false,
            ..Slot::of(inode)
        }
    }
}

impl Turn<'_> {
    pub(super) fn open_in(&self, slot: u16) -> Option<Slot> {
        self.own.slots.get(usize::from(slot)).copied().flatten()
    }

    /// This is what the slot has now, as far as it is known.
    pub(super) fn put(&mut self, at: usize, open: Option<Slot>) {
        self.own.slots[at] = open;
        self.own.kept[at] = Kept::default();
    }

    pub(super) fn open(&mut self) -> Op {
        let slot = self.rng.random_range(0..SLOTS);
        let access = self.pick(&[O_RDONLY, O_WRONLY, O_RDWR, O_RDWR]);
        let mut flags = O_NONBLOCK | access;
        // Where direct reads and writes by path are wanted, here, too.
        let direct = self.mix.has(Kind::Dwrite);
        for (flag, probability) in [
            (O_CREAT, 0.3),
            (O_TRUNC, 0.1),
            (O_APPEND, 0.15),
            (O_NOFOLLOW, 0.05),
            (O_NOATIME, 0.03),
            (O_PATH, 0.02),
            (O_DIRECT, if direct { 0.05 } else { 0.0 }),
        ] {
            if self.rng.random_bool(probability) {
                flags |= flag;
            }
        }
        let create = flags & O_CREAT != 0;
        if create && self.rng.random_bool(0.2) {
            flags |= O_EXCL;
        }
        let at = if create && self.rng.random_bool(0.5) {
            self.new_name(false)
        } else {
            self.existing(is_file)
        };
        let is_open = flags & O_PATH == 0;
        let mode = if create {
            self.pick(&[0o644, 0o644, 0o666, 0o600, 0o4755])
        } else {
            0
        };
        let wanted = match access {
            _ if !is_open => 0,
            O_RDONLY => READ,
            O_WRONLY => WRITE,
            _ => READ | WRITE,
        };
        // Whoever makes a file has it open as wanted, whatever its mode.
        let mut opens = self.tree.opens(&at, wanted);
        if create && is_open {
            self.tree.open_or_add(&at, flags & O_EXCL != 0, mode);
            opens &= self.tree.get(&at).is_some();
        }
        let inode = self.tree.file(&at);
        if flags & O_TRUNC != 0 && is_open && opens {
            self.tree.resize(inode, 0);
        }
        let open = Slot {
            inode,
            reads: access != O_WRONLY && is_open,
            writes: access != O_RDONLY && is_open,
            direct: flags & O_DIRECT != 0,
            append: flags & O_APPEND != 0,
        };
        let found = self.tree.get(&at).filter(|node| {
            let no_file = node.is_dir() && wanted & WRITE != 0;
            opens && !no_file
        });
        self.put(slot, found.map(|_| open));
        Op::Open {
            slot: slot_number(slot),
            path: path(&at),
            flags,
            mode,
        }
    }

    /// A slot with something open that suits, most often.
    pub(super) fn slot_where(&mut self, suits: impl Fn(&Slot) -> bool) -> usize {
        self.slot_kept(|slot, _| suits(slot))
    }

    /// The same, by what was asked for since, too.
    pub(super) fn slot_kept(&mut self, suits: impl Fn(&Slot, Kept) -> bool) -> usize {
        let own = &self.own;
        let suits = |at: &usize| own.slots[*at].is_some_and(|slot| suits(&slot, own.kept[*at]));
        let suited: Vec<_> = (0..SLOTS).filter(suits).collect();
        if suited.is_empty() || self.rng.random_bool(0.05) {
            self.rng.random_range(0..SLOTS)
        } else {
            self.pick(&suited)
        }
    }

    pub(super) fn on_slot(&mut self, kind: Kind) -> Op {
        let at = self.slot_where(|slot| match kind {
            Kind::Pwrite | Kind::Fdwrite | Kind::Ftruncate => slot.writes && slot.inode.is_some(),
            Kind::Pread | Kind::Fdread => slot.reads && slot.inode.is_some(),
            _ => true,
        });
        let open = self.own.slots[at];
        let inode = open.and_then(|slot| slot.inode);
        let direct = open.is_some_and(|slot| slot.direct);
        let size = inode.map_or(0, |inode| self.tree.size(inode));
        let slot = slot_number(at);
        match kind {
            Kind::Close => {
                self.put(at, None);
                Op::Close { slot }
            }
            Kind::Pwrite => {
                let (off, len) = self.write_range(size);
                let (off, len) = self.aligned_if(direct, off, len);
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
                let (off, len) = self.aligned_if(direct, off, len);
                Op::Pread { slot, off, len }
            }
            Kind::Fdwrite => {
                let len = self.len();
                let (_, len) = self.aligned_if(direct, 0, len);
                // Where it is positioned is anybody's guess.
                let append = open.is_some_and(|slot| slot.append);
                let at = if append { size } else { 0 };
                self.tree.extend(inode, at + u64::from(len));
                Op::Io(IoOp::FdWrite {
                    slot,
                    len,
                    seed: self.seed(),
                })
            }
            Kind::Fdread => {
                let len = self.len();
                let (_, len) = self.aligned_if(direct, 0, len);
                Op::Io(IoOp::FdRead { slot, len })
            }
            Kind::Fdpath => Op::File(FileOp::FdPath { slot }),
            Kind::Ftruncate => {
                let size = self.new_size(size);
                self.tree.resize(inode, size);
                Op::Ftruncate { slot, size }
            }
            Kind::Lseek => {
                // Neither to data nor to a hole: in what is allocated and not
                // written it is the page cache that tells them apart
                // (mapping_seek_hole_data), and others drop caches.
                let (whence, and_back) = self.pick(&[
                    (Whence::Set, false),
                    (Whence::Cur, false),
                    (Whence::End, false),
                    (Whence::End, true),
                    (Whence::End, true),
                ]);
                let off = self
                    .rng
                    .random_range(-64..=i64::try_from(size).unwrap_or(0) + 64);
                // Behind the end there is nothing to read.
                if and_back {
                    self.own.later.next(Op::Lseek {
                        slot,
                        off: 0,
                        whence: Whence::Set,
                    });
                }
                Op::Lseek { slot, off, whence }
            }
            Kind::Fsyncfd => Op::Fsyncfd { slot },
            _ => Op::Fstat { slot },
        }
    }
}

/// The number of a slot, or of a mapping.
pub(super) fn slot_number(slot: usize) -> u16 {
    u16::try_from(slot).unwrap_or(0)
}
