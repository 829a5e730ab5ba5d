//! What a run whose guest answers ends with, and what it leaves. The answers
//! are written down beforehand; a shell script hands them out.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path};

use common::{Ended, Sandbox, entries};
use lookback_scenario::{Library, Overrides};
use lookback_wire::{
    control::{Arm, FromGuest, PROTOCOL, ToGuest},
    frame,
};
use rstest::rstest;

fn ready(protocol: u32, extension_error: Option<&str>) -> FromGuest {
    FromGuest::Ready {
        protocol,
        release: "6.12.0-test".into(),
        uptime_ms: 900,
        extension: extension_error.is_none(),
        extension_error: extension_error.map(str::to_owned),
    }
}

/// A guest that says all of `answers` at once, as a boot with an agent would,
/// and then does as the script says.
fn run(sandbox: &Sandbox, answers: &[FromGuest], script: &str) -> std::process::Command {
    let frames: Vec<u8> = answers
        .iter()
        .flat_map(|answer| frame::encode(answer).unwrap())
        .collect();
    sandbox.write("answers", frames);
    sandbox.run(&format!("running; cat $dir/answers >&$control; {script}"))
}

/// A script's line that waits for these messages.
fn takes(messages: &[ToGuest]) -> String {
    let length: usize = messages
        .iter()
        .map(|message| frame::encode(message).unwrap().len())
        .sum();
    format!("head -c {length} <&$control >/dev/null")
}

/// A script's line for a kernel that panics in its first case.
const PANICS: &str = "read -rn 9 _ <&$control; \
                      echo '[    1.500000] Kernel panic - not syncing: stack is corrupt' >&$console";

const HELLO: ToGuest = ToGuest::Hello { protocol: PROTOCOL };

/// What the host sends for the case that all these runs begin with.
fn run_case() -> ToGuest {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let library = Library::load(&scenarios).unwrap();
    let mut plans = library
        .plans(&["lookup.file"], &Overrides::default())
        .unwrap();
    let mut case = plans.remove(0).case;
    if !nix::unistd::geteuid().is_root() {
        case.arms.retain(|arm| *arm != Arm::Plain);
    }
    ToGuest::RunCase(Box::new(case))
}

fn result(sandbox: &Sandbox) -> serde_json::Value {
    let text = fs::read(sandbox.path("output/latest/result.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn assert_reported(sandbox: &Sandbox, ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code(), code, "{ended:?}");
    for word in words {
        assert!(ended.stdout.contains(word), "no `{word}` in {ended:?}");
    }
    let result = result(sandbox);
    assert_eq!(result["exit_code"], code);
    assert_eq!(result["engine"], "qemu+tcg");
    assert_eq!(result["kernel"]["release"], "6.12.0-test");
    let junit = fs::read_to_string(sandbox.path("output/latest/junit.xml")).unwrap();
    assert!(junit.contains("lookup.file"), "{junit}");
    let run = fs::canonicalize(sandbox.path("output/latest")).unwrap();
    for file in [
        "console.log",
        "traces/lookup.file.trace",
        "rules/lookup.file.toml",
    ] {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
    // A difference has its trace.
    assert_eq!(run.join("lower.img").is_file(), matches!(code, 3 | 4));
    assert!(entries(&sandbox.path("sockets")).is_empty());

    let mut report = sandbox.lookback();
    report.arg("report");
    let again = sandbox.end(report);
    assert_eq!(again.code(), code);
    assert!(ended.stdout.contains(&again.stdout), "{again:?}");
}

#[test]
fn a_kernel_without_the_extension_is_refused() {
    let sandbox = Sandbox::new();
    let answers = [
        ready(PROTOCOL, Some("EOPNOTSUPP from the ioctl")),
        FromGuest::Bye,
    ];
    let script = takes(&[HELLO, ToGuest::PowerOff]);
    let ended = sandbox.end(run(&sandbox, &answers, &script));
    let kernel = sandbox.path("kernel").display().to_string();
    ended.assert_one_line(5, &[&kernel, "6.12.0-test", "EOPNOTSUPP from the ioctl"]);
    sandbox.assert_nothing_left();
}

#[test]
fn an_agent_of_another_build_is_refused() {
    let sandbox = Sandbox::new();
    let answers = [ready(PROTOCOL + 1, None)];
    let ended = sandbox.end(run(&sandbox, &answers, "exec sleep 1000"));
    let says = format!("protocol {}, this program {PROTOCOL}", PROTOCOL + 1);
    ended.assert_one_line(5, &[&says]);
    sandbox.assert_nothing_left();
}

#[rstest]
#[case::before_it_takes_the_case("")]
#[case::in_the_case("read -rn 9 _ <&$control;")]
fn a_panic_in_a_case_is_a_crash(#[case] then: &str) {
    let sandbox = Sandbox::new();
    let script = format!(
        "{then} echo '[    1.500000] Kernel panic - not syncing: stack is corrupt' >&$console"
    );
    let ended = sandbox.end(run(&sandbox, &[ready(PROTOCOL, None)], &script));
    let words = ["Kernel panic - not syncing: stack is corrupt", "lookup"];
    assert_reported(&sandbox, &ended, 3, &words);
    // A file system that was not unmounted is not checked, and nobody says it was.
    assert!(
        ended.stdout.contains("e2fsck lower: not run: "),
        "{ended:?}"
    );
}

#[test]
fn a_case_that_does_not_end_is_a_hang() {
    let sandbox = Sandbox::new();
    let mut command = run(&sandbox, &[ready(PROTOCOL, None)], "exec sleep 1000");
    command.args(["lookup.missing", "--timeout", "1"]);
    let ended = sandbox.end(command);
    let words = [
        "was not over after 1 s",
        "hang in lookup.file (guest 1)",
        "  and 1 more like it",
    ];
    assert_reported(&sandbox, &ended, 4, &words);
}

/// A case that answers nothing but that it is done has compared nothing, and is
/// no pass.
#[test]
fn an_agent_that_runs_nothing_does_not_pass() {
    let sandbox = Sandbox::new();
    let answers = [
        ready(PROTOCOL, None),
        FromGuest::CaseDone {
            id: "lookup.file".into(),
            micros: vec![],
        },
        FromGuest::Bye,
    ];
    let script = takes(&[HELLO, run_case(), ToGuest::PowerOff]);
    let ended = sandbox.end(run(&sandbox, &answers, &script));
    assert_reported(&sandbox, &ended, 1, &["failed", "e2fsck lower: clean"]);
}

#[test]
fn a_result_that_cannot_be_copied_is_still_shown_and_kept() {
    let sandbox = Sandbox::new();
    let mut command = run(&sandbox, &[ready(PROTOCOL, None)], "");
    let blocked = Path::new("/dev/null/result.json");
    command.arg("--json").arg(blocked);
    let ended = sandbox.end(command);
    ended.assert_one_line(5, &["can't write /dev/null/result.json: "]);
    assert!(ended.stdout.contains("lookup"), "{ended:?}");
    assert_eq!(result(&sandbox)["exit_code"], 3);
}

/// A guest that ends in its first case is followed by another, and what it left
/// stays.
#[test]
fn a_run_goes_on_in_another_guest() {
    let sandbox = Sandbox::new();
    let mut command = run(&sandbox, &[ready(PROTOCOL, None)], PANICS);
    command.arg("lookup.missing");
    let ended = sandbox.end(command);
    let words = [
        "crash in lookup.file (guest 1)",
        "e2fsck lower: not run: the guest did not unmount it (guests 1, 2)",
        ", 2 guests\n",
    ];
    assert_reported(&sandbox, &ended, 3, &words);
    let result = result(&sandbox);
    assert_eq!(result["guests"], 2);
    for (index, guest) in [(0, 1), (1, 2)] {
        assert_eq!(result["cases"][index]["status"], "crashed");
        assert_eq!(result["cases"][index]["guest"], guest);
    }
    let run = fs::canonicalize(sandbox.path("output/latest")).unwrap();
    for file in ["console.log", "qemu.stderr", "lower.img", "ext4.img"] {
        assert!(run.join("guest-2").join(file).is_file(), "{file}");
    }
}

#[test]
fn with_fail_fast_it_does_not() {
    let sandbox = Sandbox::new();
    let mut command = run(&sandbox, &[ready(PROTOCOL, None)], "");
    command.args(["lookup.missing", "--fail-fast"]);
    let ended = sandbox.end(command);
    let words = ["not run: lookup.missing: the guest ended in lookup.file"];
    assert_reported(&sandbox, &ended, 3, &words);
    assert_eq!(
        result(&sandbox)["cases"][0]["guest"],
        serde_json::Value::Null
    );
    let run = fs::canonicalize(sandbox.path("output/latest")).unwrap();
    assert!(!run.join("guest-2").exists());
}

#[test]
fn a_second_guest_that_does_not_come_up_ends_the_run_with_its_result() {
    let sandbox = Sandbox::new();
    // A guest that is there for the first time leaves a mark.
    let script = "running; [ -e $dir/once ] && exit; \
                  touch $dir/once; cat $dir/answers >&$control";
    let frames = frame::encode(&ready(PROTOCOL, None)).unwrap();
    sandbox.write("answers", frames);
    let mut command = sandbox.run(script);
    command.args(["lookup.missing", "lookup.nested"]);
    let ended = sandbox.end(command);
    let words = [
        "not run: lookup.",
        "guest 2 did not come up: the guest ended before its agent answered",
    ];
    assert_reported(&sandbox, &ended, 3, &words);
    let run = fs::canonicalize(sandbox.path("output/latest")).unwrap();
    let kept: Vec<_> = entries(&run.join("guest-2"));
    let names: Vec<_> = kept.iter().filter_map(|path| path.file_name()).collect();
    assert_eq!(names, ["console.log", "qemu.stderr"]);
}

#[test]
fn an_interrupt_of_the_second_guest_clears_up_as_well() {
    let sandbox = Sandbox::new();
    let mut up = sandbox.milestone("up");
    let script = "running; cat $dir/answers >&$control; \
                  [ -e $dir/once ] && { echo $$ >$dir/up; exec sleep 1000; }; touch $dir/once";
    let frames = frame::encode(&ready(PROTOCOL, None)).unwrap();
    sandbox.write("answers", frames);
    let mut command = sandbox.run(script);
    command.arg("lookup.missing");
    let running = sandbox.start(command);
    up.reached();
    assert_eq!(entries(&sandbox.path("sockets")).len(), 1);
    running.signal(nix::sys::signal::Signal::SIGINT);
    // Waits for the guest too.
    assert_eq!(running.end().code(), 130);
    assert!(entries(&sandbox.path("sockets")).is_empty());
    assert!(!sandbox.path("output/latest").is_symlink());
}

/// A crash that the other kernel shows too is no reason not to run the rest, nor
/// to end with anything but 0.
#[test]
fn a_known_crash_in_each_guest_holds() {
    let sandbox = Sandbox::new();
    let mut command = run(&sandbox, &[ready(PROTOCOL, None)], PANICS);
    command.args(["lookup.missing", "--against"]);
    command.arg(sandbox.path("kernel"));
    let ended = sandbox.end(command);
    let words = [
        "2 findings are known from it, 0 signatures are gone",
        "all hold",
    ];
    assert_reported(&sandbox, &ended, 0, &words);
    let run = fs::canonicalize(sandbox.path("output/latest")).unwrap();
    assert!(!run.join("guest-2/lower.img").exists());
    assert!(run.join("guest-2/console.log").exists());
}
