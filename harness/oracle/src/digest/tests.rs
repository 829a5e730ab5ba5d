use lookback_wire::control::{CLOCK_BASE, CLOCK_STEP};
use rstest::rstest;

use super::*;
use crate::testing::{agreeing, outcome, path, plan, stat, tree};

type Run<'a> = &'a mut CaseRun;
type Change = fn(Run<'_>, Arm);

fn file(run: &mut CaseRun, arm: Arm) -> &mut Node {
    &mut run.trees.get_mut(&(arm, Phase::Warm)).unwrap().nodes[2]
}

fn gave(run: &mut CaseRun, arm: Arm, line: usize) -> &mut Outcome {
    &mut run.trace.get_mut(&(arm, 0)).unwrap()[line]
}

/// Whether `change` on `arm` changes its digests.
fn tells(workers: Workers, arm: Arm, change: Change) -> bool {
    let open = Op::Open {
        slot: 0,
        path: path("d/f"),
        flags: 0,
        mode: 0,
    };
    let seek = Op::Lseek {
        slot: 0,
        off: 0,
        whence: Whence::Hole,
    };
    let ops = vec![open, seek, Op::Fstat { slot: 0 }];
    let plan = CasePlan {
        workers,
        ..plan(ops, &[Phase::Warm])
    };
    let opened = Outcome {
        ret: 5,
        ..outcome(Value::None)
    };
    let mut file = stat(0o100_644, 12);
    file.mtime = (CLOCK_BASE, 1);
    let outcomes = [opened, outcome(Value::None), outcome(Value::Stat(file))];
    let mut run = agreeing(&plan, &outcomes, &tree());
    run.add_checkpoint(arm, 2, tree());
    let before = digests(&plan, &run);
    change(&mut run, arm);
    let after = digests(&plan, &run);
    for other in plan.arms.iter().filter(|other| **other != arm) {
        assert_eq!(before[other], after[other]);
    }
    before[&arm] != after[&arm]
}

fn mtime(outcome: &mut Outcome, seconds: i64) {
    if let Value::Stat(stat) = &mut outcome.value {
        stat.mtime.0 += seconds;
    }
}

#[rstest]
#[case::descriptor(|r: Run<'_>, a| gave(r, a, 0).ret = 6, false)]
#[case::no_descriptor(|r: Run<'_>, a| gave(r, a, 0).ret = -1, true)]
#[case::inode(|r: Run<'_>, a| { file(r, a).stat.ino = 99; file(r, a).d_ino = 99 }, false)]
#[case::other_inode(|r: Run<'_>, a| file(r, a).d_ino = 99, true)]
#[case::same_line(|r: Run<'_>, a| mtime(gave(r, a, 2), CLOCK_STEP - 1), false)]
#[case::next_line(|r: Run<'_>, a| mtime(gave(r, a, 2), CLOCK_STEP), true)]
#[case::extent_tree(|r: Run<'_>, a| file(r, a).blocks += 8, false)]
#[case::pieces(|r: Run<'_>, a| file(r, a).pieces += 1, false)]
#[case::extents(|r: Run<'_>, a| file(r, a).extents = Some(Err(5)), true)]
#[case::index(|r: Run<'_>, a| file(r, a).flags = Some(Ok(0x1000)), false)]
#[case::order(|r: Run<'_>, a| r.trees.get_mut(&(a, Phase::Warm)).unwrap().nodes.swap(2, 4), false)]
#[case::hole(|r: Run<'_>, a| gave(r, a, 1).ret = 4096, true)]
#[case::between(|r: Run<'_>, a| r.checkpoints.get_mut(&(a, 2)).unwrap().nodes[2].stat.size += 1, true)]
fn what_is_told(#[case] change: Change, #[case] told: bool) {
    assert_eq!(tells(Workers::InTurn, Arm::Backed, change), told);
}

#[rstest]
#[case::next_line(|r: Run<'_>, a| mtime(gave(r, a, 2), CLOCK_STEP), false)]
#[case::hole(|r: Run<'_>, a| gave(r, a, 1).ret = 4096, false)]
#[case::blksize(|r: Run<'_>, a| file(r, a).stat.blksize = 512, false)]
#[case::extents(|r: Run<'_>, a| file(r, a).extents = Some(Err(95)), false)]
#[case::size(|r: Run<'_>, a| file(r, a).stat.size = 9, true)]
#[case::mode(|r: Run<'_>, a| file(r, a).stat.mode = 0o100_600, true)]
fn what_is_told_of_the_host(#[case] change: Change, #[case] told: bool) {
    assert_eq!(tells(Workers::InTurn, Arm::Plain, change), told);
}

#[test]
fn no_clock_no_time() {
    let later: Change = |r: Run<'_>, a| mtime(gave(r, a, 2), CLOCK_STEP);
    assert!(!tells(Workers::Apart, Arm::Backed, later));
}

#[test]
fn each_tree_has_one() {
    let plan = plan(vec![Op::Sync], &[Phase::Warm, Phase::Lower]);
    let mut run = agreeing(&plan, &[outcome(Value::None)], &tree());
    run.add_checkpoint(Arm::Backed, 2000, tree());
    let digests = digests(&plan, &run);
    let names: Vec<_> = digests[&Arm::Backed].keys().collect();
    assert_eq!(names, ["after 2000", "lower", "trace", "warm"]);
    assert_eq!(digests[&Arm::Backed]["warm"], digests[&Arm::Ext4]["warm"]);
}
