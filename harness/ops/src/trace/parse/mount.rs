//! Words as an operation of `op::MountOp`.

use super::super::args::{Args, Fault, Word};
use crate::op::MountOp;

const ID: &str = "a backing id";

/// The operation `word` names, if it is one of these.
pub(super) fn op(word: &Word, args: &mut Args) -> Result<Option<MountOp>, Fault> {
    Ok(Some(match word.bare.as_str() {
        "bind" => MountOp::Bind {
            path: args.path()?,
            on: args.path()?,
            read_only: !args.is_empty() && args.one_of(&[("ro", true)], "ro")?,
        },
        "register" => MountOp::Register {
            id: args.number(ID)?,
            path: args.path()?,
        },
        "unregister" => MountOp::Unregister {
            id: args.number(ID)?,
        },
        "rootdir" => {
            let mut paths = vec![args.path()?];
            while !args.is_empty() {
                paths.push(args.path()?);
            }
            MountOp::RootDir { paths }
        }
        "abort" => MountOp::Abort,
        _ => return Ok(None),
    }))
}
