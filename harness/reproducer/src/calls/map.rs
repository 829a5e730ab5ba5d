//! `MapOp` as calls.

use lookback_ops::MapOp;

use super::Calls;
use crate::literal::unsigned;

impl Calls {
    pub(super) fn map(&mut self, op: &MapOp) -> String {
        match op {
            MapOp::Map {
                map,
                slot,
                off,
                len,
                read_only,
            } => format!(
                "do_mmap({}, {}, {}, {len}, {})",
                self.mapping(*map),
                self.slot(*slot),
                unsigned(*off),
                u8::from(*read_only)
            ),
            MapOp::Store {
                map,
                off,
                len,
                seed,
            } => format!(
                "do_mstore({}, {}, {len}, {})",
                self.mapping(*map),
                unsigned((*off).into()),
                unsigned(*seed)
            ),
            MapOp::Load { map, off, len } => format!(
                "do_mload({}, {}, {len})",
                self.mapping(*map),
                unsigned((*off).into())
            ),
            MapOp::Sync { map } => format!("do_msync({})", self.mapping(*map)),
            MapOp::Unmap { map } => format!("do_munmap({})", self.mapping(*map)),
        }
    }

    fn mapping(&mut self, number: u16) -> u16 {
        self.mappings = self.mappings.max(u32::from(number) + 1);
        number
    }
}
