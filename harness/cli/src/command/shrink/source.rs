//! What is to be shrunk: a run's case, or a trace file.

use std::path::Path;

use clap::ValueEnum;
use lookback_report::{Finding, Kernel, Kind, RunResult};
use lookback_scenario::Recording;

use crate::{args::ProfileArg, command::replay, failure::Failure};

/// Signatures named where none is the one asked for.
const NAMED: usize = 10;

/// What is to be shrunk.
#[derive(Debug)]
pub struct Source {
    /// The case.
    pub recording: Recording,
    /// What it has to show; whatever it shows first, if nothing is said.
    pub signature: Option<String>,
    /// What the run booted.
    pub kernel: Option<Kernel>,
}

impl Source {
    /// Reads a run's directory, its result, or a trace file.
    pub fn read(path: &Path, signature: Option<&str>) -> Result<Self, Failure> {
        let is_run = path.is_dir() || path.extension().is_some_and(|ext| ext == "json");
        if !is_run {
            return Ok(Self {
                recording: replay::read(path, None)?,
                signature: signature.map(str::to_owned),
                kernel: None,
            });
        }
        let result = lookback_report::read(path)?;
        let (case, finding) = choose(&result, signature).map_err(|what| match path.to_str() {
            Some(path) => Failure::Usage(format!("{path}: {what}")),
            None => Failure::Usage(what),
        })?;
        let directory = if path.is_dir() {
            path
        } else {
            path.parent().unwrap_or(path)
        };
        let trace = directory.join("traces").join(format!("{case}.trace"));
        println!("{case}: {}", finding.title);
        Ok(Self {
            recording: replay::read(&trace, None)?,
            signature: Some(finding.signature.clone()),
            kernel: Some(result.kernel),
        })
    }

    /// The profile of the run's kernel, if it has one.
    pub fn profile(&self) -> Option<ProfileArg> {
        let kernel = self.kernel.as_ref()?;
        ProfileArg::from_str(&kernel.profile, false).ok()
    }
}

/// Whether the finding is the one that was asked for, by its signature or a
/// part of it.
pub fn is_meant(finding: &Finding, signature: &str) -> bool {
    finding.signature.contains(signature)
}

/// The finding that explains the others: what the kernel says comes before what
/// follows from it.
pub fn first_of(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().min_by_key(|finding| match finding.kind {
        Kind::Crash if finding.complaint.is_some() => 0,
        Kind::Leak => 1,
        Kind::Hang => 2,
        Kind::Crash => 3,
        Kind::Difference => 4,
    })
}

/// The first finding of the first case that has one, or the first with the
/// signature; and the case.
fn choose<'a>(
    result: &'a RunResult,
    signature: Option<&str>,
) -> Result<(&'a str, &'a Finding), String> {
    let of_cases = result
        .cases
        .iter()
        .flat_map(|case| case.findings.iter().map(|f| (Some(case.id.as_str()), f)));
    // What the console showed while a guest ended belongs to its last case.
    let last = |guest: Option<u32>| {
        let mut cases = result.cases.iter().rev();
        let case = cases.find(|case| guest.is_none() || case.guest == guest);
        case.map(|case| case.id.as_str())
    };
    let of_console = result.console.iter().map(|console| {
        let case = console.case.as_deref().or_else(|| last(console.guest));
        (case, &console.finding)
    });
    let all: Vec<(&str, &Finding)> = of_cases
        .chain(of_console)
        .filter_map(|(case, finding)| Some((case?, finding)))
        .collect();
    let Some(signature) = signature else {
        let case = all.first().map(|(case, _)| *case);
        let of_case: Vec<Finding> = all
            .iter()
            .filter(|(id, _)| Some(*id) == case)
            .map(|(_, finding)| (*finding).clone())
            .collect();
        let first = first_of(&of_case);
        return all
            .iter()
            .find(|(id, finding)| Some(*id) == case && Some(*finding) == first)
            .copied()
            .ok_or_else(|| "the run has no finding".to_owned());
    };
    let exact = all.iter().find(|(_, f)| f.signature == signature);
    let part = || all.iter().find(|(_, f)| is_meant(f, signature));
    exact.or_else(part).copied().ok_or_else(|| {
        let mut known: Vec<&str> = Vec::new();
        for (_, finding) in &all {
            if !known.contains(&finding.signature.as_str()) && known.len() < NAMED {
                known.push(&finding.signature);
            }
        }
        match known.as_slice() {
            [] => "the run has no finding".to_owned(),
            known => format!(
                "no finding has `{signature}`; there are: {}",
                known.join(", ")
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use lookback_report::{CaseResult, Console, Status};

    use super::*;

    fn finding(kind: Kind, signature: &str) -> Finding {
        Finding::new(kind, signature, "t")
    }

    fn result(cases: &[(&str, &[Finding])]) -> RunResult {
        let kernel = Kernel {
            name: "m".into(),
            release: "6.12".into(),
            profile: "kasan".into(),
        };
        let mut result = RunResult::new("1", "qemu", kernel, 1);
        for (id, findings) in cases {
            let mut case = CaseResult::new("s", id, "a", Status::Passed);
            findings.iter().cloned().for_each(|f| case.add(f));
            result.cases.push(case);
        }
        result
    }

    #[test]
    fn the_gravest_of_the_first_case_that_has_one() {
        let result = result(&[
            ("s.a", &[]),
            (
                "s.b",
                &[finding(Kind::Difference, "d"), finding(Kind::Leak, "l")],
            ),
            ("s.c", &[finding(Kind::Crash, "c")]),
        ]);
        let (case, found) = choose(&result, None).unwrap();
        assert_eq!((case, found.signature.as_str()), ("s.b", "l"));
    }

    #[rstest::rstest]
    #[case("tree:mode:warm:backed", Ok("s.b"))]
    #[case("tree:mode", Ok("s.a"))]
    #[case("refcount", Ok("s.b"))]
    #[case(
        "nothing",
        Err("there are: tree:mode:lower:backed, tree:mode:warm:backed, oops: refcount")
    )]
    fn by_signature(#[case] signature: &str, #[case] expected: Result<&str, &str>) {
        let mut result = result(&[
            (
                "s.a",
                &[finding(Kind::Difference, "tree:mode:lower:backed")],
            ),
            ("s.b", &[finding(Kind::Difference, "tree:mode:warm:backed")]),
        ]);
        result.console.push(Console {
            finding: finding(Kind::Crash, "oops: refcount"),
            case: None,
            guest: None,
        });
        match (choose(&result, Some(signature)), expected) {
            (Ok((case, _)), Ok(expected)) => assert_eq!(case, expected),
            (Err(what), Err(expected)) => assert!(what.contains(expected), "{what}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_of_a_guest_is_its_last_case_s() {
        let mut result = result(&[("s.a", &[]), ("s.b", &[])]);
        result.cases[0].guest = Some(1);
        result.cases[1].guest = Some(2);
        result.console.push(Console {
            finding: finding(Kind::Leak, "busy"),
            case: None,
            guest: Some(1),
        });
        assert_eq!(choose(&result, None).unwrap().0, "s.a");
    }

    #[test]
    fn nothing_to_shrink() {
        let result = result(&[("s.a", &[])]);
        assert!(choose(&result, None).unwrap_err().contains("no finding"));
        assert!(
            choose(&result, Some("x"))
                .unwrap_err()
                .contains("no finding")
        );
    }
}
