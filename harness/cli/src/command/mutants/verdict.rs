//! Who noticed a mutant, and how.

use std::{fmt, str::FromStr};

use lookback_report::{Finding, FsckStatus, Kind, Problem, RunResult};
use lookback_triage::Kind as Complaint;
use serde::Serialize;

use crate::command::mutants::header::Mutant;

/// How a defect shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// An arm is not like the reference, or the server was asked what it must not be.
    Difference,
    /// The kernel broke: a fault, a BUG, a sanitizer's report, a panic, its end.
    Oops,
    /// The kernel noticed by itself and went on: a WARNING, lockdep.
    Warning,
    /// Something was not given back.
    Leak,
    /// Something took longer than it may.
    Hang,
}

impl How {
    const ALL: [Self; 5] = [
        Self::Difference,
        Self::Oops,
        Self::Warning,
        Self::Leak,
        Self::Hang,
    ];

    fn of(finding: &Finding) -> Self {
        match (finding.kind, finding.complaint) {
            (Kind::Difference, _) => Self::Difference,
            (Kind::Leak, _) => Self::Leak,
            (Kind::Hang, _) => Self::Hang,
            (Kind::Crash, None) => Self::Oops,
            (Kind::Crash, Some(complaint)) => match complaint {
                Complaint::HungTask
                | Complaint::SoftLockup
                | Complaint::HardLockup
                | Complaint::RcuStall => Self::Hang,
                Complaint::Warning
                | Complaint::Lockdep
                | Complaint::RefcountBug
                | Complaint::ListCorruption
                | Complaint::AtomicSleep
                | Complaint::Ubsan
                | Complaint::Kcsan
                | Complaint::FsError => Self::Warning,
                Complaint::BusyInodes | Complaint::DentryInUse | Complaint::KernelLeak => {
                    Self::Leak
                }
                Complaint::Bug
                | Complaint::Oops
                | Complaint::Kasan
                | Complaint::Kfence
                | Complaint::Panic
                | Complaint::Slab => Self::Oops,
            },
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Difference => "difference",
            Self::Oops => "oops",
            Self::Warning => "warning",
            Self::Leak => "leak",
            Self::Hang => "hang",
        })
    }
}

impl FromStr for How {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|how| how.to_string() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(|how| how.to_string()).join(", ");
                format!("`{text}` is no way to be caught; there are {known}")
            })
    }
}

/// Something that a run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Catch {
    /// How it showed.
    pub how: How,
    /// The case, or what else was checked.
    pub by: String,
    /// The finding in one line.
    pub title: String,
}

/// All that a run found, in the order of the cases.
pub fn catches(result: &RunResult) -> Vec<Catch> {
    let of_cases = result.cases.iter().flat_map(|case| {
        case.findings
            .iter()
            .map(|finding| (case.id.clone(), finding))
    });
    let of_console = result.console.iter().map(|console| {
        let by = console.case.clone();
        (
            by.unwrap_or_else(|| "boot or shutdown".into()),
            &console.finding,
        )
    });
    let findings = of_cases.chain(of_console).map(|(by, finding)| Catch {
        how: How::of(finding),
        by,
        title: finding.title.clone(),
    });
    let fsck = result
        .fsck
        .iter()
        .filter(|fsck| fsck.status == FsckStatus::Errors)
        .map(|fsck| Catch {
            how: How::Difference,
            by: format!("e2fsck {}", fsck.image),
            title: fsck.output.lines().next().unwrap_or_default().to_owned(),
        });
    let end = match &result.problem {
        Some(Problem::Crash(title)) => Some((How::Oops, title)),
        Some(Problem::Hang(title)) => Some((How::Hang, title)),
        Some(Problem::Environment(_)) | None => None,
    };
    let end = end.map(|(how, title)| Catch {
        how,
        by: "shutdown".into(),
        title: title.clone(),
    });
    findings.chain(fsck).chain(end).collect()
}

/// The catch to tell of: the first that was expected, else the first.
pub fn best(mutant: &Mutant, catches: Vec<Catch>) -> Option<Catch> {
    let expected = catches
        .iter()
        .position(|catch| mutant.caught_by.contains(&catch.how));
    catches.into_iter().nth(expected.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lookback_report::{CaseResult, Console, Fsck, Kernel, Status};
    use rstest::rstest;

    use super::*;
    use crate::command::mutants::header::parse;

    fn result(findings: Vec<Finding>) -> RunResult {
        let kernel = Kernel {
            name: "m".into(),
            release: "6.12".into(),
            profile: "fast".into(),
        };
        let mut result = RunResult::new("1", "qemu", kernel, 1);
        let mut case = CaseResult::new("s", "s.a", "a", Status::Passed);
        for finding in findings {
            case.add(finding);
        }
        result.cases.push(case);
        result
    }

    fn complaint(kind: Complaint) -> Finding {
        Finding {
            complaint: Some(kind),
            ..Finding::new(Kind::Crash, "s", "t")
        }
    }

    #[rstest]
    #[case(complaint(Complaint::Oops), How::Oops)]
    #[case(complaint(Complaint::Kasan), How::Oops)]
    #[case(complaint(Complaint::Warning), How::Warning)]
    #[case(complaint(Complaint::Lockdep), How::Warning)]
    #[case(complaint(Complaint::HungTask), How::Hang)]
    #[case(Finding::new(Kind::Crash, "guest:died", "t"), How::Oops)]
    #[case(Finding::new(Kind::Leak, "s", "t"), How::Leak)]
    #[case(Finding::new(Kind::Hang, "s", "t"), How::Hang)]
    #[case(Finding::new(Kind::Difference, "s", "t"), How::Difference)]
    fn a_finding_shows_somehow(#[case] finding: Finding, #[case] how: How) {
        let [catch] = &catches(&result(vec![finding]))[..] else {
            panic!("one catch")
        };
        assert_eq!((catch.how, catch.by.as_str()), (how, "s.a"));
    }

    #[test]
    fn nothing_found_is_no_catch() {
        assert_eq!(catches(&result(vec![])), []);
    }

    #[test]
    fn what_no_case_showed_counts() {
        let mut result = result(vec![]);
        result.console.push(Console {
            finding: Finding::new(Kind::Leak, "s", "busy"),
            case: None,
            guest: None,
        });
        result.fsck.push(Fsck {
            image: "lower".into(),
            guest: None,
            status: FsckStatus::Errors,
            output: "bad\nvery bad".into(),
        });
        result.problem = Some(Problem::Hang("stuck".into()));
        let found: Vec<_> = catches(&result)
            .into_iter()
            .map(|catch| (catch.how, catch.by, catch.title))
            .collect();
        assert_eq!(
            found,
            [
                (How::Leak, "boot or shutdown".into(), "busy".into()),
                (How::Difference, "e2fsck lower".into(), "bad".into()),
                (How::Hang, "shutdown".into(), "stuck".into()),
            ]
        );
    }

    #[test]
    fn the_expected_catch_is_told() {
        let text = "X.\n\nScenario: s\nCaught-by: leak\n--- a/x\n";
        let mutant = parse(Path::new("m.patch"), text).unwrap();
        let difference = Finding::new(Kind::Difference, "s", "first");
        let leak = Finding::new(Kind::Leak, "s", "second");
        let told = |findings| best(&mutant, catches(&result(findings))).map(|catch| catch.title);
        assert_eq!(
            told(vec![difference.clone(), leak]).as_deref(),
            Some("second")
        );
        assert_eq!(told(vec![difference]).as_deref(), Some("first"));
        assert_eq!(told(vec![]), None);
    }

    #[test]
    fn words_read_back() {
        for how in How::ALL {
            assert_eq!(how.to_string().parse(), Ok(how));
        }
    }
}
