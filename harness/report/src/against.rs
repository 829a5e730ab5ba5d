//! The same cases on two kernels: what only one of them shows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{CaseResult, Finding, Kernel, Kind, RunResult, Status};

/// What a run was held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Against {
    /// The other kernel.
    pub kernel: Kernel,
    /// The other run's directory.
    pub run: String,
    /// Findings that both kernels have, and that are left out here.
    pub known: u64,
    /// What only the other kernel has: case and signature, a line each.
    pub gone: Vec<String>,
}

/// What makes two findings one, within a case.
type Key = (&'static str, String);

fn key(finding: &Finding) -> Key {
    let kind = match finding.kind {
        Kind::Difference => "difference",
        Kind::Crash => "crash",
        Kind::Leak => "leak",
        Kind::Hang => "hang",
    };
    (kind, finding.signature.clone())
}

fn keys(case: &CaseResult) -> BTreeSet<Key> {
    case.findings.iter().map(key).collect()
}

impl RunResult {
    /// Leaves out what `other`, a run of the same cases on another kernel,
    /// found too: in a case, what it found in that case; on the console, what
    /// was on its console. A case of which nothing is left is
    /// [`Status::Known`], and the exit code is that of what is left.
    ///
    /// What e2fsck says is of a whole image, with no telling whose doing it is,
    /// and stays.
    pub fn leave_out_known(&mut self, other: &RunResult) {
        let mut known = 0;
        let mut gone = Vec::new();
        for case in &mut self.cases {
            let Some(theirs) = other.cases.iter().find(|theirs| theirs.id == case.id) else {
                continue;
            };
            let (mine, theirs) = (keys(case), keys(theirs));
            gone.extend(
                theirs
                    .difference(&mine)
                    .map(|(_, signature)| format!("{}: {signature}", case.id)),
            );
            known += case.leave_out(&theirs);
        }
        let consoles: BTreeSet<Key> = other.console.iter().map(|it| key(&it.finding)).collect();
        let before = self.console.len();
        self.console
            .retain(|console| !consoles.contains(&key(&console.finding)));
        known += (before - self.console.len()) as u64;
        self.against = Some(Against {
            kernel: other.kernel.clone(),
            run: other.run.clone(),
            known,
            gone,
        });
        self.exit_code = self.exit_code();
    }
}

impl CaseResult {
    /// Returns how many findings were left out.
    fn leave_out(&mut self, known: &BTreeSet<Key>) -> u64 {
        let before = self.findings.len();
        self.findings
            .retain(|finding| !known.contains(&key(finding)));
        let left_out = (before - self.findings.len()) as u64;
        if left_out == 0 {
            return 0;
        }
        // Only repetitions of what is kept are omitted, so that of a signature
        // that is left out nothing else remains.
        let omitted = std::mem::take(&mut self.omitted);
        self.status = Status::Known;
        for finding in std::mem::take(&mut self.findings) {
            self.add(finding);
        }
        left_out + if self.findings.is_empty() { omitted } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{Console, testing::run};

    fn found(signatures: &[(Kind, &str)]) -> RunResult {
        let mut run = run(&[Status::Passed]);
        for (kind, signature) in signatures {
            run.cases[0].add(Finding::new(*kind, *signature, "t"));
        }
        run.finish();
        run
    }

    const DIFFERS: (Kind, &str) = (Kind::Difference, "stat:size:trace:backed");
    const ALSO: (Kind, &str) = (Kind::Difference, "stat:mode:trace:backed");
    const OOPS: (Kind, &str) = (Kind::Crash, "BUG: x");

    #[rstest]
    #[case::all_known(&[DIFFERS], &[DIFFERS], 0, Status::Known, 1)]
    #[case::one_new(&[DIFFERS, ALSO], &[DIFFERS], 1, Status::Failed, 1)]
    #[case::other_kind(&[DIFFERS], &[(Kind::Crash, DIFFERS.1)], 1, Status::Failed, 0)]
    #[case::crash_on_both(&[OOPS], &[OOPS], 0, Status::Known, 1)]
    #[case::crash_is_new(&[DIFFERS, OOPS], &[DIFFERS], 3, Status::Crashed, 1)]
    #[case::nothing_found(&[], &[DIFFERS], 0, Status::Passed, 0)]
    fn only_what_is_new_counts(
        #[case] mine: &[(Kind, &str)],
        #[case] theirs: &[(Kind, &str)],
        #[case] exit: u8,
        #[case] status: Status,
        #[case] known: u64,
    ) {
        let mut mine = found(mine);
        mine.leave_out_known(&found(theirs));
        assert_eq!(mine.exit_code, exit);
        assert_eq!(mine.cases[0].status, status);
        assert_eq!(mine.against.unwrap().known, known);
    }

    #[test]
    fn a_case_the_other_run_lacks_keeps_all() {
        let mut mine = found(&[DIFFERS]);
        let mut theirs = found(&[DIFFERS]);
        theirs.cases[0].id = "rename.other".into();
        mine.leave_out_known(&theirs);
        assert_eq!(mine.cases[0].findings.len(), 1);
    }

    #[test]
    fn repetitions_go_with_what_they_repeat() {
        let many = vec![DIFFERS; CaseResult::MAX_FINDINGS + 5];
        let mut mine = found(&many);
        assert_eq!(mine.cases[0].omitted, 5);
        mine.leave_out_known(&found(&[DIFFERS]));
        assert_eq!(mine.cases[0].omitted, 0);
        assert_eq!(mine.against.unwrap().known, many.len() as u64);
    }

    #[test]
    fn what_is_gone_is_told() {
        let mut mine = found(&[]);
        mine.leave_out_known(&found(&[DIFFERS, OOPS]));
        assert_eq!(
            mine.against.unwrap().gone,
            ["rename.x: BUG: x", "rename.x: stat:size:trace:backed"]
        );
    }

    #[test]
    fn the_console_s_findings_are_compared_with_the_console_s() {
        let on_console = |signature: &str| {
            let mut run = run(&[Status::Passed]);
            let finding = Finding::new(Kind::Leak, signature, "t");
            run.console.push(Console {
                finding,
                case: None,
                guest: None,
            });
            run
        };
        let mut mine = on_console("busy inodes");
        mine.leave_out_known(&on_console("busy inodes"));
        assert!(mine.console.is_empty());
        let mut mine = on_console("busy inodes");
        mine.leave_out_known(&on_console("dentry still in use"));
        assert_eq!(mine.console.len(), 1);
    }
}
