//! A process that watches the board and shows on the console what everything
//! waits for once nothing moves any more. The host decides when to give up.

use std::fs;
use std::time::{Duration, Instant};

use lookback_wire::control::Arm;
use nix::poll::{PollTimeout, poll};
use nix::unistd::{ForkResult, Pid, fork};

use crate::board::Board;
use crate::console::say;

/// No beat for this long is worth a look.
const STALL: Duration = Duration::from_secs(20);
/// How often to look, in milliseconds.
const LOOK_MS: u16 = 2_000;

/// Start the watchdog; returns its process.
///
/// # Errors
/// Those of fork(2).
pub fn start(board: &'static Board) -> nix::Result<Pid> {
    // SAFETY: the agent has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => watch(board),
    }
}

fn watch(board: &Board) -> ! {
    let mut seen = board.beats();
    let mut since = Instant::now();
    let mut shown = false;
    loop {
        // A timer: there is no event for "nothing happened".
        let _ = poll(&mut [], PollTimeout::from(LOOK_MS));
        let beats = board.beats();
        if beats != seen || !board.is_busy() {
            (seen, since, shown) = (beats, Instant::now(), false);
        } else if !shown && since.elapsed() >= STALL {
            shown = true;
            say(format!(
                "nothing has moved for {} s; what every process waits for:",
                STALL.as_secs()
            ));
            for arm in [Arm::Backed, Arm::Plain, Arm::Devfuse, Arm::Ext4] {
                for (worker, line) in board.lane(arm).started() {
                    say(format!(
                        "{arm}: the last trace's worker {worker} reached line {line}"
                    ));
                }
            }
            show();
        }
    }
}

/// Show on the console what every process but this one waits for.
pub fn show() {
    let own = std::process::id();
    for pid in numbers("/proc").into_iter().filter(|pid| *pid != own) {
        // Those of io_uring are a process's threads, too.
        for thread in numbers(&format!("/proc/{pid}/task")) {
            show_thread(pid, thread);
        }
    }
    // Without CONFIG_MAGIC_SYSRQ the stacks above are all there is.
    let _ = fs::write("/proc/sysrq-trigger", "w");
}

fn show_thread(pid: u32, thread: u32) {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/task/{thread}/{file}");
        fs::read_to_string(path).unwrap_or_default()
    };
    let status = read("status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or("").trim().to_owned()
    };
    let state = field("State:");
    // Kernel threads have no command line; they idle by the dozen.
    if read("cmdline").is_empty() && !state.starts_with('D') {
        return;
    }
    let of = if thread == pid {
        String::new()
    } else {
        format!(", thread {thread}")
    };
    say(format!("pid {pid}{of} ({}), state {state}", field("Name:")));
    say(read("stack"));
}

/// The entries of a directory that are numbers.
fn numbers(dir: &str) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
