//! The scenario files this repository ships.

use std::{collections::BTreeSet, path::Path};

use crate::{ALL_PHASES, Fsstress, Library, Overrides, Plan, Scenario};
use lookback_ops::fsstress::Mix;
use lookback_wire::control::{Arm, Phase, Workers};

fn plans(names: &[&str]) -> Vec<Plan> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let library = Library::load(&directory).unwrap();
    library
        .plans(
            names,
            &Overrides {
                ops: Some(400),
                ..Overrides::default()
            },
        )
        .unwrap()
}

#[test]
fn every_id_is_unique_and_a_file_name() {
    let mut seen = BTreeSet::new();
    for plan in plans(&[]) {
        let id = &plan.case.id;
        assert!(
            id.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)),
            "{id}"
        );
        assert!(id.len() <= 200, "{id}");
        assert!(seen.insert(id.clone()), "{id} twice");
        assert!(!plan.title.is_empty(), "{id}");
    }
}

#[test]
fn every_case_runs_on_all_arms_in_all_phases() {
    for plan in plans(&["lookup", "rename", "revalidate", "fsstress"]) {
        for arm in [Arm::Backed, Arm::Plain, Arm::Ext4] {
            assert!(plan.case.arms.contains(&arm), "{} on {arm}", plan.case.id);
        }
        // Nobody waits for a written case unless it says so.
        let phases: Vec<Phase> = ALL_PHASES
            .into_iter()
            .filter(|phase| plan.seed.is_some() || *phase != Phase::Expired)
            .collect();
        assert_eq!(plan.case.phases, phases, "{}", plan.case.id);
    }
}

#[test]
fn revalidate_runs_with_every_timeout() {
    let plans = plans(&["revalidate.mount-on-directory"]);
    let timeouts: Vec<_> = plans
        .iter()
        .map(|plan| (plan.case.id.as_str(), plan.rules.lookup[0].entry_timeout_ms))
        .collect();
    assert_eq!(
        timeouts,
        [
            ("revalidate.mount-on-directory.entry-0", Some(0)),
            ("revalidate.mount-on-directory.entry-50ms", Some(50)),
            ("revalidate.mount-on-directory.entry-1h", Some(3_600_000)),
        ]
    );
}

#[test]
fn fsstress_runs_with_one_and_four_processes() {
    let plans = plans(&["fsstress"]);
    let cases: Vec<_> = plans
        .iter()
        .map(|plan| {
            (
                plan.case.id.as_str(),
                plan.case.trace.len(),
                plan.case.workers,
            )
        })
        .collect();
    assert_eq!(
        cases,
        [
            ("fsstress.p1", 400, Workers::InTurn),
            ("fsstress.p4", 400, Workers::Apart)
        ]
    );
}

#[test]
fn rounds_are_cases_with_seeds_of_their_own() {
    let load = Fsstress {
        ops: 5,
        procs: vec![2],
        mix: Mix::default(),
        workers: Workers::InTurn,
        every: 0,
        seed: Some(7),
        rounds: 3,
    };
    let scenario = Scenario {
        cases: vec![],
        fsstress: Some(load),
        ..Scenario::of_trace("load", vec![], vec![])
    };
    let plans = scenario.expand(&Overrides::default());
    let ids: Vec<_> = plans.iter().map(|plan| plan.case.id.as_str()).collect();
    assert_eq!(ids, ["load.p2.seed-7", "load.p2.seed-8", "load.p2.seed-9"]);
    assert_ne!(plans[0].case.trace, plans[1].case.trace);
    assert_eq!(plans[2].seed, Some(9));
}

#[rstest::rstest]
#[case(None, None, false)]
#[case(Some(vec![Arm::Backed, Arm::Ext4]), None, true)]
#[case(None, Some("collapse=1"), true)]
fn what_plain_can_t_do_is_left_out_where_it_takes_part(
    #[case] arms: Option<Vec<Arm>>,
    #[case] mix: Option<&str>,
    #[case] collapses: bool,
) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let library = Library::load(&directory).unwrap();
    let overrides = Overrides {
        arms,
        mix: mix.map(|mix| mix.parse().unwrap()),
        ops: Some(5000),
        ..Overrides::default()
    };
    let plans = library.plans(&["fsstress"], &overrides).unwrap();
    let text = lookback_ops::trace::print(&plans[0].case.trace);
    assert_eq!(text.contains("collapse"), collapses);
    assert!(text.contains("punch"));
}
