//! Whatever the trees and outcomes: equal ones give nothing, and a change of
//! any compared attribute is found.

use lookback_ops::{
    Op, Outcome, StatView, Value,
    outcome::Entry,
    tree::{Node, Snapshot},
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::testing::{agreeing, outcome, path, plan};

prop_compose! {
    fn stats()(
        kind in prop::sample::select(vec![1u32, 2, 4, 6, 8, 10, 12]),
        permissions in 0u32..0o10_000,
        uid in 0u32..3,
        gid in 0u32..3,
        nlink in 2u64..4,
        size in 0u64..10_000,
        rdev in (0u32..2, 0u32..2),
        ino in 1u64..1000,
        mtime in (0i64..4, 0u32..3),
    ) -> StatView {
        StatView { mode: kind << 12 | permissions, uid, gid, nlink, size, rdev, blksize: 4096, ino, mtime }
    }
}

prop_compose! {
    fn trees()(
        nodes in prop::collection::btree_map("[ab](/[ab]){0,2}", (stats(), any::<u64>()), 1..8),
    ) -> Snapshot {
        let nodes = nodes.into_iter().map(|(path, (stat, digest))| Node {
            d_type: u8::try_from(stat.mode >> 12).unwrap(),
            d_ino: stat.ino,
            first_link: path.clone(),
            digest: Some(digest),
            target: Some("t".into()),
            error: None,
            path,
            stat,
        });
        Snapshot { nodes: nodes.collect() }
    }
}

fn values() -> impl Strategy<Value = Value> {
    let entry =
        ("[a-c]{1,2}", any::<u8>(), any::<bool>()).prop_map(|(name, d_type, ino_agrees)| Entry {
            name,
            d_type,
            ino_agrees,
        });
    prop_oneof![
        Just(Value::None),
        stats().prop_map(Value::Stat),
        (any::<u64>(), any::<u64>()).prop_map(|(len, digest)| Value::Data { len, digest }),
        "[a-z]{0,4}".prop_map(Value::Link),
        "[a-z]{0,4}".prop_map(Value::Text),
        vec("[a-c]{1,2}", 0..4).prop_map(Value::Names),
        vec(entry, 0..4).prop_map(Value::Entries),
    ]
}

prop_compose! {
    fn outcomes()(
        errno in 0i32..40, step in "(open|pread)?", value in values(),
    ) -> Outcome {
        Outcome { ret: if errno == 0 { 0 } else { -1 }, errno, step, value }
    }
}

fn change_stat(stat: &mut StatView, what: usize) {
    match what % 8 {
        0 => stat.mode ^= 0o001_000,
        1 => stat.mode ^= 0o010_000,
        2 => stat.uid += 1,
        3 => stat.gid += 1,
        4 => stat.nlink += 1,
        5 => stat.size += 1,
        6 => stat.rdev.1 += 1,
        _ => stat.blksize *= 2,
    }
}

fn change_node(node: &mut Node, what: usize) {
    match what % 14 {
        0 => node.path.push('z'),
        1 => node.d_type ^= 1,
        2 => node.d_ino += 1,
        3 => node.first_link.push('z'),
        4 => node.digest = node.digest.map(|digest| !digest),
        5 => node.target = Some("u".into()),
        stat => change_stat(&mut node.stat, stat),
    }
    if let 6..14 = what % 14 {
        node.d_type = u8::try_from(node.stat.mode >> 12).unwrap();
    }
}

fn change_outcome(outcome: &mut Outcome, what: usize) {
    match what % 4 {
        0 => outcome.errno += 1,
        1 => outcome.ret += 1,
        2 => outcome.step.push('x'),
        _ => match &mut outcome.value {
            Value::None => outcome.value = Value::Link(String::new()),
            Value::Stat(stat) => change_stat(stat, what / 4),
            Value::Data { len, .. } if what & 4 == 0 => *len = !*len,
            Value::Data { digest, .. } => *digest = !*digest,
            Value::Link(text) | Value::Text(text) => text.push('z'),
            Value::Names(names) => names.push("z".into()),
            Value::Entries(entries) => match entries.first_mut() {
                None => entries.push(Entry {
                    name: "z".into(),
                    d_type: 8,
                    ino_agrees: true,
                }),
                Some(entry) => match what / 4 % 3 {
                    0 => entry.name.push('z'),
                    1 => entry.d_type ^= 1,
                    _ => entry.ino_agrees ^= true,
                },
            },
        },
    }
}

fn ops(count: usize) -> Vec<Op> {
    vec![Op::Stat { path: path("a") }; count]
}

const PHASES: [Phase; 3] = [Phase::Warm, Phase::Remounted, Phase::Lower];

proptest! {
    #[test]
    fn equal_runs_differ_in_nothing(outcomes in vec(outcomes(), 0..6), tree in trees()) {
        let plan = plan(ops(outcomes.len()), &PHASES);
        let verdict = judge(&plan, &agreeing(&plan, &outcomes, &tree));
        prop_assert_eq!(verdict.differences, vec![]);
        prop_assert!(verdict.excused.is_empty());
        prop_assert_eq!(usize::try_from(verdict.operations), Ok(outcomes.len()));
    }

    #[test]
    fn a_changed_outcome_is_found(
        outcomes in vec(outcomes(), 1..6), which in any::<Index>(), what in 0usize..1000,
    ) {
        let plan = plan(ops(outcomes.len()), &[]);
        let mut run = agreeing(&plan, &outcomes, &Snapshot::default());
        let index = which.index(outcomes.len());
        change_outcome(&mut run.trace.get_mut(&(Arm::Backed, 0)).unwrap()[index], what);
        let verdict = judge(&plan, &run);
        prop_assert!(!verdict.differences.is_empty());
        for difference in verdict.differences {
            prop_assert_eq!(difference.op.map(|op| op.index), Some(index));
            prop_assert_eq!(difference.arm, Arm::Backed);
        }
    }

    #[test]
    fn a_changed_node_is_found(
        tree in trees(), which in any::<Index>(), what in 0usize..14, phase in 0usize..3,
    ) {
        let plan = plan(vec![], &PHASES);
        let mut run = agreeing(&plan, &[], &tree);
        let index = which.index(tree.nodes.len());
        let changed = run.trees.get_mut(&(Arm::Backed, PHASES[phase])).unwrap();
        change_node(&mut changed.nodes[index], what);
        let verdict = judge(&plan, &run);
        prop_assert!(!verdict.differences.is_empty());
        for difference in verdict.differences {
            prop_assert_eq!(difference.arm, Arm::Backed);
        }
    }

    #[test]
    fn a_lost_or_added_outcome_is_found(outcomes in vec(outcomes(), 1..6), lose in any::<bool>()) {
        let plan = plan(ops(outcomes.len()), &[]);
        let mut run = agreeing(&plan, &outcomes, &Snapshot::default());
        let list = run.trace.get_mut(&(Arm::Plain, 0)).unwrap();
        if lose { list.truncate(list.len() - 1) } else { list.push(outcome(Value::None)) }
        prop_assert!(!judge(&plan, &run).differences.is_empty());
    }
}
