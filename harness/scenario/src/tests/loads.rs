//! What generated loads are without a word about it.

use std::path::Path;

use crate::{ALL_PHASES, Overrides, Plan, Scenario};
use lookback_wire::control::{Phase, Workers};
use rstest::rstest;

fn plan(more: &str, load: &str) -> Plan {
    let text = format!("name = \"s\"\nabout = \"x\"\n{more}[fsstress]\nops = 50\n{load}");
    let scenario = Scenario::parse(Path::new("s.toml"), &text).unwrap();
    scenario.expand(&Overrides::default()).remove(0)
}

#[rstest]
#[case("", true)]
#[case("[server]\nentry_timeout = \"10s\"\n", true)]
#[case("[server]\nentry_timeout = \"1h\"\n", false)]
#[case("[matrix]\nentry_timeout = [0, \"1h\"]\n", false)]
fn all_phases_that_can_be_waited_for(#[case] more: &str, #[case] expired: bool) {
    let case = plan(more, "procs = [1]\n").case;
    let wanted = ALL_PHASES.into_iter();
    let wanted = wanted.filter(|phase| expired || *phase != Phase::Expired);
    assert_eq!(case.phases, wanted.collect::<Vec<_>>());
    assert!(case.clear);
}

#[rstest]
#[case("procs = [4]\nworkers = \"free\"\n", Workers::Free, true)]
#[case("procs = [1]\nworkers = \"free\"\n", Workers::InTurn, false)]
#[case("procs = [4]\nworkers = \"in-turn\"\n", Workers::InTurn, false)]
#[case("procs = [4]\n", Workers::Apart, false)]
fn references_are_counted_where_outcomes_are_chance(
    #[case] load: &str,
    #[case] workers: Workers,
    #[case] balanced: bool,
) {
    let case = plan("", load).case;
    assert_eq!((case.workers, case.balanced), (workers, balanced));
}

#[test]
fn a_written_case_keeps_what_it_made() {
    let text = "name = \"s\"\nabout = \"x\"\n[[case]]\nname = \"c\"\nabout = \"x\"\n\
                phases = [\"expired\"]\ntrace = \"sync\"\n";
    let scenario = Scenario::parse(Path::new("s.toml"), text).unwrap();
    let case = scenario.expand(&Overrides::default()).remove(0).case;
    assert!(!case.clear);
    // A second, and two jiffies.
    assert_eq!(case.expiry_ms, 1_020);
}
