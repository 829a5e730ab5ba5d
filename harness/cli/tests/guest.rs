//! What a run leaves when its guest does not come up, or when somebody ends the
//! run. A shell script stands in for QEMU.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Ended, Sandbox, entries};
use nix::sys::signal::Signal;
use rstest::rstest;

/// Says that the machine runs, and then nothing more.
const SILENT: &str = "running; echo $$ > $dir/up; exec sleep 1000";

/// The names in the directory of the only run.
fn kept(sandbox: &Sandbox) -> Vec<String> {
    let [run] = &sandbox.runs()[..] else {
        panic!("{:?}", sandbox.runs())
    };
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries(run).iter().map(name).collect()
}

fn assert_only_the_logs_are_kept(sandbox: &Sandbox) {
    assert_eq!(kept(sandbox), ["console.log", "qemu.stderr"]);
    assert!(!sandbox.path("output/latest").is_symlink());
    assert!(entries(&sandbox.path("sockets")).is_empty());
}

fn assert_says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code(), code, "{ended:?}");
    assert!(ended.stderr.starts_with("lookback: "), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no `{word}` in {ended:?}");
    }
}

#[rstest]
#[case::silent("exec sleep 1000", 4, &["no answer from the agent within 1 s", "its console stayed empty"])]
#[case::stuck("echo '[    0.500000] stuck here' >&$console; exec sleep 1000", 4, &["within 1 s", "console.log:\n[    0.500000] stuck here"])]
#[case::ends("echo '[    0.500000] bye' >&$console", 4, &["ended before its agent answered", "[    0.500000] bye"])]
#[case::babbles("echo nonsense >&$control; exec sleep 1000", 4, &["the control stream broke: "])]
#[case::panics(
    "echo '[    0.700000] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)' >&$console",
    3,
    &["ended before its agent answered; its kernel: ", "Unable to mount root fs"]
)]
#[case::warns_and_hangs(
    "echo '[    0.700000] BUG: kernel NULL pointer dereference, address: 0000000000000008' >&$console; exec sleep 1000",
    3,
    &["within 1 s", "NULL pointer"]
)]
fn a_guest_without_an_agent_leaves_its_console(
    #[case] script: &str,
    #[case] code: i32,
    #[case] words: &[&str],
) {
    let sandbox = Sandbox::new();
    let mut command = sandbox.run(&format!("running; echo 'a word of QEMU' >&2; {script}"));
    command.args(["--boot-timeout", "1"]);
    let ended = sandbox.end(command);
    assert_says(&ended, code, words);
    assert!(
        ended.stderr.contains("the engine said:\na word of QEMU"),
        "{ended:?}"
    );
    assert_only_the_logs_are_kept(&sandbox);
}

#[rstest]
#[case::at_once(
    "echo 'qemu: no such machine' >&2; exit 1",
    "exit status: 1: qemu: no such machine"
)]
#[case::later(
    "running; echo 'qemu: out of memory' >&2; exit 3",
    "exit status: 3: qemu: out of memory"
)]
#[case::killed("running; kill -9 $$", "signal: 9 (SIGKILL): it said nothing")]
fn a_qemu_that_fails_is_quoted_and_leaves_nothing(#[case] script: &str, #[case] words: &str) {
    let sandbox = Sandbox::new();
    let ended = sandbox.end(sandbox.run(script));
    ended.assert_one_line(5, &["QEMU ended with", words]);
    sandbox.assert_nothing_left();
}

#[rstest]
#[case(Signal::SIGINT, 130)]
#[case(Signal::SIGTERM, 143)]
#[case(Signal::SIGHUP, 129)]
fn an_interrupted_run_leaves_no_process_and_no_socket(#[case] signal: Signal, #[case] code: i32) {
    let sandbox = Sandbox::new();
    let mut up = sandbox.milestone("up");
    let running = sandbox.start(sandbox.run(SILENT));
    up.reached();
    assert_eq!(entries(&sandbox.path("sockets")).len(), 1);
    running.signal(signal);
    let ended = running.end();
    assert_eq!(ended.code(), code, "{ended:?}");
    assert_eq!(ended.stderr, format!("lookback: {signal}: ending\n"));
    assert!(entries(&sandbox.path("sockets")).is_empty());
    assert!(!kept(&sandbox).contains(&"result.json".to_owned()));
    assert!(!sandbox.path("output/latest").is_symlink());
}

#[test]
fn a_killed_run_takes_its_guest_along_and_the_next_one_clears_up() {
    let sandbox = Sandbox::new();
    let mut up = sandbox.milestone("up");
    let running = sandbox.start(sandbox.run(SILENT));
    let qemu = up.reached();
    assert!(fs::exists(format!("/proc/{qemu}")).unwrap());
    running.signal(Signal::SIGKILL);
    // Waits for the guest too.
    assert_eq!(running.end().code(), 137);
    let left = entries(&sandbox.path("sockets"));
    assert_eq!(left.len(), 1, "{left:?}");

    let another = sandbox.end(sandbox.run("exit 1"));
    assert_eq!(another.code(), 5, "{another:?}");
    assert!(entries(&sandbox.path("sockets")).is_empty());
}

#[test]
fn a_run_leaves_the_sockets_of_another_alone() {
    let sandbox = Sandbox::new();
    let mut up = sandbox.milestone("up");
    let running = sandbox.start(sandbox.run(SILENT));
    up.reached();
    let sockets = entries(&sandbox.path("sockets"));
    let elsewhere = Sandbox::new();
    let mut second = elsewhere.run("exit 1");
    second.env("XDG_RUNTIME_DIR", sandbox.path("sockets"));
    assert_eq!(elsewhere.end(second).code(), 5);
    assert_eq!(entries(&sandbox.path("sockets")), sockets);
    running.signal(Signal::SIGINT);
    assert_eq!(running.end().code(), 130);
}
