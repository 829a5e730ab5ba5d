//! Trees walked between two operations.

use lookback_wire::control::{Arm, CasePlan};

use crate::{
    collect::CaseRun,
    consistency,
    difference::{Attribute, Stage},
    sink::{At, Sink},
    times::Times,
    trees::{self, Expected},
};

/// Compares the trees walked between operations; returns how many pairs there
/// were.
pub(crate) fn compare(
    sink: &mut Sink<'_>,
    plan: &CasePlan,
    run: &CaseRun,
    reference: Arm,
    times: &Times,
) -> u64 {
    let lines = u32::try_from(plan.trace.len()).unwrap_or(u32::MAX);
    let count = lines.checked_div(plan.every).unwrap_or(0);
    let mut compared = 0;
    for after in (1..=count).map(|n| n * plan.every) {
        let tree = |arm| run.checkpoints.get(&(arm, after));
        for &arm in &plan.arms {
            let against = |reference| At::of(Stage::After(after), arm, reference);
            let Some(actual) = tree(arm) else {
                let (expected, actual) = ("a tree".to_owned(), "none".to_owned());
                sink.add(against(arm), Attribute::Missing, expected, actual);
                continue;
            };
            consistency::check(sink, against(arm), plan, actual);
            if let Some(expected) = tree(reference).filter(|_| arm != reference) {
                compared += 1;
                let expected = Expected::now(expected);
                trees::compare(sink, against(reference), times, expected, actual);
            }
        }
    }
    compared
}

#[cfg(test)]
mod tests {
    use lookback_ops::{Op, tree::Snapshot};
    use lookback_wire::control::Phase;

    use crate::{
        difference::{Attribute, Difference, Stage},
        judge,
        testing::{agreeing, outcome, plan, tree},
    };
    use lookback_ops::Value;
    use lookback_wire::control::{Arm, CasePlan};

    /// Five operations, looked at after two and after four; the tree of
    /// `backed` is this one.
    fn differences(backed: impl Fn(u32) -> Option<Snapshot>, warm: &Snapshot) -> Vec<Difference> {
        let plan = CasePlan {
            every: 2,
            ..plan(vec![Op::Sync; 5], &[Phase::Warm])
        };
        let mut run = agreeing(&plan, &vec![outcome(Value::None); 5], &tree());
        for after in [2, 4] {
            for arm in [Arm::Plain, Arm::Ext4] {
                run.add_checkpoint(arm, after, tree());
            }
            if let Some(tree) = backed(after) {
                run.add_checkpoint(Arm::Backed, after, tree);
            }
        }
        run.trees.insert((Arm::Backed, Phase::Warm), warm.clone());
        let verdict = judge(&plan, &run);
        assert!(verdict.trees >= 4, "{}", verdict.trees);
        verdict.differences
    }

    fn larger() -> Snapshot {
        let mut larger = tree();
        larger.nodes[2].stat.size += 1;
        larger
    }

    #[test]
    fn trees_that_agree_differ_in_nothing() {
        assert_eq!(differences(|_| Some(tree()), &tree()), []);
    }

    #[test]
    fn the_first_that_differs_is_named() {
        let from = |first| move |after| Some(if after < first { tree() } else { larger() });
        for (first, also) in [(2, vec![Phase::Warm]), (4, vec![Phase::Warm])] {
            let found = differences(from(first), &larger());
            let [size] = found.as_slice() else {
                panic!("{found:#?}")
            };
            assert_eq!(
                (size.stage, size.attribute),
                (Stage::After(first), Attribute::Size)
            );
            assert_eq!(size.also, also);
        }
        let passing = |after| Some(if after == 2 { larger() } else { tree() });
        let found = differences(passing, &tree());
        assert_eq!((found.len(), found[0].stage), (1, Stage::After(2)));
        assert!(found[0].also.is_empty());
    }

    #[test]
    fn one_that_is_missing_is_no_pass() {
        let found = differences(|after| (after != 4).then(tree), &tree());
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].stage, found[0].attribute),
            (Stage::After(4), Attribute::Missing)
        );
    }
}
