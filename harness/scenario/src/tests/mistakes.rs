//! What a mistake in a scenario file gets.

use std::{fs, path::Path};

use crate::{Library, Overrides, Scenario, ScenarioError};
use lookback_wire::control::Arm;
use rstest::rstest;

const HEAD: &str = "name = \"s\"\nabout = \"x\"\n";
const CASE: &str = "[[case]]\nname = \"c\"\nabout = \"x\"\ntrace = \"sync\"\n";

fn error(text: &str) -> String {
    Scenario::parse(Path::new("dir/s.toml"), text)
        .unwrap_err()
        .to_string()
}

#[rstest]
#[case::syntax(
    "name = \"s\"\nabout",
    "dir/s.toml:2:6: key with no value, expected `=`"
)]
#[case::no_about("name = \"s\"\n[[case]]\nname=\"c\"", "missing field `about`")]
#[case::unknown_key(&format!("{HEAD}colour = 1\n{CASE}"), "dir/s.toml:3:1: unknown field `colour`, expected one of `name`")]
#[case::unknown_server_key(&format!("{HEAD}[server]\nentry_timout = 0\n{CASE}"), "dir/s.toml:4:1: unknown field `entry_timout`")]
#[case::unknown_case_key(&format!("{HEAD}{CASE}tace = \"\"\n"), "dir/s.toml:7:1: unknown field `tace`")]
#[case::unknown_arm(&format!("{HEAD}arms = [\"ext3\"]\n{CASE}"), "unknown variant `ext3`, expected one of `backed`, `plain`, `devfuse`, `ext4`")]
#[case::unknown_phase(&format!("{HEAD}phases = [\"hot\"]\n{CASE}"), "unknown variant `hot`")]
#[case::no_arms(&format!("{HEAD}arms = []\n{CASE}"), "dir/s.toml:3:8: an empty list")]
#[case::arm_twice(&format!("{HEAD}arms = [\"ext4\", \"ext4\"]\n{CASE}"), "dir/s.toml:3:8: a value stands here twice")]
#[case::timeout(&format!("{HEAD}[server]\nentry_timeout = \"soon\"\n{CASE}"), "dir/s.toml:4:17: invalid value: string \"soon\", expected a time")]
#[case::backing_id(&format!("{HEAD}[server]\nbacking = 0\n{CASE}"), "backing id 0 is not between 1")]
#[case::matrix_twice(&format!("{HEAD}[matrix]\nentry_timeout = [0, \"0\"]\n{CASE}"), "dir/s.toml:4:17: a value stands here twice")]
#[case::file_name(
    "name = \"other\"\nabout = \"x\"\n",
    "dir/s.toml:1:8: this file must be called other.toml"
)]
#[case::bad_name(
    "name = \"s/../t\"\nabout = \"x\"\n",
    "dir/s.toml:1:8: a name is made of"
)]
#[case::nothing(HEAD, "dir/s.toml:1:8: a scenario has either")]
#[case::both(&format!("{HEAD}{CASE}[fsstress]\nops = 1\nprocs = [1]\n"), "a scenario has either")]
#[case::case_twice(&format!("{HEAD}{CASE}{CASE}"), "dir/s.toml:8:8: there are two cases `c`")]
#[case::no_processes(&format!("{HEAD}[fsstress]\nops = 1\nprocs = [0]\n"), "dir/s.toml:5:9: at least one process")]
#[case::no_operations(&format!("{HEAD}[fsstress]\nops = 0\nprocs = [1]\n"), "dir/s.toml:4:7: at least one operation")]
#[case::mix(&format!("{HEAD}[fsstress]\nops = 1\nprocs = [1]\nmix = \"fly=1\"\n"), "dir/s.toml:6:7: mix: no operation `fly`")]
#[case::no_daemon_alone(&format!("{HEAD}no_daemon = true\narms = [\"devfuse\"]\n{CASE}"), "dir/s.toml:3:13: no_daemon needs root_dir")]
#[case::no_daemon_backed(&format!("{HEAD}root_dir = true\nno_daemon = true\narms = [\"backed\", \"devfuse\"]\n{CASE}"), "dir/s.toml:4:13: no_daemon is the arm devfuse's")]
#[case::no_daemon_default_arms(&format!("{HEAD}root_dir = true\nno_daemon = true\n{CASE}"), "dir/s.toml:4:13: no_daemon is the arm devfuse's")]
#[case::no_daemon_generated(&format!("{HEAD}root_dir = true\nno_daemon = true\n[fsstress]\nops = 1\nprocs = [1]\n"), "dir/s.toml:4:13: no_daemon is the arm devfuse's")]
#[case::unprivileged_backed(&format!("{HEAD}unprivileged = true\narms = [\"backed\", \"devfuse\"]\n{CASE}"), "dir/s.toml:3:16: unprivileged is the arm devfuse's")]
#[case::every_at_once(&format!("{HEAD}{CASE}workers = \"free\"\nevery = 5\n"), "dir/s.toml:8:9: `every` needs workers in turn")]
#[case::every_of_a_load(&format!("{HEAD}[fsstress]\nops = 1\nprocs = [4]\nevery = 5\n"), "dir/s.toml:6:9: `every` needs workers in turn")]
#[case::too_long(&format!("{HEAD}{CASE}phases = [\"warm\", \"expired\"]\n[server]\nentry_timeout = \"1h\"\n"), "dir/s.toml:7:10: the phase `expired` waits until every timeout has passed, and one is 1h: at most 10s")]
#[case::too_long_in_the_matrix(&format!("{HEAD}phases = [\"expired\"]\n{CASE}[matrix]\nentry_timeout = [0, \"11s\"]\n"), "dir/s.toml:3:10: the phase `expired`")]
#[case::too_long_of_a_rule(&format!("{HEAD}phases = [\"expired\"]\n{CASE}[[case.lookup]]\npath = \"stack\"\nattr_timeout_ms = 20000\n"), "dir/s.toml:3:10: the phase `expired`")]
#[case::too_long_for_a_load(&format!("{HEAD}phases = [\"expired\"]\n[server]\nattr_timeout = \"1m\"\n[fsstress]\nops = 1\nprocs = [1]\n"), "dir/s.toml:3:10: the phase `expired`")]
fn in_the_toml(#[case] text: &str, #[case] says: &str) {
    let error = error(text);
    assert!(error.contains(says), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

/// HEAD and the case's first lines take six lines; the trace starts on the seventh.
#[rstest]
#[case::own_line(
    "trace = \"\"\"\nsync\nfly d\n\"\"\"",
    "dir/s.toml:8:1: expected an operation"
)]
#[case::argument(
    "trace = \"\"\"\nsync\n\nchmod f rwx\n\"\"\"",
    "dir/s.toml:9:9: expected an octal mode"
)]
#[case::beside_the_quotes(
    "trace = \"\"\"sync now\n\"\"\"",
    "dir/s.toml:6:17: expected the end of the line"
)]
#[case::one_line("trace = \"stat\"", "dir/s.toml:6:14: expected a path")]
#[case::literal("trace = '''\nstat\n'''", "dir/s.toml:7:5: expected a path")]
#[case::setup(
    "setup = \"\"\"\nunlink\n\"\"\"\ntrace = \"sync\"",
    "dir/s.toml:7:7: expected a path"
)]
#[case::empty(
    "trace = \"# nothing\"",
    "dir/s.toml:6:9: a case has at least one operation"
)]
#[case::root_of_no_share(
    "trace = \"\"\"\nsync\np1: stat @root/a -> EIO\n\"\"\"",
    "dir/s.toml:8:1: expected a path that is on every arm of the case (there is no @root/ on plain), \
     found `p1: stat @root/a -> EIO`"
)]
#[case::register_nowhere(
    "arms = [\"backed\", \"devfuse\"]\ntrace = \"repeat 2 register 7 d\"",
    "dir/s.toml:7:10: expected an operation that every arm of the case has (devfuse has not this one)"
)]
#[case::abort_nothing(
    "trace = \"abort\"",
    "dir/s.toml:6:10: expected an operation that every arm of the case has (backed has not this one)"
)]
#[case::setup_worker(
    "setup = \"p1: sync\"\ntrace = \"sync\"",
    "dir/s.toml:6:9: a setup has one worker"
)]
fn in_a_trace(#[case] rest: &str, #[case] says: &str) {
    let error = error(&format!(
        "{HEAD}[[case]]\nname = \"c\"\nabout = \"x\"\n{rest}\n"
    ));
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn the_root_of_a_share_is_for_arms_with_rules() {
    let text = format!(
        "{HEAD}[[case]]\nname = \"c\"\nabout = \"x\"\narms = [\"backed\"]\ntrace = \"stat @root/a\"\n"
    );
    Scenario::parse(Path::new("dir/s.toml"), &text).unwrap();
}

fn library() -> Library {
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let text = format!("{HEAD}{CASE}").replace("\"s\"", &format!("\"{name}\""));
        fs::write(directory.path().join(format!("{name}.toml")), text).unwrap();
    }
    fs::write(directory.path().join("README"), "not a scenario").unwrap();
    Library::load(directory.path()).unwrap()
}

#[rstest]
#[case("three", "there is no scenario or case `three`; known: one, two")]
#[case("one.d", "there is no scenario or case `one.d`; known: one.c")]
#[case("", "there is no scenario or case ``; known: one, two")]
fn unknown_names(#[case] name: &str, #[case] says: &str) {
    let error = library().plans(&[name], &Overrides::default()).unwrap_err();
    assert_eq!(error.to_string(), says);
}

#[rstest]
#[case(&[], &["one.c", "two.c"])]
#[case(&["two", "one"], &["two.c", "one.c"])]
#[case(&["one", "one.c"], &["one.c"])]
fn known_names(#[case] names: &[&str], #[case] ids: &[&str]) {
    let plans = library().plans(names, &Overrides::default()).unwrap();
    assert_eq!(
        plans
            .iter()
            .map(|plan| plan.case.id.as_str())
            .collect::<Vec<_>>(),
        ids
    );
}

#[rstest]
#[case(&[Arm::Ext4, Arm::Plain], &[Arm::Plain, Arm::Ext4])]
#[case::nothing_to_compare(&[Arm::Ext4], &[])]
#[case::none(&[Arm::Devfuse], &[])]
fn arms_of_the_command_line_narrow_a_case(#[case] asked: &[Arm], #[case] left: &[Arm]) {
    let overrides = Overrides {
        arms: Some(asked.to_vec()),
        ..Overrides::default()
    };
    let plans = library().plans(&["one"], &overrides).unwrap();
    assert_eq!(plans[0].case.arms, left);
}

#[test]
fn a_directory_without_scenarios_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(
        Library::load(directory.path()),
        Err(ScenarioError::Empty { .. })
    ));
    let missing = Library::load(&directory.path().join("nothing"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("nothing: No such file"), "{missing}");
}

#[test]
fn the_seed_decides_a_load() {
    let text = format!("{HEAD}[fsstress]\nops = 50\nprocs = [2]\nseed = 7\n");
    let scenario = Scenario::parse(Path::new("s.toml"), &text).unwrap();
    let trace = |seed| {
        let plans = scenario.expand(&Overrides {
            seed,
            ..Overrides::default()
        });
        (plans[0].seed, plans[0].case.trace.clone())
    };
    assert_eq!(trace(None), trace(Some(7)));
    assert_ne!(trace(None).1, trace(Some(8)).1);
    assert_eq!(trace(Some(8)).0, Some(8));
}
