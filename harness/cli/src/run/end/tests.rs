use std::fs;

use lookback_report::{CaseResult, Kernel, Status};
use rstest::rstest;

use super::*;

fn result() -> RunResult {
    let kernel = Kernel {
        name: "m".into(),
        release: "6.12".into(),
        profile: "fast".into(),
    };
    RunResult::new("1", "qemu", kernel, 1)
}

fn with_case(guest: u32, kind: Option<Kind>) -> RunResult {
    let mut result = result();
    let mut case = CaseResult::new("s", "s.a", "a", Status::Passed);
    case.guest = Some(guest);
    kind.into_iter()
        .for_each(|kind| case.add(Finding::new(kind, "s", "t")));
    result.cases.push(case);
    result
}

fn end(problem: Option<Problem>, status: FsckStatus) -> End {
    End {
        findings: vec![],
        problem,
        fsck: vec![Fsck {
            image: "lower".into(),
            guest: None,
            status,
            output: String::new(),
        }],
    }
}

#[rstest]
#[case::nothing(None, false)]
#[case::difference(Some(Kind::Difference), false)]
#[case::crash(Some(Kind::Crash), true)]
#[case::hang(Some(Kind::Hang), true)]
#[case::leak(Some(Kind::Leak), true)]
fn what_a_case_showed_makes_images_evidence(#[case] kind: Option<Kind>, #[case] is: bool) {
    let result = with_case(2, kind);
    assert_eq!(is_evidence(&result, 2), is);
    assert!(!is_evidence(&result, 1));
}

#[rstest]
#[case::clean(None, FsckStatus::Clean, false)]
#[case::errors(None, FsckStatus::Errors, true)]
#[case::stuck(Some(Problem::Hang("x".into())), FsckStatus::Clean, true)]
fn so_does_a_guest_s_end(
    #[case] problem: Option<Problem>,
    #[case] status: FsckStatus,
    #[case] is: bool,
    #[values(true, false)] last: bool,
) {
    let mut result = with_case(2, None);
    end(problem, status).tell(&mut result, 2, last);
    assert_eq!(is_evidence(&result, 2), is);
    assert_eq!(result.fsck[0].guest, Some(2));
}

#[rstest]
#[case::hang(Problem::Hang("x".into()), Some(Kind::Hang))]
#[case::crash(Problem::Crash("x".into()), Some(Kind::Crash))]
#[case::machine(Problem::Environment("x".into()), None)]
fn only_the_last_guest_s_bad_end_is_the_run_s(
    #[case] problem: Problem,
    #[case] found: Option<Kind>,
) {
    let of = |last| {
        let mut result = result();
        end(Some(problem.clone()), FsckStatus::Clean).tell(&mut result, 1, last);
        let kinds: Vec<Kind> = result.console.iter().map(|it| it.finding.kind).collect();
        (kinds, result.problem)
    };
    assert_eq!(of(true), (vec![], Some(problem.clone())));
    // This machine can't do it, whichever guest it was.
    let as_problem = found.is_none().then(|| problem.clone());
    assert_eq!(of(false), (Vec::from_iter(found), as_problem));
}

#[test]
fn images_of_few_guests_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut evidence = Evidence::default();
    for guest in 1..=6 {
        let directory = dir.path().join(format!("guest-{guest}"));
        fs::create_dir(&directory).unwrap();
        for name in ["lower.img", "console.log"] {
            fs::write(directory.join(name), "").unwrap();
        }
        let kind = if guest == 2 {
            Kind::Difference
        } else {
            Kind::Crash
        };
        let result = with_case(guest, Some(kind));
        evidence.take(&result, guest, directory.clone()).unwrap();
        assert_eq!(
            directory.join("lower.img").exists(),
            [1, 3, 4].contains(&guest)
        );
        assert!(directory.join("console.log").exists());
    }
    assert_eq!(evidence.kept().count(), 3);
}
