//! What the guest reported about one case, put together.

use std::collections::BTreeMap;

use lookback_ops::{Outcome, tree::Snapshot};
use lookback_wire::control::{Arm, Phase};

/// A report that does not fit what came before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// Outcomes were lost or sent twice.
    #[error(
        "{arm}: worker {worker}'s {trace} outcomes continue at operation {got}, not at {expected}"
    )]
    Gap {
        /// The arm.
        arm: Arm,
        /// `setup` or `trace`.
        trace: &'static str,
        /// The worker.
        worker: u16,
        /// The index the next outcome should have had.
        expected: usize,
        /// The index it had.
        got: u32,
    },
}

/// Everything the guest reported about one case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaseRun {
    /// Outcomes of the setup, per arm and worker, in the order of the worker's lines.
    pub setup: BTreeMap<(Arm, u16), Vec<Outcome>>,
    /// Outcomes of the trace, per arm and worker, in the order of the worker's lines.
    pub trace: BTreeMap<(Arm, u16), Vec<Outcome>>,
    /// The trees.
    pub trees: BTreeMap<(Arm, Phase), Snapshot>,
    /// The trees walked between lines of the trace, by how many had run.
    pub checkpoints: BTreeMap<(Arm, u32), Snapshot>,
}

impl CaseRun {
    /// Adds a stretch of outcomes (`FromGuest::Outcomes`).
    ///
    /// # Errors
    /// If the stretch does not begin where the worker's last one ended.
    pub fn add_outcomes(
        &mut self,
        arm: Arm,
        setup: bool,
        worker: u16,
        first: u32,
        outcomes: Vec<Outcome>,
    ) -> Result<(), CollectError> {
        let (all, trace) = if setup {
            (&mut self.setup, "setup")
        } else {
            (&mut self.trace, "trace")
        };
        let list = all.entry((arm, worker)).or_default();
        if usize::try_from(first) != Ok(list.len()) {
            return Err(CollectError::Gap {
                arm,
                trace,
                worker,
                expected: list.len(),
                got: first,
            });
        }
        list.extend(outcomes);
        Ok(())
    }

    /// Adds a tree walked after so many lines, or a further part of one.
    pub fn add_checkpoint(&mut self, arm: Arm, after: u32, part: Snapshot) {
        let tree = self.checkpoints.entry((arm, after)).or_default();
        tree.nodes.extend(part.nodes);
    }

    /// Adds a tree, or a further part of one (`FromGuest::Tree`).
    pub fn add_tree(&mut self, arm: Arm, phase: Phase, part: Snapshot) {
        self.trees
            .entry((arm, phase))
            .or_default()
            .nodes
            .extend(part.nodes);
    }
}

#[cfg(test)]
mod tests {
    use lookback_ops::Value;

    use super::*;
    use crate::testing::tree;

    fn outcome() -> Outcome {
        Outcome {
            ret: 0,
            errno: 0,
            step: String::new(),
            value: Value::None,
        }
    }

    #[test]
    fn stretches_join() {
        let mut run = CaseRun::default();
        run.add_outcomes(Arm::Ext4, false, 3, 0, vec![outcome(); 2])
            .unwrap();
        run.add_outcomes(Arm::Ext4, false, 3, 2, vec![outcome(); 1])
            .unwrap();
        assert_eq!(run.trace[&(Arm::Ext4, 3)].len(), 3);
    }

    #[rstest::rstest]
    #[case::lost(2)]
    #[case::twice(0)]
    fn a_gap_is_refused(#[case] first: u32) {
        let mut run = CaseRun::default();
        run.add_outcomes(Arm::Plain, true, 0, 0, vec![outcome()])
            .unwrap();
        let error = run
            .add_outcomes(Arm::Plain, true, 0, first, vec![outcome()])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("plain: worker 0's setup outcomes continue at operation {first}, not at 1")
        );
    }

    #[test]
    fn parts_of_a_tree_join() {
        let mut run = CaseRun::default();
        let whole = tree();
        for node in &whole.nodes {
            run.add_tree(
                Arm::Backed,
                Phase::Warm,
                Snapshot {
                    nodes: vec![node.clone()],
                },
            );
        }
        assert_eq!(run.trees[&(Arm::Backed, Phase::Warm)], whole);
    }
}
