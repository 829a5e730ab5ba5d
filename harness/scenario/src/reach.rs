//! What a line of a trace can reach on the arms of its case.

use lookback_ops::{Base, Line};
use lookback_wire::control::Arm;

/// Refuse a line that means nothing on one of `arms`; the error says what was
/// expected instead.
pub(crate) fn check(line: &Line, arms: &[Arm]) -> Result<(), String> {
    let without_server = |arm: &&Arm| matches!(arm, Arm::Plain | Arm::Ext4);
    let odd = arms.iter().find(without_server);
    let at_root = line.op.paths().iter().any(|path| path.base == Base::Root);
    match odd {
        Some(arm) if at_root => Err(format!(
            "a path that is on every arm of the case (there is no @root/ on {arm})"
        )),
        _ => Ok(()),
    }
}
