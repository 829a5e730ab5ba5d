use lookback_report::{CaseResult, Kernel, RunResult};
use lookback_scenario::{Overrides, Scenario};
use rstest::rstest;

use super::*;

/// What a case of a made-up run does.
#[derive(Debug, Clone, Copy)]
enum Does {
    Pass,
    Differ,
    Warn,
    Leak,
    /// The guest is gone, whatever was found.
    Crash,
    Hang,
    /// There is nothing to compare.
    Nothing,
}

use Does::{Crash, Differ, Hang, Leak, Nothing, Pass, Warn};

impl Does {
    fn findings(self) -> Vec<Finding> {
        let kind = match self {
            Pass | Nothing => return vec![],
            Differ => Kind::Difference,
            Warn | Crash => Kind::Crash,
            Leak => Kind::Leak,
            Hang => Kind::Hang,
        };
        vec![Finding::new(kind, "s", "t")]
    }

    fn left(self) -> Left {
        Left::of(!matches!(self, Crash | Hang), &self.findings())
    }
}

fn plan(does: Does) -> Plan {
    let mut plan = Scenario::of_trace("s", vec![], vec![])
        .expand(&Overrides::default())
        .remove(0);
    if matches!(does, Nothing) {
        plan.case.arms.clear();
    }
    plan
}

fn no_agent(crashed: bool) -> Failure {
    Failure::NoAgent {
        text: "no answer; the end of console.log:\n[ 0.1] x".into(),
        crashed,
    }
}

/// Runs the cases with `guests` that come up, and then none. In which guest
/// each case ran, and what the run ends with.
fn run(
    cases: &[Does],
    fail_fast: bool,
    guests: u32,
    failure: &Failure,
) -> (Vec<Option<u32>>, RunResult) {
    let kernel = Kernel {
        name: "m".into(),
        release: "6.12".into(),
        profile: "fast".into(),
    };
    let mut result = RunResult::new("1", "qemu", kernel, 1);
    let mut course = Course::new(fail_fast);
    let (mut booted, mut current) = (0, None);
    let mut ran_in = Vec::new();
    for (index, does) in cases.iter().enumerate() {
        let plan = plan(*does);
        let mut status = course.without_run(&plan);
        if status.is_none() && current.is_none() {
            if booted < guests {
                booted += 1;
                current = Some(booted);
            } else {
                result.problem = Some(course.no_guest(booted + 1, failure));
                status = course.without_run(&plan);
            }
        }
        let ran = status.is_none();
        let mut case = CaseResult::new("s", "s.a", "a", status.unwrap_or(Status::Passed));
        ran_in.push(current.filter(|_| ran));
        if ran {
            does.findings().into_iter().for_each(|f| case.add(f));
            let more = index + 1 < cases.len();
            if course.after(&format!("s.{index}"), does.left(), more) == Then::Ends {
                current = None;
            }
        }
        result.cases.push(case);
    }
    result.finish();
    (ran_in, result)
}

#[rstest]
#[case(true, &[], Left::Fit)]
#[case(true, &[Kind::Difference, Kind::Difference], Left::Fit)]
#[case(true, &[Kind::Difference, Kind::Crash], Left::Tainted)]
#[case(true, &[Kind::Leak], Left::Tainted)]
#[case(true, &[Kind::Hang], Left::Tainted)]
#[case(false, &[], Left::Gone)]
#[case(false, &[Kind::Hang], Left::Gone)]
fn a_case_leaves_something_of_its_guest(
    #[case] alive: bool,
    #[case] kinds: &[Kind],
    #[case] left: Left,
) {
    let findings: Vec<Finding> = kinds
        .iter()
        .map(|kind| Finding::new(*kind, "s", "t"))
        .collect();
    assert_eq!(Left::of(alive, &findings), left);
}

#[rstest]
#[case::well(&[Pass, Pass], &[1, 1], 0)]
#[case::differences(&[Differ, Pass, Differ], &[1, 1, 1], 1)]
#[case::a_crash(&[Pass, Crash, Pass, Pass], &[1, 1, 2, 2], 3)]
#[case::a_hang(&[Hang, Differ, Pass], &[1, 2, 2], 4)]
#[case::a_warning(&[Warn, Pass], &[1, 2], 3)]
#[case::a_leak(&[Leak, Pass], &[1, 2], 3)]
#[case::each_in_its_first_case(&[Crash, Crash, Crash, Crash, Pass], &[1, 2, 3, 4, 5], 3)]
#[case::at_the_end(&[Pass, Crash], &[1, 1], 3)]
fn a_run_goes_on(#[case] cases: &[Does], #[case] guests: &[u32], #[case] exit: u8) {
    let (ran_in, result) = run(cases, false, u32::MAX, &no_agent(false));
    let want: Vec<_> = guests.iter().copied().map(Some).collect();
    assert_eq!(ran_in, want);
    assert_eq!(result.exit_code, exit);
}

#[test]
fn what_needs_no_guest_gets_none() {
    let (ran_in, result) = run(&[Crash, Nothing, Pass], false, 2, &no_agent(false));
    assert_eq!(ran_in, [Some(1), None, Some(2)]);
    assert!(matches!(result.cases[1].status, Status::Skipped { .. }));
    let (ran_in, _) = run(&[Crash, Nothing], false, 1, &no_agent(false));
    assert_eq!(ran_in, [Some(1), None]);
}

#[rstest]
#[case::a_crash(&[Pass, Crash, Pass, Pass], 2, 3)]
#[case::a_hang(&[Hang, Pass], 1, 4)]
#[case::a_warning_is_not_the_end(&[Warn, Leak, Differ, Crash, Pass], 4, 3)]
#[case::differences(&[Differ, Pass], 2, 1)]
fn failing_fast_takes_one_guest(#[case] cases: &[Does], #[case] run_: usize, #[case] exit: u8) {
    let (ran_in, result) = run(cases, true, 1, &no_agent(false));
    assert!(ran_in[..run_].iter().all(|guest| *guest == Some(1)));
    for (index, case) in result.cases.iter().enumerate().skip(run_) {
        let Status::NotRun { reason } = &case.status else {
            panic!("{index}: {:?}", case.status)
        };
        assert_eq!(*reason, format!("the guest ended in s.{}", run_ - 1));
    }
    assert_eq!(result.problem, None);
    assert_eq!(result.exit_code, exit);
}

#[rstest]
#[case::silent(&[Hang, Pass, Pass], no_agent(false), 4)]
#[case::after_a_crash(&[Crash, Pass, Pass], no_agent(false), 3)]
#[case::crashes_at_boot(&[Hang, Pass, Pass], no_agent(true), 3)]
#[case::full_disk(&[Hang, Pass, Pass], Failure::Usage("full".into()), 4)]
#[case::skips_stay_skips(&[Crash, Pass, Nothing], no_agent(false), 3)]
fn without_another_guest_the_rest_is_not_run(
    #[case] cases: &[Does],
    #[case] failure: Failure,
    #[case] exit: u8,
) {
    let (ran_in, result) = run(cases, false, 1, &failure);
    assert_eq!(ran_in, [Some(1), None, None]);
    let Status::NotRun { reason } = &result.cases[1].status else {
        panic!("{:?}", result.cases[1].status)
    };
    assert!(reason.starts_with("guest 2 did not come up: "), "{reason}");
    assert_eq!(reason.lines().count(), 1);
    let skipped = matches!(result.cases[2].status, Status::Skipped { .. });
    assert_eq!(skipped, matches!(cases[2], Nothing));
    assert!(result.problem.is_some());
    assert_eq!(result.exit_code, exit);
}
