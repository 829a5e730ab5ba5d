//! One case, judged.

use std::collections::BTreeMap;

use lookback_ops::{Line, Outcome, errno, outcome::UNSUPPORTED};
use lookback_wire::control::{Arm, CasePlan, Phase, Workers};

use crate::{
    checkpoints,
    collapse::collapse,
    collect::CaseRun,
    consistency,
    difference::{Attribute, Difference, Stage},
    outcomes, possible,
    sink::{At, Sink},
    times::{Times, Walk},
    trees::{self, Expected},
};

/// What the oracle says about one case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// The differences, in the order they came about.
    pub differences: Vec<Difference>,
    /// How often each legitimate difference was met, by its id.
    pub excused: BTreeMap<&'static str, u64>,
    /// Operations of the trace whose outcomes on every arm were compared, or
    /// judged by themselves where workers run free.
    pub operations: u64,
    /// Trees compared with the reference's, or judged by themselves.
    pub trees: u64,
}

/// The arm the others are compared with: ext4 if the plan has it, otherwise
/// the first one, and none where there is one arm only and it is not ext4.
#[must_use]
pub fn reference(arms: &[Arm]) -> Option<Arm> {
    match arms {
        arms if arms.contains(&Arm::Ext4) => Some(Arm::Ext4),
        arms if arms.contains(&Arm::Plain) => Some(Arm::Plain),
        arms => arms.first().copied(),
    }
}

/// Compares all arms of a case with the reference, and each with itself.
///
/// Anything the plan asks for and the run does not have is a difference too.
///
/// Where workers run free ([`Workers::Free`]) what an operation gives is chance.
/// There each arm is judged by itself: its errnos are possible ones, and its
/// trees are consistent and unchanged from phase to phase.
#[must_use]
pub fn judge(plan: &CasePlan, run: &CaseRun) -> Verdict {
    let mut sink = Sink::new(plan);
    let Some(reference) = reference(&plan.arms) else {
        return Verdict::default();
    };
    let times = Times::of(plan);

    let setup = Operations {
        stage: Stage::Setup,
        lines: &plan.setup,
        outcomes: &run.setup,
    };
    setup.must_work(&mut sink, reference);
    setup.must_be_supported(&mut sink, &plan.arms);
    setup.must_be_as_expected(&mut sink, &plan.arms);
    setup.must_be_possible(&mut sink, &plan.arms, false);
    setup.compare(&mut sink, &plan.arms, reference, &times);
    let trace = Operations {
        stage: Stage::Trace,
        lines: &plan.trace,
        outcomes: &run.trace,
    };
    trace.must_be_supported(&mut sink, &plan.arms);
    trace.must_be_as_expected(&mut sink, &plan.arms);
    let free = plan.workers == Workers::Free;
    trace.must_be_possible(&mut sink, &plan.arms, free);
    let operations = if free {
        trace.complete(&mut sink, &plan.arms)
    } else {
        trace.compare(&mut sink, &plan.arms, reference, &times)
    };
    let trees = checkpoints::compare(&mut sink, plan, run, reference, &times)
        + phases(&mut sink, plan, run, reference, &times);

    Verdict {
        differences: collapse(sink.found),
        excused: sink.excused,
        operations,
        trees,
    }
}

/// Each line with its index among its worker's.
pub(crate) fn indexed(lines: &[Line]) -> impl Iterator<Item = (&Line, usize)> {
    let mut next: BTreeMap<u16, usize> = BTreeMap::new();
    lines.iter().map(move |line| {
        let index = next.entry(line.worker).or_default();
        *index += 1;
        (line, *index - 1)
    })
}

/// The lines of one trace with their outcomes.
struct Operations<'a> {
    stage: Stage,
    lines: &'a [Line],
    outcomes: &'a BTreeMap<(Arm, u16), Vec<Outcome>>,
}

impl<'a> Operations<'a> {
    fn indexed(&self) -> impl Iterator<Item = (&'a Line, usize)> {
        indexed(self.lines)
    }

    fn outcome(&self, arm: Arm, line: &Line, index: usize) -> Option<&'a Outcome> {
        self.outcomes
            .get(&(arm, line.worker))
            .and_then(|list| list.get(index))
    }

    fn at(&self, arm: Arm, reference: Arm, op: Option<(&'a Line, usize)>) -> At<'a> {
        At {
            op,
            ..At::of(self.stage, arm, reference)
        }
    }

    fn must_work(&self, sink: &mut Sink<'_>, reference: Arm) {
        for (line, index) in self.indexed().filter(|(line, _)| line.expect.is_none()) {
            let failed = self
                .outcome(reference, line, index)
                .filter(|o| o.errno != 0);
            if let Some(outcome) = failed {
                let at = self.at(reference, reference, Some((line, index)));
                sink.add(at, Attribute::Setup, "0".into(), errno::name(outcome.errno));
            }
        }
    }

    /// Arms that agree because none of them can do it prove nothing.
    fn must_be_supported(&self, sink: &mut Sink<'_>, arms: &[Arm]) {
        for (line, index) in self.indexed() {
            for &arm in arms {
                let outcome = self.outcome(arm, line, index);
                if outcome.is_some_and(|o| o.step == UNSUPPORTED) {
                    let at = self.at(arm, arm, Some((line, index)));
                    let expected = "a guest and an arm that have the means".to_owned();
                    sink.add(at, Attribute::Unsupported, expected, "none".to_owned());
                }
            }
        }
    }

    fn must_be_as_expected(&self, sink: &mut Sink<'_>, arms: &[Arm]) {
        for (line, index) in self.indexed() {
            let Some(expect) = line.expect else { continue };
            for &arm in arms {
                // One that is missing is reported as that.
                let Some(outcome) = self.outcome(arm, line, index) else {
                    continue;
                };
                let at = self.at(arm, arm, Some((line, index)));
                sink.compare(at, Attribute::Expected, &expect, &outcome.errno, |errno| {
                    errno::name(*errno)
                });
            }
        }
    }

    /// An errno nobody has a name for is the kernel's own and never meant to
    /// leave it; with `free` so are those that no race of operations explains.
    fn must_be_possible(&self, sink: &mut Sink<'_>, arms: &[Arm], free: bool) {
        for (line, index) in self.indexed() {
            for &arm in arms {
                let Some(outcome) = self.outcome(arm, line, index) else {
                    continue;
                };
                let possible = line.expect == Some(outcome.errno)
                    || possible::anywhere(outcome.errno)
                        && (!free || possible::in_a_race(&line.op, outcome));
                if !possible {
                    let at = self.at(arm, arm, Some((line, index)));
                    let expected = "an errno it can have".to_owned();
                    let actual = errno::name(outcome.errno);
                    sink.add(at, Attribute::Impossible, expected, actual);
                }
            }
        }
    }

    /// Reports what is missing; returns how many lines have an outcome on every arm.
    fn complete(&self, sink: &mut Sink<'_>, arms: &[Arm]) -> u64 {
        for &arm in arms {
            self.report_missing(sink, arm);
        }
        let everywhere = |(line, index): &(&Line, usize)| {
            let mut arms = arms.iter();
            arms.all(|arm| self.outcome(*arm, line, *index).is_some())
        };
        self.indexed()
            .filter(everywhere)
            .fold(0, |count, _| count + 1)
    }

    /// Compares every arm's with the reference's; returns what
    /// [`Operations::complete`] does.
    fn compare(&self, sink: &mut Sink<'_>, arms: &[Arm], reference: Arm, times: &Times) -> u64 {
        let complete = self.complete(sink, arms);
        for (line, index) in self.indexed() {
            let Some(expected) = self.outcome(reference, line, index) else {
                continue;
            };
            for &arm in arms.iter().filter(|arm| **arm != reference) {
                let Some(actual) = self.outcome(arm, line, index) else {
                    continue;
                };
                let at = self.at(arm, reference, Some((line, index)));
                let clocks = times.between(arm, reference, Some(line.op.innermost()));
                outcomes::compare(sink, at, &line.op, clocks, expected, actual);
            }
        }
        complete
    }

    /// One difference per worker that gave too few or too many outcomes.
    fn report_missing(&self, sink: &mut Sink<'_>, arm: Arm) {
        let mut planned: BTreeMap<u16, usize> = BTreeMap::new();
        let mut first_missing: BTreeMap<u16, (&Line, usize)> = BTreeMap::new();
        for (line, index) in self.indexed() {
            *planned.entry(line.worker).or_default() += 1;
            if self.outcome(arm, line, index).is_none() {
                first_missing.entry(line.worker).or_insert((line, index));
            }
        }
        for (&worker, &count) in &planned {
            let got = self.outcomes.get(&(arm, worker)).map_or(0, Vec::len);
            if got != count {
                let op = first_missing.get(&worker).copied();
                let expected = format!("{count} outcomes of worker {worker}");
                sink.add(
                    self.at(arm, arm, op),
                    Attribute::Missing,
                    expected,
                    got.to_string(),
                );
            }
        }
        for ((_, worker), list) in self.outcomes.range((arm, 0)..=(arm, u16::MAX)) {
            if !planned.contains_key(worker) && !list.is_empty() {
                let expected = format!("no outcomes of worker {worker}");
                let at = self.at(arm, arm, None);
                sink.add(at, Attribute::Missing, expected, list.len().to_string());
            }
        }
    }
}

/// Compares the trees phase by phase; returns how many were compared with the
/// reference's or, if workers ran free, with themselves.
fn phases(
    sink: &mut Sink<'_>,
    plan: &CasePlan,
    run: &CaseRun,
    reference: Arm,
    times: &Times,
) -> u64 {
    let free = plan.workers == Workers::Free;
    let mut phases: Vec<Phase> = plan
        .phases
        .iter()
        .copied()
        .filter(|phase| *phase != Phase::Fsck)
        .collect();
    phases.sort_unstable();
    phases.dedup();
    let mut compared = 0;
    for (position, &phase) in phases.iter().enumerate() {
        let stage = Stage::Tree(phase);
        let tree = |arm| run.trees.get(&(arm, phase));
        // The newest tree before this one, and the walk that took it.
        let before = |arm| {
            let phases = phases[..position].iter();
            let mut taken = phases.filter_map(|&phase| {
                let tree = run.trees.get(&(arm, phase))?;
                Some((phase, tree))
            });
            let (phase, tree) = taken.next_back()?;
            let first = taken.next_back().is_none();
            Some((Walk::of(plan, phase, first), tree))
        };
        // What lies under ext4 and plain is what they show: there is no other
        // tree to read, and their last one stands for it.
        let expected = match (tree(reference), phase) {
            (None, Phase::Lower) => before(reference).map(|(walk, tree)| Expected {
                tree,
                earlier: Some(walk),
            }),
            (tree, _) => tree.map(Expected::now),
        };
        for &arm in &plan.arms {
            let against = |reference| At::of(stage, arm, reference);
            let Some(actual) = tree(arm) else {
                if phase != Phase::Lower || arm.has_lower() {
                    sink.add(
                        against(arm),
                        Attribute::Missing,
                        "a tree".into(),
                        "none".into(),
                    );
                }
                continue;
            };
            consistency::check(sink, against(arm), plan, actual);
            if let Some((walk, earlier)) = before(arm) {
                trees::unchanged(sink, against(arm), walk, earlier, actual);
            }
            if free {
                compared += 1;
                continue;
            }
            if arm == reference {
                continue;
            }
            match expected {
                Some(expected) => {
                    compared += 1;
                    trees::compare(sink, against(reference), times, expected, actual);
                }
                None if phase == Phase::Lower => {
                    let expected = format!("a tree of {reference}");
                    sink.add(
                        against(reference),
                        Attribute::Missing,
                        expected,
                        "none".into(),
                    );
                }
                // Already reported as missing on the reference.
                None => {}
            }
        }
    }
    compared
}

/// The lines of the difference's worker up to and including its operation, at
/// most `lines` of them, as the trace format spells them.
#[must_use]
pub fn context(plan: &CasePlan, difference: &Difference, lines: usize) -> Vec<String> {
    let Some(op) = &difference.op else {
        return Vec::new();
    };
    let trace = if difference.stage == Stage::Setup {
        &plan.setup
    } else {
        &plan.trace
    };
    let before: Vec<&Line> = trace
        .iter()
        .filter(|line| line.worker == op.worker)
        .take(op.index + 1)
        .collect();
    before[before.len().saturating_sub(lines)..]
        .iter()
        .map(|line| line.to_string())
        .collect()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
