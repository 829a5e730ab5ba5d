//! `[[lookup]]`, `[[register]]` and `balanced`: scenario-wide and of a case.

use std::path::Path;

use crate::{Overrides, Plan, Scenario};
use lookback_wire::{control::Arm, rules::Errno};
use rstest::rstest;

const HEAD: &str = "name = \"s\"\nabout = \"x\"\narms = [\"backed\"]\n";
const CASE: &str = "[[case]]\nname = \"c\"\nabout = \"x\"\ntrace = \"stat f\"\n";

fn plans(text: &str) -> Vec<Plan> {
    let scenario = Scenario::parse(Path::new("s.toml"), text).unwrap();
    scenario.expand(&Overrides::default())
}

fn error(text: &str) -> String {
    let error = Scenario::parse(Path::new("s.toml"), text).unwrap_err();
    error.to_string()
}

#[test]
fn a_case_s_rules_come_before_the_scenario_s_and_the_server_s() {
    let plans = plans(&format!(
        "{HEAD}\n[server]\nbacking = 7\n\
         [[lookup]]\npath = \"bad\"\nkind = \"fifo\"\n\
         {CASE}[[case.lookup]]\npath = \"bad\"\nto = 1\nerrno = \"EIO\"\n\
         [[case]]\nname = \"d\"\nabout = \"x\"\ntrace = \"sync\"\n"
    ));
    let of = |plan: &Plan| -> Vec<_> {
        let rules = plan.rules.lookup.iter();
        rules
            .map(|rule| (rule.path.clone(), rule.to, rule.errno, rule.backing))
            .collect()
    };
    let bad = ("bad".to_owned(), None, None, None);
    let stack = ("stack".to_owned(), None, None, Some(7));
    let first = ("bad".to_owned(), Some(1), Some(Errno(5)), None);
    assert_eq!(of(&plans[0]), [first, bad.clone(), stack.clone()]);
    assert_eq!(of(&plans[1]), [bad, stack]);
    assert_eq!(plans[0].case.rules, plans[0].rules);
}

#[rstest]
#[case::for_ever("", 1)]
#[case::from_the_second_on("from = 2\n", 2)]
fn the_answer_for_the_stacking_root_can_be_replaced(#[case] range: &str, #[case] rules: usize) {
    let plans = plans(&format!(
        "{HEAD}{CASE}[[case.lookup]]\npath = \"stack\"\nerrno = \"EIO\"\n{range}"
    ));
    assert_eq!(plans[0].rules.lookup.len(), rules);
    assert_eq!(plans[0].rules.check(), Ok(()));
}

#[test]
fn the_matrix_is_of_the_server_s_rule() {
    let plans = plans(&format!(
        "{HEAD}[matrix]\nentry_timeout = [0, \"1s\"]\n[[lookup]]\npath = \"a\"\n{CASE}"
    ));
    let timeouts: Vec<_> = plans
        .iter()
        .map(|plan| {
            let [a, stack] = &plan.rules.lookup[..] else {
                panic!("{plan:?}")
            };
            (a.entry_timeout_ms, stack.entry_timeout_ms)
        })
        .collect();
    assert_eq!(timeouts, [(None, Some(0)), (None, Some(1000))]);
}

#[test]
fn registrations_add_to_the_case_s_directory() {
    let plans = plans(&format!(
        "{HEAD}[[register]]\nid = 2\npath = \"d/f\"\n{CASE}[[case.register]]\nid = 3\npath = \"\"\n"
    ));
    let ids: Vec<_> = plans[0]
        .case
        .register
        .iter()
        .map(|r| (r.id, r.path.as_str()))
        .collect();
    assert_eq!(ids, [(1, ""), (3, ""), (2, "d/f")]);
}

#[test]
fn the_mount_s_own_root_has_an_id_on_devfuse() {
    let register = "[[case.register]]\nid = 2\npath = \"@root\"\n";
    let text = format!("{HEAD}{CASE}{register}");
    let plans = plans(&text.replace("backed", "devfuse"));
    assert_eq!(plans[0].case.arms, [Arm::Devfuse]);
    assert_eq!(plans[0].case.register[1].path, "@root");
    assert!(error(&text).contains("leave the arm backed out"));
}

#[rstest]
#[case::neither("", "", false)]
#[case::scenario("balanced = true\n", "", true)]
#[case::case("", "balanced = true\n", true)]
#[case::not_this_one("balanced = true\n", "balanced = false\n", false)]
fn balanced(#[case] scenario: &str, #[case] case: &str, #[case] want: bool) {
    let plans = plans(&format!("{HEAD}{scenario}{CASE}{case}"));
    assert_eq!(plans[0].case.balanced, want);
}

#[test]
fn a_load_has_the_scenario_s() {
    let plans = plans(&format!(
        "{HEAD}balanced = true\n[server]\nnegotiate = false\n\
         [[lookup]]\npath = \"a\"\n[[register]]\nid = 2\npath = \"\"\n\
         [fsstress]\nops = 1\nprocs = [1]\n"
    ));
    assert!(plans[0].case.balanced && !plans[0].rules.negotiate);
    assert_eq!(plans[0].rules.lookup[0].path, "a");
    assert_eq!(plans[0].case.register.len(), 2);
}

// HEAD is three lines, CASE four more.
#[rstest]
#[case::key(
    "[[case.lookup]]\npath = \"a\"\ndelay = 1\n",
    "s.toml:10:1: unknown field `delay`"
)]
#[case::value(
    "[[case.lookup]]\npath = \"a\"\nerrno = \"ENO\"\n",
    "s.toml:10:9: \"ENO\" is no error"
)]
#[case::rule(
    "[[case.lookup]]\npath = \"b\"\n[[case.lookup]]\npath = \"/a\"\n",
    "s.toml:10:1: lookup rule \"/a\": a path is relative"
)]
#[case::never(
    "[[case.lookup]]\npath = \"a\"\n[[lookup]]\npath = \"a\"\n",
    "s.toml:10:1: lookup rule \"a\": a rule before it answers"
)]
#[case::stack_is_a_directory(
    "[[case.lookup]]\npath = \"stack\"\nkind = \"file\"\n",
    "s.toml:8:1: \"stack\" is a directory of every share"
)]
#[case::below_no_directory(
    "[[case.lookup]]\npath = \"a\"\nkind = \"file\"\n[[lookup]]\npath = \"a/b\"\n",
    "s.toml:11:1: lookup rule \"a/b\": \"a\" above it"
)]
#[case::id_zero(
    "[[case.register]]\nid = 0\npath = \"a\"\n",
    "s.toml:8:1: id 0 is not between"
)]
#[case::id_taken(
    "[[case.register]]\nid = 1\npath = \"a\"\n",
    "id 1 is the case's directory's"
)]
#[case::id_twice(
    "[[case.register]]\nid = 2\npath = \"a\"\n[[register]]\nid = 2\npath = \"b\"\n",
    "s.toml:11:1: id 2 is registered twice"
)]
#[case::outside_of_it(
    "[[case.register]]\nid = 2\npath = \"../a\"\n",
    "s.toml:8:1: a path is relative to the case's directory"
)]
#[case::register_key("[[register]]\nid = 2\nfile = \"a\"\n", "unknown field `file`")]
fn mistakes(#[case] rest: &str, #[case] says: &str) {
    let error = error(&format!("{HEAD}{CASE}{rest}"));
    assert!(error.contains(says), "{error}");
}

#[test]
fn a_backed_root_has_no_answers() {
    for rest in [
        "[[case.lookup]]\npath = \"a\"\n",
        "[[register]]\nid = 2\npath = \"\"\n",
    ] {
        let error = error(&format!("{HEAD}root_dir = true\n{CASE}{rest}"));
        assert!(error.contains("nothing is looked up"), "{error}");
    }
}

#[rstest]
#[case("stat f", "", true, true)]
#[case("rename @outside/a f", "", true, true)]
#[case("stat @root/a", "creat f", false, true)]
#[case("stat @lower/a", "", false, false)]
#[case("sync", "", false, false)]
fn which_cases_meet_the_stacking_root(
    #[case] trace: &str,
    #[case] setup: &str,
    #[case] runs: bool,
    #[case] uses: bool,
) {
    let plans = plans(&format!(
        "{HEAD}[[case]]\nname = \"c\"\nabout = \"x\"\nsetup = \"{setup}\"\ntrace = \"{trace}\"\n"
    ));
    let case = &plans[0].case;
    assert_eq!((case.runs_in_arm(), case.uses_arm()), (runs, uses));
}
