use std::collections::{BTreeMap, HashSet};

use lookback_ops::{Op, Outcome, Value, tree::Extent};
use lookback_wire::control::{Arm, Phase};
use rstest::rstest;

use super::*;
use crate::{
    judge,
    testing::{agreeing, failed, outcome, path, plan, tree},
};

#[test]
fn every_entry_has_its_own_name_and_a_source() {
    let mut seen = HashSet::new();
    for entry in LEGITIMATE {
        assert!(seen.insert(entry.id), "{} twice", entry.id);
        assert!(entry.source.starts_with("fs/"), "{}", entry.id);
        assert!(!entry.reason.is_empty());
    }
}

#[rstest]
#[case::blksize("plain-blksize", "d/f", |s: &mut StatView| s.blksize = 512, &[Arm::Plain])]
#[case::dir_size("plain-directory-size", "d", |s: &mut StatView| s.size = 6, &[Arm::Plain])]
#[case::dir_nlink("plain-directory-nlink", "d", |s: &mut StatView| s.nlink = 1, &[Arm::Plain])]
#[case::dir_nlink_counted("", "d", |s: &mut StatView| s.nlink = 4, &[])]
#[case::setgid("plain-set-id", "d/f", |s: &mut StatView| s.mode |= 0o2000, &[Arm::Plain])]
#[case::setuid("plain-set-id", "d/f", |s: &mut StatView| s.mode |= 0o4000, &[Arm::Plain])]
#[case::sticky("", "d/f", |s: &mut StatView| s.mode |= 0o1000, &[])]
#[case::setgid_and_more("", "d/f", |s: &mut StatView| s.mode = (s.mode | 0o2000) ^ 0o400, &[])]
#[case::file_size("", "d/f", |s: &mut StatView| s.size = 6, &[])]
#[case::file_nlink("", "d/f", |s: &mut StatView| s.nlink = 1, &[])]
fn of_a_tree(
    #[case] id: &str,
    #[case] at: &str,
    #[case] change: fn(&mut StatView),
    #[case] excused_on: &[Arm],
    #[values(Arm::Backed, Arm::Plain)] arm: Arm,
) {
    let plan = plan(vec![], &[Phase::Warm]);
    let mut run = agreeing(&plan, &[], &tree());
    let nodes = &mut run.trees.get_mut(&(arm, Phase::Warm)).unwrap().nodes;
    change(&mut nodes.iter_mut().find(|node| node.path == at).unwrap().stat);

    let verdict = judge(&plan, &run);
    if excused_on.contains(&arm) {
        assert_eq!(verdict.differences, vec![]);
        assert_eq!(verdict.excused.into_keys().collect::<Vec<_>>(), [id]);
    } else {
        assert_eq!(verdict.differences.len(), 1);
        assert_eq!(verdict.excused, BTreeMap::new());
    }
}

type Change = fn(&mut Node);

/// A file of two extents on every arm, less what `change` does to it on `arm`.
fn a_changed_file(arm: Arm, change: Change) -> crate::Verdict {
    let utimens = Op::Utimens {
        path: path("d/f"),
        atime: (7, 8),
        mtime: (7, 8),
    };
    let plan = plan(vec![utimens], &[Phase::Warm]);
    let mut tree = tree();
    let file = &mut tree.nodes[2];
    file.blocks = 16;
    file.pieces = 4;
    let extent = |offset| Extent {
        offset,
        length: 4096,
        unwritten: false,
    };
    file.extents = Some(Ok(vec![extent(0), extent(8192)]));
    let mut run = agreeing(&plan, &[outcome(Value::None)], &tree);
    let nodes = &mut run.trees.get_mut(&(arm, Phase::Warm)).unwrap().nodes;
    change(&mut nodes[2]);
    judge(&plan, &run)
}

#[rstest]
#[case::blocks("plain-blocks", |n: &mut Node| n.blocks = 17, true)]
#[case::no_extents("plain-no-extents", |n: &mut Node| n.extents = Some(Err(95)), true)]
#[case::extents_fail("", |n: &mut Node| n.extents = Some(Err(5)), false)]
#[case::other_extents("", |n: &mut Node| n.extents = Some(Ok(vec![])), false)]
#[case::no_flags("plain-no-flags", |n: &mut Node| n.flags = Some(Err(25)), true)]
#[case::flags_fail("", |n: &mut Node| n.flags = Some(Err(5)), false)]
#[case::other_flags("", |n: &mut Node| n.flags = Some(Ok(0x10)), false)]
#[case::atime("plain-atime", |n: &mut Node| n.stat.atime = (7, 8), true)]
#[case::mtime("", |n: &mut Node| n.stat.mtime = (7, 8), false)]
#[case::xattr("", |n: &mut Node| n.xattrs = Some(Err(95)), false)]
fn what_the_server_says(#[case] id: &str, #[case] change: Change, #[case] excused: bool) {
    let verdict = a_changed_file(Arm::Plain, change);
    assert_eq!(verdict.differences.is_empty(), excused);
    let ids: Vec<_> = verdict.excused.into_keys().collect();
    assert_eq!(ids, if excused { vec![id] } else { vec![] });
    assert!(!a_changed_file(Arm::Backed, change).differences.is_empty());
}

#[rstest]
#[case::mtime(0o010_644, Arm::Backed, |n: &mut Node| n.stat.mtime.0 -= 1000, true)]
#[case::ctime(0o010_644, Arm::Devfuse, |n: &mut Node| n.stat.ctime.0 -= 1000, true)]
#[case::atime(0o010_644, Arm::Backed, |n: &mut Node| n.stat.atime.0 -= 1000, true)]
#[case::set_before(0o010_644, Arm::Backed, |n: &mut Node| n.stat.mtime.0 += 1000, true)]
#[case::later(0o010_644, Arm::Backed, |n: &mut Node| n.stat.ctime.0 += 1000, false)]
#[case::mode(0o010_644, Arm::Backed, |n: &mut Node| n.stat.mode = 0o010_600, false)]
#[case::file(0o100_644, Arm::Backed, |n: &mut Node| n.stat.mtime.0 -= 1000, false)]
#[case::of_the_reference(0o010_644, Arm::Ext4, |n: &mut Node| n.stat.ctime.0 -= 1000, false)]
fn times_of_a_fifo(
    #[case] mode: u32,
    #[case] arm: Arm,
    #[case] change: Change,
    #[case] excused: bool,
) {
    let mut plan = plan(vec![], &[Phase::Warm]);
    plan.arms = vec![Arm::Backed, Arm::Devfuse, Arm::Ext4];
    let mut tree = tree();
    tree.nodes[2].stat.mode = mode;
    tree.nodes[2].d_type = u8::try_from(mode >> 12).unwrap();
    let mut run = agreeing(&plan, &[], &tree);
    change(&mut run.trees.get_mut(&(arm, Phase::Warm)).unwrap().nodes[2]);
    let verdict = judge(&plan, &run);
    assert_eq!(verdict.differences.is_empty(), excused);
    assert_eq!(verdict.excused.get("fifo-times"), excused.then_some(&1));
}

#[rstest]
#[case::one_leaf(|n: &mut Node| n.blocks += 8, true)]
#[case::one_less(|n: &mut Node| n.blocks -= 8, true)]
#[case::part_of_a_block(|n: &mut Node| n.blocks += 1, false)]
#[case::two_leaves(|n: &mut Node| n.blocks += 16, false)]
#[case::two_leaves_full(|n: &mut Node| { n.blocks += 16; n.pieces = 171 }, true)]
#[case::other_extents(|n: &mut Node| { n.blocks += 8; n.extents = Some(Ok(vec![])) }, false)]
#[case::no_extents(|n: &mut Node| { n.blocks += 8; n.extents = None }, false)]
fn leaves_of_an_extent_tree(#[case] change: Change, #[case] excused: bool) {
    let verdict = a_changed_file(Arm::Backed, change);
    assert_eq!(verdict.differences.is_empty(), excused);
    let times = verdict.excused.get("ext4-extent-tree");
    assert_eq!(times, excused.then_some(&1));
}

#[test]
fn no_phase_changes_an_extent_tree() {
    let mut plan = plan(vec![], &[Phase::Warm, Phase::Dropped]);
    plan.arms = vec![Arm::Ext4];
    let mut run = agreeing(&plan, &[], &tree());
    run.trees
        .get_mut(&(Arm::Ext4, Phase::Dropped))
        .unwrap()
        .nodes[2]
        .blocks += 8;
    assert_eq!(judge(&plan, &run).differences.len(), 1);
}

#[rstest]
#[case::after(Phase::Remounted, "d", true)]
#[case::before(Phase::Dropped, "d", false)]
#[case::elsewhere(Phase::Remounted, "l", false)]
fn uncovered(#[case] phase: Phase, #[case] mounted: &str, #[case] excused: bool) {
    let mount = Op::MountTmpfs {
        path: path(mounted),
    };
    let mut plan = plan(vec![mount], &[Phase::Warm, phase]);
    plan.arms = vec![Arm::Ext4];
    let mut run = agreeing(&plan, &[outcome(Value::None)], &tree());
    run.trees.get_mut(&(Arm::Ext4, phase)).unwrap().nodes[1]
        .stat
        .mode = 0o040_700;
    let verdict = judge(&plan, &run);
    assert_eq!(verdict.differences.is_empty(), excused);
    assert_eq!(verdict.excused.get("uncovered"), excused.then_some(&1));
}

#[rstest]
#[case::ioctl("ioctl f getversion", 25, Arm::Plain, true)]
#[case::extents("ioctl f fiemap", 95, Arm::Plain, true)]
#[case::letters("lsattr f", 25, Arm::Plain, true)]
#[case::other_errno("ioctl f getversion", 5, Arm::Plain, false)]
#[case::changes_something("chattr f i", 25, Arm::Plain, false)]
#[case::backed("lsattr f", 25, Arm::Backed, false)]
fn ioctls(#[case] line: &str, #[case] errno: i32, #[case] arm: Arm, #[case] excused: bool) {
    let op = lookback_ops::trace::parse(line).unwrap().remove(0).op;
    let plan = plan(vec![op], &[]);
    let mut run = agreeing(&plan, &[outcome(Value::None)], &tree());
    run.trace.insert((arm, 0), vec![failed(errno)]);
    let verdict = judge(&plan, &run);
    assert_eq!(verdict.differences.is_empty(), excused);
    assert_eq!(verdict.excused.contains_key("plain-ioctl"), excused);
}

#[rstest]
#[case::overflow("fdread 0 len=10", Arm::Plain, 22, 21, true)]
#[case::other_errno("fdread 0 len=10", Arm::Plain, 22, 5, false)]
#[case::other_expected("fdread 0 len=10", Arm::Plain, 9, 21, false)]
#[case::other_operation("fdwrite 0 len=10 seed=1", Arm::Plain, 22, 21, false)]
#[case::backed("fdread 0 len=10", Arm::Backed, 22, 21, false)]
fn reading_a_directory(
    #[case] line: &str,
    #[case] arm: Arm,
    #[case] expected: i32,
    #[case] errno: i32,
    #[case] excused: bool,
) {
    let op = lookback_ops::trace::parse(line).unwrap().remove(0).op;
    let plan = plan(vec![op], &[]);
    let mut run = agreeing(&plan, &[failed(expected)], &tree());
    run.trace.insert((arm, 0), vec![failed(errno)]);
    let verdict = judge(&plan, &run);
    assert_eq!(verdict.differences.is_empty(), excused);
    let times = verdict.excused.get("plain-directory-position");
    assert_eq!(times, excused.then_some(&1));
}

#[rstest]
#[case::hole(Whence::Hole, Arm::Plain, true)]
#[case::data(Whence::Data, Arm::Plain, true)]
#[case::end(Whence::End, Arm::Plain, false)]
#[case::backed(Whence::Hole, Arm::Backed, false)]
fn holes(#[case] whence: Whence, #[case] arm: Arm, #[case] excused: bool) {
    let plan = plan(
        vec![Op::Lseek {
            slot: 0,
            off: 0,
            whence,
        }],
        &[],
    );
    for other in [
        failed(6),
        Outcome {
            ret: 4096,
            ..outcome(Value::None)
        },
    ] {
        let mut run = agreeing(&plan, &[outcome(Value::None)], &tree());
        run.trace.insert((arm, 0), vec![other]);
        let verdict = judge(&plan, &run);
        assert_eq!(verdict.differences.is_empty(), excused);
        assert_eq!(verdict.excused.get("plain-holes"), excused.then_some(&1));
    }
}

#[rstest]
#[case::a_hash(i64::MAX - 15, Arm::Plain, true)]
#[case::a_size(4081, Arm::Plain, false)]
#[case::backed(i64::MAX - 15, Arm::Backed, false)]
fn directory_end(#[case] expected: i64, #[case] arm: Arm, #[case] excused: bool) {
    let op = Op::Lseek {
        slot: 0,
        off: -15,
        whence: Whence::End,
    };
    let plan = plan(vec![op], &[]);
    let at = |ret| Outcome {
        ret,
        ..outcome(Value::None)
    };
    let mut run = agreeing(&plan, &[at(expected)], &tree());
    run.trace.insert((arm, 0), vec![at(12_273)]);
    let verdict = judge(&plan, &run);
    assert_eq!(verdict.differences.is_empty(), excused);
    assert_eq!(
        verdict.excused.get("plain-directory-end"),
        excused.then_some(&1)
    );
}

#[rstest]
#[case::behind(46, Whence::End, Arm::Plain, 22, 0, true)]
#[case::before(-60, Whence::End, Arm::Plain, 0, 22, true)]
#[case::from_there(7, Whence::Cur, Arm::Plain, 22, 0, true)]
#[case::before_and_there(-60, Whence::End, Arm::Plain, 22, 0, false)]
#[case::set(46, Whence::Set, Arm::Plain, 22, 0, false)]
#[case::other_errno(46, Whence::End, Arm::Plain, 29, 0, false)]
#[case::backed(46, Whence::End, Arm::Backed, 22, 0, false)]
fn beyond_a_directory(
    #[case] off: i64,
    #[case] whence: Whence,
    #[case] arm: Arm,
    #[case] expected: i32,
    #[case] errno: i32,
    #[case] excused: bool,
) {
    let slot = 0;
    let plan = plan(vec![Op::Lseek { slot, off, whence }], &[]);
    let gave = |errno| match errno {
        0 => outcome(Value::None),
        errno => failed(errno),
    };
    let mut run = agreeing(&plan, &[gave(expected)], &tree());
    run.trace.insert((arm, 0), vec![gave(errno)]);
    let verdict = judge(&plan, &run);
    assert_eq!(verdict.differences.is_empty(), excused);
    let times = verdict.excused.get("plain-directory-end");
    assert_eq!(times, excused.then_some(&1));
}

#[rstest]
#[case::left("d", false, true)]
#[case::elsewhere("l", false, false)]
#[case::unmounted("d", true, false)]
fn covered(#[case] mounted: &str, #[case] unmounted: bool, #[case] excused: bool) {
    let mut trace = vec![Op::MountTmpfs {
        path: path(mounted),
    }];
    if unmounted {
        trace.push(Op::Umount {
            path: path(mounted),
        });
    }
    let outcomes = vec![outcome(Value::None); trace.len()];
    let plan = plan(trace, &[Phase::Warm]);
    let mut tree = tree();
    tree.nodes[1].d_ino = 99;
    let verdict = judge(&plan, &agreeing(&plan, &outcomes, &tree));
    assert_eq!(
        verdict.differences.is_empty(),
        excused,
        "{:#?}",
        verdict.differences
    );
    assert_eq!(
        verdict.excused.get("covered-directory"),
        excused.then_some(&3)
    );
}

#[rstest]
#[case::starved("eachalloc readlink d/f", Arm::Backed, |n: &mut Node| n.stat.atime = (7, 8), true)]
#[case::another_file("eachalloc readlink d/g", Arm::Backed, |n: &mut Node| n.stat.atime = (7, 8), false)]
#[case::fed("readlink d/f", Arm::Backed, |n: &mut Node| n.stat.atime = (7, 8), false)]
#[case::mtime("eachalloc readlink d/f", Arm::Backed, |n: &mut Node| n.stat.mtime = (7, 8), false)]
fn lost_access_times(
    #[case] line: &str,
    #[case] arm: Arm,
    #[case] change: Change,
    #[case] excused: bool,
) {
    let op = lookback_ops::trace::parse(line).unwrap().remove(0).op;
    let plan = plan(vec![op], &[Phase::Warm]);
    let mut run = agreeing(&plan, &[outcome(Value::None)], &tree());
    change(&mut run.trees.get_mut(&(arm, Phase::Warm)).unwrap().nodes[2]);
    let verdict = judge(&plan, &run);
    assert_eq!(verdict.differences.is_empty(), excused);
    let times = verdict.excused.get("atime-without-memory");
    assert_eq!(times, excused.then_some(&1));
}
