//! What a line of a trace can reach on the arms of its case.

use lookback_ops::{Base, Line, MountOp, Op};
use lookback_wire::control::Arm;

/// Refuse a line that means nothing on one of `arms`; the error says what was
/// expected instead.
pub(crate) fn check(line: &Line, arms: &[Arm]) -> Result<(), String> {
    let beyond = |allowed: &[Arm]| arms.iter().find(|arm| !allowed.contains(arm));
    let with_rules = [Arm::Backed, Arm::Devfuse];
    let at_root = line.op.paths().iter().any(|path| path.base == Base::Root);
    if let (true, Some(arm)) = (at_root, beyond(&with_rules)) {
        return Err(format!(
            "a path that is on every arm of the case (there is no @root/ on {arm})"
        ));
    }
    let odd = match line.op.innermost() {
        Op::Mount(MountOp::Register { .. } | MountOp::Unregister { .. }) => beyond(&[Arm::Backed]),
        Op::Mount(MountOp::RootDir { .. }) => beyond(&with_rules),
        Op::Mount(MountOp::Abort) => beyond(&[Arm::Devfuse]),
        _ => None,
    };
    match odd {
        Some(arm) => Err(format!(
            "an operation that every arm of the case has ({arm} has not this one)"
        )),
        None => Ok(()),
    }
}
