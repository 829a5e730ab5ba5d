use std::collections::{BTreeMap, HashSet};

use lookback_ops::{Op, Outcome, Value};
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
    let mut tree = tree();
    tree.nodes.iter_mut().for_each(|node| node.stat.nlink = 2);
    let mut run = agreeing(&plan, &[], &tree);
    let nodes = &mut run.trees.get_mut(&(arm, Phase::Warm)).unwrap().nodes;
    change(&mut nodes.iter_mut().find(|node| node.path == at).unwrap().stat);

    let verdict = judge(&plan, &run);
    if excused_on.contains(&arm) {
        assert_eq!(verdict.differences, vec![]);
        assert_eq!(verdict.excused.into_iter().collect::<Vec<_>>(), [(id, 1)]);
    } else {
        assert_eq!(verdict.differences.len(), 1);
        assert_eq!(verdict.excused, BTreeMap::new());
    }
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
