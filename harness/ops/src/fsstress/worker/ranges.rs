//! Operations on ranges: allocation, holes, copies in the kernel.

use rand::Rng;

use super::{BLOCK, Turn, is_file, path};
use crate::fsstress::MAX_FILE;
use crate::fsstress::mix::Kind;
use crate::op::{FileOp, Op};

const KEEP_SIZE: u32 = 0x01;
const PUNCH_HOLE: u32 = 0x02;
const COLLAPSE_RANGE: u32 = 0x08;
const ZERO_RANGE: u32 = 0x10;
const INSERT_RANGE: u32 = 0x20;

/// Blocks one operation is about, at most.
const BLOCKS: u64 = 8;

impl Turn<'_> {
    pub(super) fn fallocate(&mut self, kind: Kind) -> Op {
        let at = self.existing(is_file);
        let inode = self.tree.file(&at);
        let size = inode.map_or(0, |inode| self.tree.size(inode));
        let keep = if self.rng.random_bool(0.5) {
            KEEP_SIZE
        } else {
            0
        };
        let (off, len) = self.blocks(size);
        let mode = match kind {
            Kind::Fallocate => keep,
            // Without FALLOC_FL_KEEP_SIZE it is refused.
            Kind::Punch if self.rng.random_bool(0.95) => PUNCH_HOLE | KEEP_SIZE,
            Kind::Punch => PUNCH_HOLE,
            Kind::Zero => ZERO_RANGE | keep,
            Kind::Collapse => COLLAPSE_RANGE,
            _ => INSERT_RANGE,
        };
        let aligned = off % BLOCK == 0 && len % BLOCK == 0;
        match kind {
            Kind::Fallocate | Kind::Zero if keep == 0 => self.tree.extend(inode, off + len),
            Kind::Collapse if aligned && off + len < size => self.tree.resize(inode, size - len),
            Kind::Insert if aligned && off < size => self.tree.resize(inode, size + len),
            _ => {}
        }
        Op::File(FileOp::Fallocate {
            path: path(&at),
            off,
            len,
            mode,
        })
    }

    pub(super) fn between(&mut self, kind: Kind) -> Op {
        let (from, to) = (self.existing(is_file), self.existing(is_file));
        let size = |turn: &Self, at| {
            let inode = turn.tree.file(at);
            inode.map_or(0, |inode| turn.tree.size(inode))
        };
        let (source, target) = (size(self, &from), size(self, &to));
        let (from_off, len) = self.blocks(source);
        let to_off = self.blocks(target).0;
        let inode = self.tree.file(&to);
        let copied = len.min(source.saturating_sub(from_off));
        let extended = |off: u64| if copied > 0 { off + copied } else { 0 };
        match kind {
            Kind::CopyRange => self.tree.extend(inode, extended(to_off)),
            Kind::Splice => self.tree.extend(inode, extended(from_off)),
            _ => {}
        }
        let (from, to) = (path(&from), path(&to));
        Op::File(match kind {
            Kind::CopyRange => FileOp::CopyRange {
                from,
                to,
                from_off,
                to_off,
                len,
            },
            Kind::CloneRange => FileOp::CloneRange {
                from,
                to,
                from_off,
                to_off,
                len,
            },
            Kind::DedupeRange => FileOp::DedupeRange {
                from,
                to,
                from_off,
                to_off,
                len,
            },
            _ => FileOp::Splice {
                from,
                to,
                off: from_off,
                len,
            },
        })
    }

    /// A range that begins in the first `size` bytes and ends before
    /// [`MAX_FILE`]; of whole blocks most often.
    fn blocks(&mut self, size: u64) -> (u64, u64) {
        let off = self.rng.random_range(0..=size / BLOCK) * BLOCK;
        let len = self.rng.random_range(1..=BLOCKS) * BLOCK;
        let off = off.min(MAX_FILE - len);
        if self.rng.random_bool(0.7) {
            (off, len)
        } else {
            let odd = self.rng.random_range(0..BLOCK);
            (off + odd, self.rng.random_range(1..=len - odd))
        }
    }
}
