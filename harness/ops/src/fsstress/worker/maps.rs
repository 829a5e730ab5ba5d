//! Mappings kept open.

use rand::Rng;

use super::slots::slot_number;
use super::{BLOCK, Turn};
use crate::fsstress::mix::Kind;
use crate::op::{MapOp, Op};

/// Mappings a worker keeps at most.
pub(super) const MAPS: usize = 3;

/// A mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Map {
    /// The regular file's index into the sizes.
    inode: Option<usize>,
    off: u64,
    len: u32,
    read_only: bool,
}

impl Turn<'_> {
    pub(super) fn mapping(&mut self, kind: Kind) -> Op {
        let at = match kind {
            Kind::Mmap => self.rng.random_range(0..MAPS),
            kind => self.map_for(kind),
        };
        if kind == Kind::Mmap {
            return self.map(at);
        }
        let map = slot_number(at);
        Op::Map(match kind {
            Kind::Mstore => {
                let (off, len) = self.part_of(at);
                MapOp::Store {
                    map,
                    off,
                    len,
                    seed: self.seed(),
                }
            }
            Kind::Mload => {
                let (off, len) = self.part_of(at);
                MapOp::Load { map, off, len }
            }
            Kind::Msync => MapOp::Sync { map },
            _ => {
                self.own.maps[at] = None;
                MapOp::Unmap { map }
            }
        })
    }

    /// A mapping that is there, most often.
    fn map_for(&mut self, kind: Kind) -> usize {
        let suits = |map: &Map| kind != Kind::Mstore || !map.read_only;
        let suited: Vec<_> = (0..MAPS)
            .filter(|at| self.own.maps[*at].as_ref().is_some_and(suits))
            .collect();
        if suited.is_empty() || self.rng.random_bool(0.05) {
            self.rng.random_range(0..MAPS)
        } else {
            self.pick(&suited)
        }
    }

    /// Part of a file and sometimes of what may become part of it.
    fn map(&mut self, at: usize) -> Op {
        let slot = self.slot_kept(|slot, kept| slot.reads && slot.inode.is_some() && !kept.locked);
        if self.own.kept[slot].locked {
            return Op::Fstat {
                slot: slot_number(slot),
            };
        }
        self.own.kept[slot].mapped = true;
        let open = self.own.slots[slot];
        let inode = open.and_then(|slot| slot.inode);
        let size = inode.map_or(0, |inode| self.tree.size(inode));
        let off = if self.rng.random_bool(0.7) {
            0
        } else {
            self.rng.random_range(0..=size / BLOCK) * BLOCK
        };
        let left = u32::try_from(size.saturating_sub(off)).unwrap_or(0);
        let len = match self.rng.random_range(0..4) {
            0 => left.saturating_add(self.rng.random_range(1..16 << 10)),
            1 => self.rng.random_range(1..=left.max(1)),
            _ => left.max(1),
        };
        let read_only = open.is_some_and(|slot| !slot.writes) || self.rng.random_bool(0.1);
        self.own.maps[at] = open.filter(|slot| slot.reads).map(|_| Map {
            inode,
            off,
            len,
            read_only,
        });
        Op::Map(MapOp::Map {
            map: slot_number(at),
            slot: slot_number(slot),
            off,
            len,
            read_only,
        })
    }

    /// A range of a mapping, before the end of its file most often.
    fn part_of(&mut self, at: usize) -> (u32, u32) {
        let Some(map) = self.own.maps[at] else {
            return (0, 1);
        };
        let size = map.inode.map_or(0, |inode| self.tree.size(inode));
        let left = u32::try_from(size.saturating_sub(map.off)).unwrap_or(u32::MAX);
        let room = if self.rng.random_bool(0.9) && left > 0 {
            map.len.min(left)
        } else {
            map.len
        };
        let off = self.rng.random_range(0..room.max(1));
        (off, self.len().min(map.len - off.min(map.len)))
    }
}
