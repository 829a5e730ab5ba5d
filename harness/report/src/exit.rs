//! What a run ends with.

use crate::model::{FsckStatus, Kind, Problem, RunResult, Status};

impl RunResult {
    /// Fills in what follows from the rest: sums and exit code. Which guest
    /// something is of says nothing where there was only one.
    pub fn finish(&mut self) {
        if self.guests < 2 {
            let cases = self.cases.iter_mut().map(|case| &mut case.guest);
            let console = self.console.iter_mut().map(|console| &mut console.guest);
            let fsck = self.fsck.iter_mut().map(|fsck| &mut fsck.guest);
            cases
                .chain(console)
                .chain(fsck)
                .for_each(|guest| *guest = None);
        }
        self.operations = self.cases.iter().map(|case| case.operations).sum();
        self.exit_code = self.exit_code();
    }

    /// The exit code: the gravest thing that happened, in this order.
    ///
    /// | code | when |
    /// |---|---|
    /// | 3 | the guest kernel crashed, warned or leaked |
    /// | 4 | something hung or ran out of time |
    /// | 1 | there is a difference, or e2fsck found errors |
    /// | 5 | this machine can't run it, something that was to run did not, or nothing ran at all |
    /// | 0 | at least one case ran, and all that ran held, or showed only what is known |
    ///
    /// Bad arguments and bad input (2) end a run before it has a result.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.has(Kind::Crash)
            || self.has(Kind::Leak)
            || self.any_case(|status| *status == Status::Crashed)
            || matches!(self.problem, Some(Problem::Crash(_)))
        {
            return 3;
        }
        if self.has(Kind::Hang)
            || self.any_case(|status| *status == Status::Hung)
            || matches!(self.problem, Some(Problem::Hang(_)))
        {
            return 4;
        }
        if self.has(Kind::Difference)
            || self.any_case(|status| *status == Status::Failed)
            || self
                .fsck
                .iter()
                .any(|fsck| fsck.status == FsckStatus::Errors)
        {
            return 1;
        }
        let complete = self.problem.is_none()
            && self.any_case(|status| matches!(status, Status::Passed | Status::Known))
            && !self.any_case(|status| matches!(status, Status::NotRun { .. }))
            && !self
                .fsck
                .iter()
                .any(|fsck| matches!(fsck.status, FsckStatus::NotRun { .. }));
        if complete { 0 } else { 5 }
    }

    fn any_case(&self, is: impl Fn(&Status) -> bool) -> bool {
        self.cases.iter().any(|case| is(&case.status))
    }

    fn has(&self, kind: Kind) -> bool {
        let of_cases = self.cases.iter().flat_map(|case| &case.findings);
        let of_console = self.console.iter().map(|console| &console.finding);
        of_cases
            .chain(of_console)
            .any(|finding| finding.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::{
        Console, Finding, Fsck, FsckStatus, Kind, Problem, RunResult, Status,
        testing::{case, run},
    };

    fn skipped() -> Status {
        Status::Skipped { reason: "x".into() }
    }

    fn not_run() -> Status {
        Status::NotRun { reason: "x".into() }
    }

    #[rstest]
    #[case::all_hold(&[Status::Passed], 0)]
    #[case::one_skipped(&[Status::Passed, skipped()], 0)]
    #[case::nothing(&[], 5)]
    #[case::all_skipped(&[skipped(), skipped()], 5)]
    #[case::not_run(&[Status::Passed, not_run()], 5)]
    #[case::difference(&[Status::Passed, Status::Failed, not_run()], 1)]
    #[case::hang(&[Status::Failed, Status::Hung, not_run()], 4)]
    #[case::crash(&[Status::Failed, Status::Hung, Status::Crashed, not_run()], 3)]
    fn of_cases(#[case] statuses: &[Status], #[case] expected: u8) {
        assert_eq!(run(statuses).exit_code(), expected);
    }

    #[rstest]
    #[case(Kind::Difference, 1)]
    #[case(Kind::Crash, 3)]
    #[case(Kind::Leak, 3)]
    #[case(Kind::Hang, 4)]
    fn of_findings_whatever_the_cases_say(#[case] kind: Kind, #[case] expected: u8) {
        let finding = Finding::new(kind, "s", "t");
        let mut of_console = run(&[Status::Passed]);
        of_console.console.push(Console {
            finding: finding.clone(),
            case: None,
            guest: None,
        });
        assert_eq!(of_console.exit_code(), expected);

        let mut of_case = run(&[Status::Passed]);
        of_case.cases[0].findings.push(finding);
        assert_eq!(of_case.exit_code(), expected);
    }

    #[rstest]
    #[case(FsckStatus::Clean, 0)]
    #[case(FsckStatus::Errors, 1)]
    #[case(FsckStatus::NotRun { reason: "x".into() }, 5)]
    #[case(FsckStatus::Skipped { reason: "x".into() }, 0)]
    fn of_fsck(#[case] status: FsckStatus, #[case] expected: u8) {
        let mut run = run(&[Status::Passed]);
        run.fsck.push(Fsck {
            image: "lower".into(),
            guest: None,
            status,
            output: String::new(),
        });
        assert_eq!(run.exit_code(), expected);
    }

    #[rstest]
    #[case::one(1, None)]
    #[case::two(2, Some(1))]
    fn which_guest_is_told_of_several(#[case] guests: u32, #[case] told: Option<u32>) {
        let mut run = run(&[Status::Passed]);
        run.guests = guests;
        run.cases[0].guest = Some(1);
        run.finish();
        assert_eq!(run.cases[0].guest, told);
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(text.contains("\"guest\":1"), told.is_some());
        assert_eq!(serde_json::from_str::<RunResult>(&text).unwrap(), run);
    }

    #[rstest]
    #[case(Problem::Environment("x".into()), 5)]
    #[case(Problem::Hang("x".into()), 4)]
    #[case(Problem::Crash("x".into()), 3)]
    fn of_a_run_that_ended_early(#[case] problem: Problem, #[case] expected: u8) {
        let run = RunResult {
            problem: Some(problem),
            ..run(&[Status::Passed])
        };
        assert_eq!(run.exit_code(), expected);
    }

    #[rstest]
    #[case(Kind::Difference, Status::Failed)]
    #[case(Kind::Leak, Status::Failed)]
    #[case(Kind::Hang, Status::Hung)]
    #[case(Kind::Crash, Status::Crashed)]
    fn a_finding_ends_a_pass(#[case] kind: Kind, #[case] expected: Status) {
        let mut case = case(Status::Passed);
        case.add(Finding::new(kind, "s", "t"));
        assert_eq!(case.status, expected);
        case.add(Finding::new(Kind::Difference, "s", "t"));
        assert_eq!(case.status, expected, "and nothing lesser changes that");
    }
}
