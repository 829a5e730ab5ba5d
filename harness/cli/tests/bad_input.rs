//! What bad input gets: one line that names the thing, the right status, and
//! nothing left.

#![allow(clippy::unwrap_used)]

mod common;

use std::{os::unix::net::UnixStream, os::unix::process::CommandExt, time::Instant};

use common::Sandbox;
use rstest::rstest;

/// Lays out what the cases name: `{}` in an argument is the sandbox.
fn prepared() -> Sandbox {
    let sandbox = Sandbox::new();
    let case = |trace: &str| {
        format!(
            "name = \"own\"\nabout = \"x\"\n[[case]]\nname = \"a\"\nabout = \"x\"\ntrace = {trace}\n"
        )
    };
    sandbox.write("toml/own.toml", "name = \"own\"\nabout = [\n");
    sandbox.write(
        "trace/own.toml",
        case("\"\"\"\nstat a\nfrobnicate a\n\"\"\""),
    );
    sandbox.write("no-scenario/notes.txt", "");
    sandbox.write("good.trace", "creat a\n");
    sandbox.write("bad.trace", "%seed 7\ncreat a\n\nstat a b\n");
    sandbox.write("rule.trace", "%lookup { path = \"a\", baking = 1 }\nsync\n");
    sandbox.write("root.trace", "%arms backed\nstat @root/a\n");
    sandbox.write("text", "a shopping list");
    sandbox.write("broken.toml", "[[lookup]]\npath = \"a\nbacking = 1\n");
    sandbox.write("unknown-key.toml", "[[lookup]]\npath = \"a\"\nbaking = 1\n");
    sandbox.write("wrong.toml", "[[lookup]]\npath = \"/a\"\nbacking = 1\n");
    sandbox.write("share/file", "");
    sandbox.write("run-without-result/console.log", "");
    sandbox.write("run-with-half/result.json", "{\"format\": 1, \"run\": \"x");
    let mutant = "X.\n\nScenario: lookbup\nCaught-by: leak\n--- a/x\n";
    sandbox.write("mutants/d01-x.patch", mutant);
    sandbox.write(
        "mutants-broken/d02-x.patch",
        mutant.replace("Caught", "Catched"),
    );
    for name in ["Makefile", "Kconfig", "Kbuild"] {
        sandbox.write(&format!("linux/{name}"), "");
    }
    sandbox.write(
        "vmlinux",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0",
    );
    sandbox.kernel("exit 1");
    sandbox.agent();
    sandbox
}

#[rstest]
#[case::scenario("run lookbup --kernel {}/kernel", 2, &["`lookbup`", "known: ", "lookup"])]
#[case::case("run lookup.nope", 2, &["`lookup.nope`", "lookup.file"])]
#[case::toml("run --scenario-dir {}/toml", 2, &["{}/toml/own.toml:2:10: "])]
#[case::trace("run --scenario-dir {}/trace", 2, &["{}/trace/own.toml:8:1: ", "frobnicate"])]
#[case::no_scenario_file("run --scenario-dir {}/no-scenario", 2, &["{}/no-scenario: ", "*.toml"])]
#[case::no_scenario_dir("run --scenario-dir {}/nope", 2, &["{}/nope"])]
#[case::no_kernel_file("run --agent {}/agent --kernel ./nope", 2, &["./nope"])]
#[case::no_kernel_name("run --agent {}/agent --kernel nope --profile debug", 2, &["`nope` with profile debug"])]
#[case::no_kernel("run --agent {}/agent --kernel {}/text", 2, &["{}/text", "vmlinux", "bzImage"])]
#[case::no_entry("run --agent {}/agent --kernel {}/vmlinux", 2, &["{}/vmlinux", "without a PVH entry", "bzImage"])]
#[case::no_agent("run --agent nope --kernel {}/kernel", 2, &["agent nope"])]
#[case::agent_not_static("run --engine qemu --agent {exe} --kernel {}/kernel", 2, &["{exe}", "dynamically"])]
#[case::agent_no_program("run --engine qemu --agent {}/text --kernel {}/kernel", 2, &["{}/text", "not an x86-64 program"])]
#[case::no_output("run --engine qemu --agent {}/agent --kernel {}/kernel --output {}/text/out", 5, &["{}/text/out", "Not a directory"])]
#[case::option("run --frobnicate", 2, &["--frobnicate"])]
#[case::command("frobnicate", 2, &["frobnicate"])]
#[case::value("run --profile quick", 2, &["quick", "--profile", "debug"])]
#[case::number("run --seed x", 2, &["--seed", "x"])]
#[case::arm("fsstress --arms backed,ext3", 2, &["ext3", "--arms"])]
#[case::mix("fsstress --mix frob=1", 2, &["frob", "--mix"])]
#[case::arm_twice("fsstress --arms ext4,backed,ext4", 2, &["--arms", "ext4 twice"])]
#[case::run_on_no_such_arm("run --arms plain,ext3", 2, &["ext3", "--arms"])]
#[case::run_on_an_arm_twice("run --arms plain,plain", 2, &["--arms", "plain twice"])]
#[case::no_operations("fsstress --ops 0", 2, &["--ops", "zero"])]
#[case::no_process("fsstress --procs 0", 2, &["--procs", "zero"])]
#[case::no_time("run --boot-timeout 0", 2, &["--boot-timeout", "zero"])]
#[case::replay_nothing("replay", 2, &["<TRACE>"])]
#[case::replay_no_file("replay {}/nope.trace", 2, &["{}/nope.trace", "No such file"])]
#[case::replay_bad_line("replay {}/bad.trace", 2, &["{}/bad.trace:4:8: expected the end of the line, found `b`"])]
#[case::replay_bad_rule("replay {}/rule.trace", 2, &["{}/rule.trace:1:23: unknown field `baking`"])]
#[case::replay_other_arms("replay --arms backed,ext4 {}/root.trace", 2, &["{}/root.trace:2:1: ", "no @root/ on ext4"])]
#[case::replay_no_such_phase("replay --phases hot {}/root.trace", 2, &["hot", "--phases"])]
#[case::replay_binary("replay {}/vmlinux", 2, &["{}/vmlinux"])]
#[case::shrink_nothing("shrink -o {}/small", 2, &["<RUN|TRACE>"])]
#[case::shrink_to_nowhere("shrink {}/good.trace", 2, &["--out <TRACE>"])]
#[case::shrink_to_no_directory("shrink {}/good.trace -o {}/nope/small", 2, &["{}/nope/small"])]
#[case::shrink_to_a_directory("shrink {}/good.trace -o {}/share", 2, &["{}/share"])]
#[case::shrink_no_file("shrink {}/nope.trace -o {}/small", 2, &["{}/nope.trace", "No such file"])]
#[case::shrink_bad_line("shrink {}/bad.trace -o {}/small", 2, &["{}/bad.trace:4:8: "])]
#[case::shrink_no_result("shrink {}/run-without-result -o {}/small", 2, &["{}/run-without-result/result.json"])]
#[case::shrink_too_many_hits("shrink {}/good.trace -o {}/small --hits 5 --of 4", 2, &["--hits 5", "--of 4"])]
#[case::shrink_no_hit("shrink {}/good.trace -o {}/small --hits 0", 2, &["--hits", "zero"])]
#[case::serve_nothing("serve", 2, &["--socket <SOCKET>", "--shared-dir <DIR>"])]
#[case::serve_no_directory("serve --socket {}/s --shared-dir {}/nope", 2, &["{}/nope", "No such file"])]
#[case::serve_a_file("serve --socket {}/s --shared-dir {}/text", 2, &["{}/text"])]
#[case::serve_on_a_file("serve --socket {}/text --shared-dir {}/share", 2, &["{}/text", "not a socket"])]
#[case::serve_nowhere("serve --socket {}/no/s --shared-dir {}/share", 2, &["{}/no/s", "No such file"])]
#[case::broken_rules("serve --socket {}/s --shared-dir {}/share --rules {}/broken.toml", 2, &["{}/broken.toml:2:10: "])]
#[case::unknown_rule_key("serve --socket {}/s --shared-dir {}/share --rules {}/unknown-key.toml", 2, &["{}/unknown-key.toml:3:1: ", "baking"])]
#[case::wrong_rules("serve --socket {}/s --shared-dir {}/share --rules {}/wrong.toml", 2, &["{}/wrong.toml", "\"/a\""])]
#[case::no_rules("serve --socket {}/s --shared-dir {}/share --rules {}/nope", 2, &["{}/nope", "No such file"])]
#[case::no_result("report {}/run-without-result", 2, &["{}/run-without-result/result.json"])]
#[case::half_a_result("report {}/run-with-half", 2, &["{}/run-with-half/result.json", "not the result of a run"])]
#[case::no_run("report {}/nope", 2, &["{}/nope"])]
#[case::no_run_to_compare("report {}/run-with-half --compare {}/nope", 2, &["{}/run-with-half/result.json"])]
#[case::no_latest("report", 2, &["{}/output/latest"])]
#[case::kernel_without_a_recipe("kernel build --name nope", 2, &["`nope`", "--extra-patches"])]
#[case::named_kernel_with_more("kernel build --name disabled --extra-patches {}/share", 2, &["disabled", "--name of its own"])]
#[case::no_extra_patches("kernel build --name mine --src {}/linux --extra-patches {}/share", 2, &["{}/share", "no *.patch"])]
#[case::no_extra_patch("kernel build --name mine --src {}/linux --extra-patches {}/nope.patch", 2, &["{}/nope.patch", "No such file"])]
#[case::no_mutant("mutants d99 --mutant-dir {}/mutants", 2, &["`d99`", "known: d01-x"])]
#[case::mutant_header("mutants --mutant-dir {}/mutants-broken", 2, &["{}/mutants-broken/d02-x.patch:4: ", "Catched-by"])]
#[case::mutant_scenario("mutants --mutant-dir {}/mutants", 2, &["{}/mutants/d01-x.patch:3: ", "`lookbup`"])]
#[case::no_mutant_there("mutants --mutant-dir {}/share", 2, &["{}/share", "*.patch"])]
#[case::no_mutant_dir("mutants --mutant-dir {}/nope", 2, &["{}/nope", "No such file"])]
#[case::kernel_source("kernel build --src {}/share", 2, &["{}/share", "not a Linux source tree"])]
fn is_named_on_one_line(#[case] line: &str, #[case] code: i32, #[case] words: &[&str]) {
    let sandbox = prepared();
    let fill = |text: &str| {
        text.replace("{}", sandbox.root().to_str().unwrap())
            .replace("{exe}", env!("CARGO_BIN_EXE_lookback"))
    };
    let mut command = sandbox.lookback();
    command.args(fill(line).split(' '));
    let words: Vec<String> = words.iter().map(|word| fill(word)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    sandbox.end(command).assert_one_line(code, &words);
    sandbox.assert_nothing_left();
    assert!(!sandbox.path("s").exists(), "a socket is left");
}

#[test]
fn a_busy_socket_is_left_to_its_server() {
    let sandbox = prepared();
    let socket = sandbox.path("s");
    let serve = || {
        let mut command = sandbox.lookback();
        command.arg("serve").arg("--socket").arg(&socket);
        command.arg("--shared-dir").arg(sandbox.path("share"));
        command
    };
    let elsewhere = Sandbox::new();
    let mut first = elsewhere.start(serve());
    let began = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(first.is_alive() && began.elapsed().as_secs() < 60);
        std::thread::yield_now();
    }
    let busy = format!("busy socket {}", socket.display());
    sandbox.end(serve()).assert_one_line(5, &[&busy]);
    UnixStream::connect(&socket).unwrap();
    assert!(first.is_alive());
    first.signal(nix::sys::signal::Signal::SIGTERM);
    let ended = first.end();
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
    assert!(!socket.exists());
}

/// Without a slash it could be a name, but nothing of the name is built.
#[test]
fn a_kernel_s_file_needs_no_slash() {
    let sandbox = prepared();
    for name in ["kernel", "text"] {
        let mut command = sandbox.lookback();
        command.args(["run", "lookup.file", "--engine", "qemu", "--qemu", "/none"]);
        command.args(["--kernel", name, "--agent"]);
        command.arg(sandbox.agent()).current_dir(sandbox.root());
        let ended = sandbox.end(command);
        match name {
            "text" => ended.assert_one_line(2, &["text is neither a vmlinux"]),
            _ => ended.assert_one_line(5, &["/none"]),
        }
    }
}

#[test]
fn a_missing_qemu_is_this_machine_s_matter() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.lookback();
    command.args(["run", "lookup.file", "--engine", "qemu", "--kernel"]);
    command
        .arg(sandbox.kernel(""))
        .arg("--agent")
        .arg(sandbox.agent());
    command.env("PATH", "/usr/sbin:/sbin");
    let words = ["qemu-system-x86_64 is not installed", "apt-get install"];
    sandbox.end(command).assert_one_line(5, &words);
    sandbox.assert_nothing_left();
}

/// A limit on the size of files behaves like a disk that is full from the start,
/// for us and for the programs we run.
#[rstest]
#[case::nothing_fits(0)]
#[case::the_images_do_not_fit(1 << 20)]
fn no_room_leaves_nothing(#[case] bytes: u64) {
    let sandbox = Sandbox::new();
    let mut command = sandbox.run("exit 1");
    // SAFETY: setrlimit(2) and signal(2) are async-signal-safe and touch no
    // memory but their arguments.
    unsafe {
        command.pre_exec(move || {
            let limit = libc::rlimit {
                rlim_cur: bytes.max(512),
                rlim_max: bytes.max(512),
            };
            if libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // Else the signal ends what would get EFBIG.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        });
    }
    let ended = sandbox.end(command);
    ended.assert_one_line(5, &["lower.img", "File too large"]);
    sandbox.assert_nothing_left();
}

/// A real file system without room, in a mount namespace of its own. What is
/// left on it is listed before it goes.
#[rstest]
#[case::nothing_fits("64k", "lower.img")]
#[case::the_initramfs_does_not_fit("6m", "initramfs.cpio: No space left on device")]
fn a_full_disk_leaves_nothing(#[case] size: &str, #[case] what: &str) {
    let sandbox = Sandbox::new();
    let disk = sandbox.path("output");
    std::fs::create_dir(&disk).unwrap();
    let run = sandbox.run("exit 1");
    let agent = std::fs::File::options().write(true).open(sandbox.agent());
    agent.unwrap().set_len(8 << 20).unwrap();
    let mut command = sandbox.command("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg(format!(
            "mount -t tmpfs -o size={size} none \"$0\" || exit 99; \"$@\"; status=$?; \
             find \"$0\" -mindepth 1 ! -name runs; exit $status"
        ))
        .arg(&disk)
        .arg(run.get_program())
        .args(run.get_args());
    let ended = sandbox.end(command);
    ended.assert_one_line(5, &[what]);
    assert!(!ended.stdout.contains(disk.to_str().unwrap()), "{ended:?}");
}

/// As `lookback list | head` may.
#[rstest]
fn a_reader_that_leaves_is_no_error(#[values("list", "kernel list", "doctor")] command: &str) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lookback"))
        .args(command.split(' '))
        .stdout(writer)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}
