//! Small plans, runs and trees for the tests.

use lookback_ops::{
    Line, Op, Outcome, Path, StatView, Value,
    op::Base,
    tree::{Node, Snapshot},
};
use lookback_wire::control::{Arm, CasePlan, Phase};

use crate::CaseRun;

pub(crate) const ARMS: [Arm; 3] = [Arm::Backed, Arm::Plain, Arm::Ext4];

pub(crate) fn path(rel: &str) -> Path {
    Path {
        base: Base::Arm,
        rel: rel.into(),
    }
}

pub(crate) fn line(op: Op) -> Line {
    Line::new(0, op)
}

pub(crate) fn plan(trace: Vec<Op>, phases: &[Phase]) -> CasePlan {
    CasePlan {
        id: "test.case".into(),
        arms: ARMS.to_vec(),
        trace: trace.into_iter().map(line).collect(),
        phases: phases.to_vec(),
        ..CasePlan::default()
    }
}

pub(crate) fn outcome(value: Value) -> Outcome {
    Outcome {
        ret: 0,
        errno: 0,
        step: String::new(),
        value,
    }
}

pub(crate) fn failed(errno: i32) -> Outcome {
    Outcome {
        ret: -1,
        errno,
        step: String::new(),
        value: Value::None,
    }
}

/// A run in which every arm says the same.
pub(crate) fn agreeing(plan: &CasePlan, outcomes: &[Outcome], tree: &Snapshot) -> CaseRun {
    let mut run = CaseRun::default();
    for &arm in &plan.arms {
        if !outcomes.is_empty() {
            run.trace.insert((arm, 0), outcomes.to_vec());
        }
        for &phase in plan.phases.iter().filter(|phase| **phase != Phase::Fsck) {
            if phase != Phase::Lower || arm.has_lower() {
                run.trees.insert((arm, phase), tree.clone());
            }
        }
    }
    run
}

pub(crate) fn stat(mode: u32, ino: u64) -> StatView {
    StatView {
        mode,
        uid: 0,
        gid: 0,
        nlink: 1,
        size: 0,
        rdev: (0, 0),
        blksize: 4096,
        ino,
        atime: (1_600_000_000, 4),
        mtime: (1_700_000_000, 5),
        ctime: (1_700_000_000, 6),
    }
}

pub(crate) fn node(path: &str, mode: u32, ino: u64) -> Node {
    Node {
        path: path.into(),
        stat: stat(mode, ino),
        d_type: if path.is_empty() {
            0
        } else {
            u8::try_from(mode >> 12).unwrap()
        },
        d_ino: ino,
        first_link: path.into(),
        digest: (mode >> 12 == 0o10).then_some(7),
        target: (mode >> 12 == 0o12).then(|| "target".into()),
        blocks: 0,
        flags: matches!(mode >> 12, 0o10 | 0o04).then_some(Ok(0x8_0000)),
        extents: (mode >> 12 == 0o10).then(|| Ok(vec![])),
        pieces: 0,
        xattrs: Some(Ok(vec![])),
        error: None,
    }
}

/// The root, a directory with a file, a second link of it and a symlink.
pub(crate) fn tree() -> Snapshot {
    let mut nodes = vec![
        node("", 0o040_755, 2),
        node("d", 0o040_755, 11),
        node("d/f", 0o100_644, 12),
        node("d/g", 0o100_644, 12),
        node("l", 0o120_777, 13),
    ];
    nodes[3].first_link = "d/f".into();
    for (node, nlink) in nodes.iter_mut().zip([3, 2, 2, 2, 1]) {
        node.stat.nlink = nlink;
    }
    Snapshot { nodes }
}
