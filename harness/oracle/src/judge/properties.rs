//! Whatever the trees and outcomes: equal ones give nothing, and a change of
//! any compared attribute is found and named.

mod generated;
mod plants;

use lookback_ops::{Outcome, tree::Snapshot};
use proptest::{collection::vec, prelude::*};

use self::{
    generated::{outcomes, trees},
    plants::{Plant, every_attribute, in_digest, plants},
};
use super::*;
use crate::{
    digests,
    testing::{agreeing, outcome, path, plan},
};

const PHASES: [Phase; 3] = [Phase::Warm, Phase::Remounted, Phase::Lower];

fn equal(outcomes: &[Outcome], tree: &Snapshot) -> (CasePlan, CaseRun) {
    let ops = vec![lookback_ops::Op::Stat { path: path("a") }; outcomes.len()];
    let plan = plan(ops, &PHASES);
    let run = agreeing(&plan, outcomes, tree);
    (plan, run)
}

proptest! {
    #[test]
    fn equal_runs_differ_in_nothing(outcomes in vec(outcomes(), 0..6), tree in trees()) {
        let (mut plan, run) = equal(&outcomes, &tree);
        let verdict = judge(&plan, &run);
        prop_assert_eq!(verdict.differences, vec![]);
        prop_assert!(verdict.excused.is_empty());
        prop_assert_eq!(usize::try_from(verdict.operations), Ok(outcomes.len()));
        prop_assert_eq!(digests(&plan, &run), digests(&plan, &run.clone()));

        plan.workers = Workers::Free;
        prop_assert_eq!(judge(&plan, &run).differences, vec![]);
        prop_assert!(digests(&plan, &run).is_empty());
    }

    #[test]
    fn a_planted_difference_of_every_attribute_is_found_and_named(
        outcomes in vec(outcomes(), 0..4), tree in trees(), first in 0usize..PHASES.len(),
    ) {
        for attribute in every_attribute() {
            for (number, plant) in plants(attribute).into_iter().enumerate() {
                let (mut plan, mut run) = equal(&outcomes, &tree);
                plant.make_room(&mut plan, &mut run);
                let verdict = judge(&plan, &run);
                prop_assert_eq!(verdict.differences, vec![], "{} {}", attribute, number);
                let before = digests(&plan, &run);

                let first = match (attribute, &plant) {
                    // What a phase changed shows from the second on.
                    (Attribute::Ino, _) => 1,
                    // `lower` is not a tree of every arm.
                    (_, Plant::EveryTree { .. }) => 0,
                    _ => first,
                };
                plant.put(&mut plan, &mut run, &PHASES[first..]);
                let verdict = judge(&plan, &run);
                let named = |d: &&Difference| d.attribute == attribute && d.arm == Arm::Backed;
                let found = verdict.differences.iter().find(named);
                prop_assert!(found.is_some(), "{attribute} {number}: {:#?}", verdict.differences);
                let stage = found.map(|found| found.stage);
                if let Plant::Tree { .. } = plant {
                    prop_assert_eq!(stage, Some(Stage::Tree(PHASES[first])));
                }

                let after = digests(&plan, &run);
                let changed = before[&Arm::Backed] != after[&Arm::Backed];
                prop_assert_eq!(changed, in_digest(attribute), "{} {}", attribute, number);
                if plant.is_of_one_arm() {
                    prop_assert_eq!(&before[&Arm::Ext4], &after[&Arm::Ext4]);
                }
            }
        }
    }

    // There is no reference there.
    #[test]
    fn what_a_phase_changes_is_found_where_workers_run_free(tree in trees()) {
        let not_by_itself = [Attribute::Links];
        for attribute in every_attribute().filter(|a| !not_by_itself.contains(a)) {
            for plant in plants(attribute) {
                let Plant::Tree { .. } = plant else { continue };
                let (mut plan, mut run) = equal(&[], &tree);
                plan.workers = Workers::Free;
                plant.make_room(&mut plan, &mut run);
                // What the first tree's reading sets, the next phase may find.
                let from = if attribute == Attribute::Atime { 2 } else { 1 };
                plant.put(&mut plan, &mut run, &PHASES[from..]);
                let verdict = judge(&plan, &run);
                let named = |d: &Difference| {
                    d.attribute == attribute
                        && (d.arm, d.reference) == (Arm::Backed, Arm::Backed)
                        && d.stage == Stage::Tree(PHASES[from])
                };
                prop_assert!(
                    verdict.differences.iter().any(named),
                    "{attribute}: {:#?}", verdict.differences
                );
            }
        }
    }

    #[test]
    fn a_lost_or_added_outcome_is_found(outcomes in vec(outcomes(), 1..6), lose in any::<bool>()) {
        let (plan, mut run) = equal(&outcomes, &Snapshot::default());
        let list = run.trace.get_mut(&(Arm::Plain, 0)).unwrap();
        if lose { list.truncate(list.len() - 1) } else { list.push(outcome(lookback_ops::Value::None)) }
        prop_assert!(!judge(&plan, &run).differences.is_empty());
    }
}
