//! What `lookback exec` ends with, what it passes on, and what it leaves. The
//! guest's answers are written down beforehand; a shell script hands them out.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Ended, Sandbox, entries};
use lookback_wire::{
    control::{FromGuest, PROTOCOL},
    exec::{ExecStatus, Stream},
    frame,
};
use nix::sys::signal::Signal;
use rstest::rstest;

/// Reads one message of the host's into the file `taken`.
const TAKE: &str = "take() { \
    n=$(head -c 4 <&$control | od -An -tu4); head -c $n <&$control >$dir/taken; }; \
    hand() { echo '[ 1.0] lookback-agent: ready' >&$console; cat $dir/$1 >&$control; }";
/// A guest that lives to its proper end: greeting, command, power-off. Whatever
/// is sent meanwhile is left unread.
const ENDS: &str = "hand ready; take; hand said; take; hand bye; take";

fn frames(messages: &[FromGuest]) -> Vec<u8> {
    let frames = messages
        .iter()
        .map(|message| frame::encode(message).unwrap());
    frames.collect::<Vec<_>>().concat()
}

/// `lookback exec -- true` on the arm ext4, in a guest that says these things
/// as its script has it.
fn exec(sandbox: &Sandbox, said: &[FromGuest], script: &str) -> std::process::Command {
    let ready = FromGuest::Ready {
        protocol: PROTOCOL,
        release: "6.12.0-test".into(),
        uptime_ms: 900,
        extension: false,
        extension_error: None,
    };
    sandbox.write("ready", frames(&[ready]));
    sandbox.write("said", frames(said));
    sandbox.write("bye", frames(&[FromGuest::Bye]));
    let mut command = sandbox.lookback();
    command
        .args([
            "exec",
            "--arm",
            "ext4",
            "--timeout",
            "1",
            "--engine",
            "qemu",
        ])
        .args(["--qemu", common::FAKE_QEMU, "--kernel"])
        .arg(sandbox.kernel(&format!("{TAKE}; running; {script}")))
        .arg("--agent")
        .arg(sandbox.agent())
        .args(["--", "true"]);
    command
}

fn leak() -> FromGuest {
    FromGuest::Trouble {
        arm: None,
        what: "umount /mnt/ext4: EBUSY".into(),
        leak: true,
    }
}

fn ended(sandbox: &Sandbox, said: &[FromGuest], script: &str) -> Ended {
    sandbox.end(exec(sandbox, said, script))
}

fn kept(sandbox: &Sandbox) -> Vec<String> {
    let [run] = &sandbox.runs()[..] else {
        panic!("{:?}", sandbox.runs())
    };
    let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries(run).iter().map(name).collect()
}

#[rstest]
#[case(ExecStatus::Code(0), 0, "")]
#[case(ExecStatus::Code(7), 7, "")]
#[case(ExecStatus::Signal(11), 139, "")]
#[case(ExecStatus::NotFound("true: not there".into()), 127, "lookback: true: not there\n")]
#[case(ExecStatus::NotExecutable("true: no".into()), 126, "lookback: true: no\n")]
fn the_command_s_status_is_passed_on(
    #[case] status: ExecStatus,
    #[case] code: i32,
    #[case] said: &str,
) {
    let sandbox = Sandbox::new();
    let ended = ended(&sandbox, &[FromGuest::Exited(status)], ENDS);
    assert_eq!(ended.code(), code, "{ended:?}");
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", said));
    let names = [
        "console.log",
        "junit.xml",
        "log",
        "qemu.stderr",
        "result.json",
    ];
    assert_eq!(kept(&sandbox), names);
    assert!(entries(&sandbox.path("sockets")).is_empty());
    let latest = sandbox.path("output/latest");
    let result = fs::read_to_string(latest.join("result.json")).unwrap();
    assert!(
        result.contains(&format!("\"exit_code\": {code}")),
        "{result}"
    );
    let log = fs::read_to_string(latest.join("log/exec.ext4.log")).unwrap();
    assert!(log.contains(" mark   the program's end: "), "{log}");
}

#[test]
fn both_streams_come_whole_and_in_order() {
    let sandbox = Sandbox::new();
    let print = |stream, text: &str| FromGuest::Output {
        stream,
        bytes: text.into(),
    };
    let said = [
        print(Stream::Out, "one\ntw"),
        print(Stream::Err, "error\n"),
        print(Stream::Out, "o\n"),
        FromGuest::Exited(ExecStatus::Code(0)),
    ];
    let ended = ended(&sandbox, &said, ENDS);
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert_eq!(ended.stdout, "one\ntwo\n");
    assert_eq!(ended.stderr, "error\n");
}

#[test]
fn output_that_finds_no_room_is_a_failure_and_ends_the_command() {
    let sandbox = Sandbox::new();
    let output = FromGuest::Output {
        stream: Stream::Out,
        bytes: b"x\n".to_vec(),
    };
    let mut told = sandbox.milestone("told");
    // The command, then its input's end and the signal, in any order.
    let script = "hand ready; take; hand said; take; take; one=$(od -An -tu1 $dir/taken); \
        take; other=$(od -An -tu1 $dir/taken); echo \"$one,$other\" > $dir/told; \
        hand gone; hand bye; take";
    let mut command = exec(&sandbox, &[output], script);
    sandbox.write("gone", frames(&[FromGuest::Exited(ExecStatus::Signal(13))]));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = command
        .stdin(std::process::Stdio::null())
        .stdout(full)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let message = told.reached();
    let signal = format!(" {}", 2 * libc::SIGPIPE);
    let mut messages = message.trim_end().split(',');
    assert!(messages.any(|it| it.ends_with(&signal)), "{message}");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(251), "{ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("No space left on device"), "{said}");
}

#[rstest]
#[case::unable(&[FromGuest::Exited(ExecStatus::Unable("no mount".into()))], ENDS, 251, &["no mount"])]
#[case::leaks(&[leak(), FromGuest::Exited(ExecStatus::Code(0))], ENDS, 253,
    &["leak in exec.ext4", "EBUSY", "log/exec.ext4.log"])]
#[case::agent_fails(&[FromGuest::Broken("oh".into()), FromGuest::Exited(ExecStatus::Code(0))], ENDS,
    253, &["the agent failed: oh"])]
#[case::ends(&[], "hand ready; take; take", 253, &["the guest ended"])]
#[case::panics(&[], "hand ready; take; take; echo '[    1.500000] Kernel panic - not syncing: no' >&$console",
    253, &["Kernel panic - not syncing: no"])]
#[case::warns(&[FromGuest::Exited(ExecStatus::Code(7))],
    "hand ready; take; take; echo '[    1.500000] BUG: Dentry x still in use (1) [unmount of fuse fuse]' >&$console; \
     hand said; hand bye; take",
    253, &["still in use"])]
#[case::hangs(&[FromGuest::Shown],
    // The greeting, the command, its input's end, and the wish to see what hangs.
    "hand ready; take; take; take; take; hand said; exec sleep 1000", 252, &["not over after 1 s"])]
fn what_goes_wrong_has_a_status_of_its_own(
    #[case] said: &[FromGuest],
    #[case] script: &str,
    #[case] code: i32,
    #[case] words: &[&str],
) {
    let sandbox = Sandbox::new();
    let ended = ended(&sandbox, said, script);
    assert_eq!(ended.code(), code, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "no `{word}` in {ended:?}");
    }
    assert!(kept(&sandbox).contains(&"result.json".to_owned()));
}

#[rstest]
#[case::kernel(&["--kernel", "./nope", "--", "true"], 251, "./nope")]
#[case::rules(&["--rules", "./nope", "--", "true"], 251, "./nope")]
#[case::arm(&["--arm", "nope", "--", "true"], 2, "nope")]
#[case::nothing(&[], 2, "<CMD>")]
#[case::no_time(&["--timeout", "0", "--", "true"], 2, "--timeout")]
fn bad_arguments_are_told(#[case] arguments: &[&str], #[case] code: i32, #[case] word: &str) {
    let sandbox = Sandbox::new();
    let mut command = sandbox.lookback();
    command
        .arg("exec")
        .arg("--agent")
        .arg(sandbox.agent())
        .args(arguments);
    sandbox.end(command).assert_one_line(code, &[word]);
    sandbox.assert_nothing_left();
}

#[test]
fn the_first_signal_is_the_command_s_and_the_second_ends_the_guest() {
    let sandbox = Sandbox::new();
    let mut up = sandbox.milestone("up");
    let mut told = sandbox.milestone("told");
    // The command, its input's end, then the signal.
    let script = "hand ready; take; take; take; echo $$ > $dir/up; \
        take; od -An -tu1 $dir/taken > $dir/told; exec sleep 1000";
    let mut command = exec(&sandbox, &[], script);
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = sandbox.lookback();
    command.args(["exec", "--timeout", "100"]).args(
        arguments
            .iter()
            .skip(1)
            .filter(|text| *text != "--timeout" && *text != "1"),
    );
    let running = sandbox.start(command);
    up.reached();
    running.signal(Signal::SIGTERM);
    // A variant, and the number in postcard's zigzag.
    let message = told.reached();
    assert!(
        message.ends_with(&format!(" {}", 2 * libc::SIGTERM)),
        "{message}"
    );
    running.signal(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.code(), 130, "{ended:?}");
    assert!(ended.stderr.contains("SIGTERM is passed on"), "{ended:?}");
    assert!(entries(&sandbox.path("sockets")).is_empty());
}
