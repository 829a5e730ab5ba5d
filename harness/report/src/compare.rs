//! Two runs of the same cases.

use std::collections::BTreeMap;

use crate::model::RunResult;

/// Where the cases of two runs ended otherwise: a line each, by case. A case that only one of
/// them has is such a place; why a case was skipped, or not run, is not compared.
#[must_use]
pub fn compare(one: &RunResult, other: &RunResult) -> Vec<String> {
    let mut ends: BTreeMap<&str, [&str; 2]> = BTreeMap::new();
    for (side, run) in [one, other].into_iter().enumerate() {
        for case in &run.cases {
            ends.entry(&case.id).or_insert(["absent"; 2])[side] = case.status.name();
        }
    }
    ends.into_iter()
        .filter(|(_, [one, other])| one != other)
        .map(|(id, [one, other])| format!("{id}: {one}, {other}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::{Status, testing::run};

    use super::*;

    fn named(statuses: &[Status]) -> RunResult {
        let mut run = run(statuses);
        for (index, case) in run.cases.iter_mut().enumerate() {
            case.id = format!("s.{index}");
        }
        run
    }

    fn skipped(reason: &str) -> Status {
        Status::Skipped {
            reason: reason.into(),
        }
    }

    #[test]
    fn equal_runs_differ_nowhere() {
        let one = named(&[Status::Passed, skipped("x")]);
        let other = named(&[Status::Passed, skipped("y")]);
        assert_eq!(compare(&one, &other), [""; 0]);
    }

    #[test]
    fn each_difference_is_a_line() {
        let one = named(&[Status::Passed, Status::Passed, Status::Hung]);
        let other = named(&[Status::Passed, skipped("x")]);
        assert_eq!(
            compare(&one, &other),
            ["s.1: passed, skipped", "s.2: hung, absent"]
        );
    }
}
