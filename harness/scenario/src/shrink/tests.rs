//! Cases made smaller for judges that run nothing.

use std::convert::Infallible;

use lookback_ops::{
    Line, Op,
    fsstress::{Mix, Names, generate},
    trace,
};
use lookback_wire::control::{Arm, Phase, Workers};
use proptest::prelude::*;

use super::{Aim, Judge, Stage, shrink};
use crate::recording::Recording;

/// Says yes to what pleases it, and counts.
struct Fake<F> {
    pleases: F,
    asked: usize,
    stages: Vec<Stage>,
}

impl<F: Fn(&Recording) -> bool> Fake<F> {
    fn new(pleases: F) -> Self {
        Self {
            pleases,
            asked: 0,
            stages: Vec::new(),
        }
    }
}

impl<F: Fn(&Recording) -> bool> Judge for Fake<F> {
    type Error = Infallible;

    fn shows(&mut self, candidate: &Recording) -> Result<bool, Infallible> {
        self.asked += 1;
        Ok((self.pleases)(candidate))
    }

    fn stage(&mut self, stage: Stage) {
        self.stages.push(stage);
    }
}

fn shrunk(text: &str, aim: &Aim, pleases: impl Fn(&Recording) -> bool) -> (String, usize) {
    let recording = Recording::parse("x.trace".as_ref(), text).unwrap();
    assert!(pleases(&recording));
    let mut judge = Fake::new(&pleases);
    let Ok(small) = shrink(recording.clone(), aim, &mut judge);
    assert!(pleases(&small), "what is left does not show it");
    let mut again = Fake::new(&pleases);
    let Ok(same) = shrink(recording, aim, &mut again);
    assert_eq!((&same, again.asked), (&small, judge.asked));
    (small.print().unwrap(), judge.asked)
}

fn has(lines: &[Line], is: impl Fn(&Op) -> bool) -> bool {
    lines.iter().any(|line| is(&line.op))
}

#[test]
fn everything_that_is_not_needed_goes() {
    let text = r#"
        %title kept
        %phases warm,dropped,lower
        %every 5
        %balanced
        %server { entry_timeout = "50ms", nodeid = 0 }
        %register { id = 2, path = "d/f" }
        %register { id = 3, path = "d" }
        %lookup { path = "one", backing = 2, entry_timeout_ms = 7 }
        %lookup { path = "two", entries = [{ type = "backing", id = 3, fd = 99 }, { type = "bpf" }] }
        %setup
        mkdir dir 0700
        creat dir/other
        %trace
        p1: creat dir/file 0600
        p2: open 3 dir/file rdwr|append
        p2: pwrite 3 off=5000 len=100 seed=9
        p1: rename dir/file dir/new noreplace
        p1: stat dir/new -> ok
        p3: sync
    "#;
    let (small, _) = shrunk(text, &Aim::default(), |case| {
        has(&case.trace, |op| matches!(op, Op::Rename { .. }))
            && has(&case.trace, |op| matches!(op, Op::Pwrite { .. }))
            && case.arms.contains(&Arm::Backed)
            && case.arms.contains(&Arm::Ext4)
            && case.phases.contains(&Phase::Dropped)
            && case.lookup.iter().any(|rule| rule.entries.is_some())
    });
    assert_eq!(
        small,
        "%title kept\n%arms backed,ext4\n%phases dropped\n%lookup { path = \"two\", entries = [] }\n\
         %trace\npwrite 0 off=0 len=0 seed=0\nrename a b\n"
    );
}

#[test]
fn a_guess_that_is_right_saves_most_of_it() {
    let trace = generate(1, 2000, 4, Names::Shared, &Mix::default());
    let text = trace::print(&trace);
    let needed = trace[1500].op.clone();
    let aim = Aim {
        arms: Some(vec![Arm::Backed, Arm::Ext4]),
        phases: Some(vec![]),
        end: Some(1500),
    };
    let (small, asked) = shrunk(&text, &aim, |case| {
        has(&case.trace, |op| {
            std::mem::discriminant(op) == std::mem::discriminant(&needed)
        }) && case.arms.contains(&Arm::Backed)
            && case.arms.contains(&Arm::Ext4)
    });
    assert!(
        small.starts_with("%arms backed,ext4\n%phases none\n%trace\n"),
        "{small}"
    );
    assert_eq!(small.lines().count(), 4, "{small}");
    assert!(asked < 60, "{asked}");
}

#[test]
fn a_wrong_guess_does_no_harm() {
    let aim = Aim {
        arms: Some(vec![Arm::Plain]),
        phases: Some(vec![Phase::Warm]),
        end: Some(0),
    };
    let (small, _) = shrunk("creat a\nsync\nunlink a", &aim, |case| {
        case.arms.contains(&Arm::Backed) && has(&case.trace, |op| matches!(op, Op::Unlink { .. }))
    });
    assert_eq!(small, "%arms backed\n%phases none\n%trace\nunlink a\n");
}

#[test]
fn what_only_runs_at_once_stays_so() {
    let text = "%workers free\np1: creat a\np2: unlink a\np3: sync";
    let (small, _) = shrunk(text, &Aim::default(), |case| {
        let workers: Vec<u16> = lookback_ops::shrink::used(&case.trace);
        case.workers == Workers::Free && workers.len() > 1
    });
    assert_eq!(
        small,
        "%arms backed\n%phases none\n%workers free\n%trace\ncreat a 0644\np2: unlink a\n"
    );
}

#[test]
fn an_error_ends_it() {
    struct Gone(usize);
    impl Judge for Gone {
        type Error = &'static str;
        fn shows(&mut self, _: &Recording) -> Result<bool, &'static str> {
            self.0 += 1;
            Err("the guest does not come up")
        }
        fn stage(&mut self, _: Stage) {}
    }
    let mut gone = Gone(0);
    let case = Recording::parse("x.trace".as_ref(), "creat a\nsync").unwrap();
    let result = shrink(case, &Aim::default(), &mut gone);
    assert_eq!((result, gone.0), (Err("the guest does not come up"), 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// No single line of the result can go, and it took few questions.
    #[test]
    fn the_result_is_1_minimal(seed in any::<u64>(), wanted in proptest::collection::btree_set(0_usize..300, 1..5)) {
        let trace = generate(seed, 300, 4, Names::Shared, &Mix::default());
        // An operation of the same kind for each one that is needed, in order.
        let needed: Vec<_> = wanted.iter().map(|index| std::mem::discriminant(&trace[*index].op)).collect();
        let pleases = |case: &Recording| {
            let mut lines = case.trace.iter();
            needed.iter().all(|kind| lines.any(|line| std::mem::discriminant(&line.op) == *kind))
        };
        let recording = Recording { trace, ..Recording::default() };
        let mut judge = Fake::new(pleases);
        let Ok(small) = shrink(recording, &Aim::default(), &mut judge);
        prop_assert_eq!(small.trace.len(), needed.len());
        prop_assert!(judge.asked < 600, "{}", judge.asked);
        let text = small.print().unwrap();
        prop_assert_eq!(Recording::parse("x".as_ref(), &text).unwrap(), small);
    }
}
