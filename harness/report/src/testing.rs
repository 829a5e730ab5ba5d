//! Small results for the tests.

use crate::model::{CaseResult, Finding, Kernel, Kind, RunResult, Status};

pub(crate) fn case(status: Status) -> CaseResult {
    CaseResult::new("rename", "rename.x", "a case", status)
}

pub(crate) fn run(statuses: &[Status]) -> RunResult {
    let kernel = Kernel {
        name: "patched".into(),
        release: "6.12.48".into(),
        profile: "fast".into(),
    };
    let mut run = RunResult::new("20240101-000000-1", "qemu (tcg)", kernel, 7);
    run.cases = statuses.iter().cloned().map(case).collect();
    run
}

/// A run with one difference of one case.
pub(crate) fn failed() -> RunResult {
    let mut run = run(&[
        Status::Passed,
        Status::Passed,
        Status::Skipped {
            reason: "no".into(),
        },
    ]);
    let mut finding = Finding::new(
        Kind::Difference,
        "rename:errno:EINVAL>0:trace:backed",
        "backed: trace: rename d d/e (worker 0, operation 4): errno: 0, ext4 says EINVAL",
    );
    finding.text = vec!["mkdir d 0755".into(), "rename d d/e".into()];
    run.cases[1].id = "rename.into-itself".into();
    run.cases[1].add(finding);
    run.cases[1]
        .files
        .push("traces/rename.into-itself.trace".into());
    run.finish();
    run
}
