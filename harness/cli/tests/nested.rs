//! What `lookback nested` ends with, and what it passes on. The guest's answers
//! are written down beforehand; a shell script hands them out.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ended, Sandbox, entries};
use lookback_wire::{
    control::{FromGuest, PROTOCOL},
    exec::{ExecStatus, Stream},
    frame,
};
use nix::sys::signal::Signal;
use rstest::rstest;

const LOG: &str = "<6>[    0.1] Linux\n<6>[    0.9] kvm_amd: Nested Paging enabled\n";

/// Reads one message of the host's, whatever it says.
const TAKE: &str =
    "take() { head -c $(head -c 4 <&$control | od -An -tu4) <&$control >/dev/null; }";

/// `lookback nested -- true` in a guest that gives the answers, one for each
/// message, and then does as the script says.
fn nested(sandbox: &Sandbox, answers: &[FromGuest], script: &str) -> std::process::Command {
    let ready = FromGuest::Ready {
        protocol: PROTOCOL,
        release: "6.12.0-test".into(),
        uptime_ms: 900,
        extension: false,
        extension_error: None,
    };
    let frames: Vec<u8> = [&ready]
        .into_iter()
        .chain(answers)
        .flat_map(|answer| frame::encode(answer).unwrap())
        .collect();
    sandbox.write("answers", frames);
    let script = format!("{TAKE}; running; cat $dir/answers >&$control; {script}");
    let mut command = sandbox.lookback();
    command
        .args(["nested", "--qemu", common::FAKE_QEMU, "--kernel"])
        .arg(sandbox.kernel(&script))
        .arg("--agent")
        .arg(sandbox.agent())
        .args(["--", "true"]);
    command
}

fn log() -> FromGuest {
    FromGuest::Log(Ok(LOG.into()))
}

/// A guest that lives to its proper end: greeting, log, command, power-off.
fn ended(sandbox: &Sandbox, answers: &[FromGuest]) -> Ended {
    let mut all = vec![log()];
    all.extend_from_slice(answers);
    all.push(FromGuest::Bye);
    sandbox.end(nested(sandbox, &all, "take; take; take; take"))
}

#[rstest]
#[case(ExecStatus::Code(0), 0, &[])]
#[case(ExecStatus::Code(7), 7, &[])]
#[case(ExecStatus::Signal(11), 139, &[])]
#[case(ExecStatus::NotFound("true: not there".into()), 127, &["true: not there"])]
#[case(ExecStatus::NotExecutable("true: no".into()), 126, &["true: no"])]
#[case(ExecStatus::Unable("no mount".into()), 251, &["no mount"])]
fn the_command_s_status_is_passed_on(
    #[case] status: ExecStatus,
    #[case] code: i32,
    #[case] words: &[&str],
) {
    let sandbox = Sandbox::new();
    let ended = ended(&sandbox, &[FromGuest::Exited(status)]);
    assert_eq!(ended.code(), code, "{ended:?}");
    let line = "outer guest: Linux 6.12.0-test; kvm_amd: Nested Paging enabled\n";
    let said = ended.stderr.strip_prefix(line).unwrap();
    assert_eq!(said.lines().count(), words.len(), "{ended:?}");
    assert!(words.iter().all(|word| said.contains(word)), "{ended:?}");
    assert_eq!(ended.stdout, "");
    let [run] = &sandbox.runs()[..] else {
        panic!("{:?}", sandbox.runs())
    };
    let kept = entries(run);
    let names: Vec<_> = kept.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["console.log", "qemu.stderr"]);
    assert!(entries(&sandbox.path("sockets")).is_empty());
}

#[test]
fn both_streams_come_whole_and_in_order() {
    let sandbox = Sandbox::new();
    let print = |stream, text: &str| FromGuest::Output {
        stream,
        bytes: text.into(),
    };
    let ended = ended(
        &sandbox,
        &[
            print(Stream::Out, "one\ntw"),
            print(Stream::Err, "error\n"),
            print(Stream::Out, "o\n"),
            FromGuest::Exited(ExecStatus::Code(0)),
        ],
    );
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!(ended.stdout, "one\ntwo\n");
    assert!(ended.stderr.ends_with("\nerror\n"), "{ended:?}");
}

#[rstest]
#[case::no_kvm(&[FromGuest::Log(Ok("[ 0.1] kvm_amd: SVM not supported by CPU 0\n".into()))], "exec sleep 1000",
    251, &["without KVM", "SVM not supported by CPU 0"])]
#[case::says_nothing(&[FromGuest::Log(Ok("[ 0.1] Linux\n".into()))], "exec sleep 1000",
    251, &["without KVM", "says nothing of kvm"])]
#[case::ends(&[log()], "take; take; take", 253, &["did not come to its end: the guest ended"])]
#[case::panics(&[log()], "take; take; take; echo '[    1.500000] Kernel panic - not syncing: no' >&$console",
    253, &["Kernel panic - not syncing: no", "console.log"])]
#[case::hangs(&[log()], "exec sleep 1000", 252, &["had not ended after 1 s"])]
#[case::no_start(&[], "echo '[    0.500000] Kernel panic - not syncing: no root' >&$console; exit",
    253, &["no root"])]
#[case::does_not_unmount(
    &[
        log(),
        FromGuest::Trouble { arm: None, what: "umount /tmp: EBUSY".into(), leak: true },
        FromGuest::Exited(ExecStatus::Code(0)),
        FromGuest::Bye,
    ],
    "take; take; take; take", 251, &["umount /tmp: EBUSY"])]
fn what_goes_wrong_has_a_status_of_its_own(
    #[case] answers: &[FromGuest],
    #[case] script: &str,
    #[case] code: i32,
    #[case] words: &[&str],
) {
    let sandbox = Sandbox::new();
    let mut command = nested(&sandbox, answers, script);
    // Before the `--`.
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = sandbox.lookback();
    command
        .arg("nested")
        .args(["--timeout", "1"])
        .args(&arguments[1..]);
    let ended = sandbox.end(command);
    assert_eq!(ended.code(), code, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no `{word}` in {ended:?}");
    }
}

#[rstest]
#[case::kernel(&["--kernel", "./nope", "--", "true"], 251, "./nope")]
#[case::out(&["--out", "/dev/null/x", "--", "true"], 251, "/dev/null/x")]
#[case::nothing(&[], 2, "<CMD>")]
#[case::no_time(&["--timeout", "0", "--", "true"], 2, "--timeout")]
fn bad_arguments_are_told(#[case] arguments: &[&str], #[case] code: i32, #[case] word: &str) {
    let sandbox = Sandbox::new();
    let mut command = sandbox.lookback();
    command
        .arg("nested")
        .arg("--agent")
        .arg(sandbox.agent())
        .args(arguments);
    sandbox.end(command).assert_one_line(code, &[word]);
    sandbox.assert_nothing_left();
}

#[test]
fn an_interrupt_leaves_no_process_and_no_socket() {
    let sandbox = Sandbox::new();
    let mut up = sandbox.milestone("up");
    let script = "take; take; take; echo $$ > $dir/up; exec sleep 1000";
    let running = sandbox.start(nested(&sandbox, &[log()], script));
    up.reached();
    running.signal(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.code(), 130, "{ended:?}");
    assert!(entries(&sandbox.path("sockets")).is_empty());
}
