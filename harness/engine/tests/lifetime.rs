//! What a guest leaves behind, with a shell script in QEMU's place.

// Helpers outside `#[test]` functions are tests too.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lookback_engine::{Accel, Engine, Error, GuestSpec, Qemu};

/// A checked-in program: one written by a test could still be open for writing
/// in a child another test is forking (ETXTBSY).
const FAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake-qemu");

fn fake() -> Qemu {
    Qemu::with_binary(Accel::Tcg, FAKE)
}

/// A guest whose kernel is the shell text `body`.
fn spec(dir: &Path, body: &str) -> GuestSpec {
    let kernel = dir.join("kernel");
    let initramfs = dir.join("initramfs");
    std::fs::write(&kernel, body).unwrap();
    std::fs::write(&initramfs, "").unwrap();
    GuestSpec {
        kernel,
        initramfs,
        run_dir: dir.to_owned(),
        ..GuestSpec::default()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn alive(pid: &str) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

#[test]
fn console_and_control_are_connected_and_the_end_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let body = "echo early >&$console; running; echo hello >&$control; echo late >&$console";
    let mut guest = fake().boot(&spec(dir.path(), body)).unwrap();
    let mut said = String::new();
    guest.control().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello\n");
    assert!(guest.control().is_none());
    let exit = guest.wait(soon()).unwrap().unwrap();
    assert!(!exit.killed);
    let console: Vec<u8> = guest.console().unwrap().iter().flatten().collect();
    assert_eq!(console, b"early\nlate\n");
    assert_eq!(
        std::fs::read(dir.path().join("console.log")).unwrap(),
        console
    );
    assert_eq!(guest.console_tail(1), "late");
}

#[test]
fn drop_leaves_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let body = "echo $$ >&$console; running; exec sleep 1000";
    let mut guest = fake().boot(&spec(dir.path(), body)).unwrap();
    let pid = String::from_utf8(guest.console().unwrap().recv().unwrap()).unwrap();
    assert!(alive(pid.trim()));
    assert_eq!(guest.wait(Instant::now()).unwrap(), None);
    drop(guest);
    assert!(!alive(pid.trim()));
}

#[test]
fn a_killed_guest_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = fake()
        .boot(&spec(dir.path(), "running; exec sleep 1000"))
        .unwrap();
    guest.kill().unwrap();
    let exit = guest.wait(soon()).unwrap().unwrap();
    assert!(exit.killed);
}

#[test]
fn an_early_end_shows_what_qemu_said() {
    let dir = tempfile::tempdir().unwrap();
    let body = "echo 'qemu: no such machine' >&2; exit 1";
    let error = fake().boot(&spec(dir.path(), body)).unwrap_err();
    assert!(matches!(error, Error::QemuFailed { .. }));
    assert!(error.to_string().contains("no such machine"), "{error}");
}

#[test]
fn a_late_failure_shows_what_qemu_said() {
    let dir = tempfile::tempdir().unwrap();
    let body = "running; echo 'qemu: out of memory' >&2; exit 3";
    let error = fake()
        .boot(&spec(dir.path(), body))
        .unwrap()
        .wait(soon())
        .unwrap_err();
    assert!(error.to_string().contains("out of memory"), "{error}");
}

#[test]
fn a_missing_qemu_names_the_package() {
    let dir = tempfile::tempdir().unwrap();
    let qemu = Qemu::with_binary(Accel::Tcg, "/no/such/qemu-system-x86_64");
    let message = qemu.boot(&spec(dir.path(), "")).unwrap_err().to_string();
    assert!(
        message.contains("apt-get install qemu-system-x86"),
        "{message}"
    );
}

/// Run again by the test below, in a process of its own.
#[test]
#[ignore = "blocks until it is killed; the test below runs it"]
fn holds_a_guest() {
    let Some(dir) = std::env::var_os("LOOKBACK_HELD_GUEST") else {
        return;
    };
    let dir = PathBuf::from(dir);
    let body = "echo $$ > $dir/pid; running; echo > $dir/up; exec sleep 1000";
    let _guest = fake().boot(&spec(&dir, body)).unwrap();
    println!("holding");
    std::thread::park();
}

#[test]
fn a_guest_dies_with_a_killed_harness() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_guest", "--ignored", "--nocapture"])
        .env("LOOKBACK_HELD_GUEST", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = holder.stdout.take().unwrap();
    let mut said = String::new();
    while !said.contains("holding") {
        let mut buffer = [0; 256];
        let length = out.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "the holder ended: {said}");
        said.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
    assert!(alive(pid.trim()));
    let pidfd = std::fs::File::open(format!("/proc/{}/stat", pid.trim())).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    // An orphan is reaped by init at its leisure: a zombie counts as dead.
    let deadline = soon();
    loop {
        let mut state = String::new();
        let mut stat = &pidfd;
        std::io::Seek::rewind(&mut stat).unwrap();
        if stat.read_to_string(&mut state).is_err() || state.contains(") Z ") {
            break;
        }
        assert!(Instant::now() < deadline, "still there: {state}");
        std::thread::yield_now();
    }
}
