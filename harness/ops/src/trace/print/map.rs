//! `op::MapOp` as text.

use std::fmt::{self, Display, Formatter};

use crate::op::MapOp;

impl Display for MapOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            MapOp::Map {
                map,
                slot,
                off,
                len,
                read_only,
            } => {
                let mode = if *read_only { " ro" } else { "" };
                write!(f, "mmap {map} {slot} off={off} len={len}{mode}")
            }
            MapOp::Store {
                map,
                off,
                len,
                seed,
            } => write!(f, "mstore {map} off={off} len={len} seed={seed}"),
            MapOp::Load { map, off, len } => write!(f, "mload {map} off={off} len={len}"),
            MapOp::Sync { map } => write!(f, "msync {map}"),
            MapOp::Unmap { map } => write!(f, "munmap {map}"),
        }
    }
}
