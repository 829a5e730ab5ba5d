//! The processes a program leaves behind.

use std::fs;
use std::io;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Reaps what the program left to PID 1; with `end`, also ends what is left.
/// Returns how many still run.
/// `spared` are no children of its.
pub(super) fn orphans(spared: &[Pid], end: bool) -> io::Result<usize> {
    let mut running = 0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let pid = Pid::from_raw(pid);
        if spared.contains(&pid) || !is_ours(pid) {
            continue;
        }
        if waitpid(pid, Some(WaitPidFlag::WNOHANG)) != Ok(WaitStatus::StillAlive) {
            continue;
        }
        running += 1;
        if end {
            // It may have ended meanwhile.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
    Ok(running)
}

/// Whether the process is a child of this one.
fn is_ours(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    parent(&stat) == Some(Pid::this())
}

/// The fourth field of /proc/PID/stat, proc_pid_stat(5); the second is a name in
/// parentheses that may contain anything.
fn parent(stat: &str) -> Option<Pid> {
    let (_, fields) = stat.rsplit_once(')')?;
    let parent = fields.split_ascii_whitespace().nth(1)?;
    parent.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("12 (sh) S 1 12 12 0", Some(1))]
    #[case("12 (a) b) R 7 1 1 0", Some(7))]
    #[case("", None)]
    #[case("12 (sh)", None)]
    fn a_parent_is_told_whatever_the_name(#[case] stat: &str, #[case] expected: Option<i32>) {
        assert_eq!(parent(stat), expected.map(Pid::from_raw));
    }
}
