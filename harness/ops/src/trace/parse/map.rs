//! Words as an operation of `op::MapOp`.

use super::super::args::{Args, Fault, Word};
use super::values::{SLOT, fits, required};
use crate::op::MapOp;

const MAP: &str = "the number of a mapping, 0 to 65535";

/// The operation `word` names, if it is one of these.
pub(super) fn op(word: &Word, args: &mut Args) -> Result<Option<MapOp>, Fault> {
    Ok(Some(match word.bare.as_str() {
        "mmap" => {
            let (map, slot) = (args.number(MAP)?, args.number(SLOT)?);
            let [off, len] = args.named(["off", "len"])?;
            MapOp::Map {
                map,
                slot,
                off: fits(off, Some(0))?,
                len: required(args, len)?,
                read_only: !args.is_empty() && args.one_of(&[("ro", true)], "ro")?,
            }
        }
        "mstore" => {
            let map = args.number(MAP)?;
            let [off, len, seed] = args.named(["off", "len", "seed"])?;
            MapOp::Store {
                map,
                off: fits(off, Some(0))?,
                len: required(args, len)?,
                seed: fits(seed, Some(0))?,
            }
        }
        "mload" => {
            let map = args.number(MAP)?;
            let [off, len] = args.named(["off", "len"])?;
            MapOp::Load {
                map,
                off: fits(off, Some(0))?,
                len: required(args, len)?,
            }
        }
        "msync" => MapOp::Sync {
            map: args.number(MAP)?,
        },
        "munmap" => MapOp::Unmap {
            map: args.number(MAP)?,
        },
        _ => return Ok(None),
    }))
}
