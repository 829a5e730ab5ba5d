//! A child process that cannot outlive us.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// A child with its keeper: the thread that forked it, waits for it and reaps
/// it.
///
/// `PR_SET_PDEATHSIG` is bound to the *thread* that forked, not to the process
/// (prctl(2)): forked from a worker thread, the child would die with the
/// worker. The keeper lives exactly as long as the child, and dies before it
/// only if this process dies, by kill -9 too.
#[derive(Debug)]
pub(crate) struct Process {
    state: Arc<State>,
    pid: Pid,
    keeper: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    end: Mutex<End>,
    ended: Condvar,
}

#[derive(Debug, Default)]
enum End {
    #[default]
    Running,
    Reaped(ExitStatus),
    Lost(io::ErrorKind),
}

impl State {
    fn lock(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts `command`, which inherits `inherited` under their present numbers.
    /// Our copies of them are closed before this returns. It is out of reach of
    /// the terminal's Ctrl-C, which is for us to act on, and has no signal
    /// blocked, whatever our threads have.
    pub(crate) fn spawn(mut command: Command, inherited: Vec<OwnedFd>) -> io::Result<Self> {
        let parent = Pid::this();
        let numbers: Vec<i32> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
        command.process_group(0);
        // SAFETY: between fork and exec the closure makes only system calls
        // (prctl, getppid, sigprocmask, fcntl on descriptors that `inherited`
        // keeps open) and touches memory that was allocated before the fork; it
        // allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                // The parent may have died before the line above took hold.
                if nix::unistd::getppid() != parent {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                SigSet::empty().thread_set_mask()?;
                for number in &numbers {
                    if libc::fcntl(*number, libc::F_SETFD, 0) < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let (started, start) = sync_channel(1);
        let keeper = std::thread::Builder::new()
            .name("qemu keeper".to_owned())
            .spawn(move || {
                let spawned = command.spawn();
                drop(command);
                drop(inherited);
                match spawned {
                    Ok(child) => {
                        // The kernel's own type for it: the cast undoes std's.
                        let pid = Pid::from_raw(child.id().cast_signed());
                        if started.send(Ok(pid)).is_ok() {
                            keep(child, pid, &shared);
                        }
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            })?;
        let pid = match start.recv() {
            Ok(Ok(pid)) => pid,
            Ok(Err(error)) => {
                let _ = keeper.join();
                return Err(error);
            }
            Err(_) => return Err(io::Error::other("the child's keeper thread panicked")),
        };
        Ok(Process {
            state,
            pid,
            keeper: Some(keeper),
        })
    }

    /// Waits for the end of the child; `None` if it still runs at `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        let mut end = self.state.lock();
        loop {
            match *end {
                End::Reaped(status) => return Ok(Some(status)),
                End::Lost(kind) => return Err(kind.into()),
                End::Running => {}
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Ok(None);
            };
            end = self
                .state
                .ended
                .wait_timeout(end, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(end, _)| end);
        }
    }

    /// Kills the child, if it still runs, and reaps it; true if it ran.
    pub(crate) fn kill(&mut self) -> io::Result<bool> {
        let running = {
            let end = self.state.lock();
            // The child is reaped under this lock only, so that the number
            // cannot have passed on to another process.
            let running = matches!(*end, End::Running);
            if running {
                kill(self.pid, Signal::SIGKILL)?;
            }
            running
        };
        if let Some(keeper) = self.keeper.take() {
            keeper
                .join()
                .map_err(|_| io::Error::other("the child's keeper thread panicked"))?;
        }
        Ok(running)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!("cannot end process {}: {error}", self.pid);
        }
    }
}

/// Waits for `child` without reaping it, then reaps it under the lock.
fn keep(mut child: Child, pid: Pid, state: &State) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(nix::Error::EINTR) {}
    let mut end = state.lock();
    *end = match child.wait() {
        Ok(status) => End::Reaped(status),
        Err(error) => End::Lost(error.kind()),
    };
    state.ended.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    fn sleep() -> Command {
        let mut command = Command::new("sleep");
        command.arg("1000");
        command
    }

    fn exists(pid: Pid) -> bool {
        kill(pid, None) != Err(nix::Error::ESRCH)
    }

    #[test]
    fn waits_and_reports_the_status() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        let process = Process::spawn(command, Vec::new()).unwrap();
        let status = process
            .wait(Instant::now() + Duration::from_secs(20))
            .unwrap()
            .unwrap();
        assert_eq!(status.code(), Some(7));
        assert!(!exists(process.pid), "reaped, not a zombie");
    }

    #[test]
    fn a_deadline_passes_and_drop_kills_and_reaps() {
        let process = Process::spawn(sleep(), Vec::new()).unwrap();
        let pid = process.pid;
        assert_eq!(
            process
                .wait(Instant::now() + Duration::from_millis(20))
                .unwrap(),
            None
        );
        assert!(exists(pid));
        drop(process);
        assert!(!exists(pid));
    }

    #[test]
    fn kill_says_whether_it_was_needed() {
        let mut process = Process::spawn(sleep(), Vec::new()).unwrap();
        assert!(process.kill().unwrap());
        assert!(!process.kill().unwrap());
        let status = process.wait(Instant::now()).unwrap().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    }

    #[test]
    fn signals_blocked_here_reach_the_child() {
        let process = std::thread::spawn(|| {
            let mut blocked = SigSet::empty();
            blocked.add(Signal::SIGTERM);
            blocked.thread_block().unwrap();
            Process::spawn(sleep(), Vec::new()).unwrap()
        })
        .join()
        .unwrap();
        assert_eq!(nix::unistd::getpgid(Some(process.pid)), Ok(process.pid));
        kill(process.pid, Signal::SIGTERM).unwrap();
        let status = process.wait(Instant::now() + Duration::from_secs(20));
        let status = status.unwrap().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM));
    }

    #[test]
    fn the_child_survives_the_thread_that_asked_for_it() {
        let process = std::thread::spawn(|| Process::spawn(sleep(), Vec::new()).unwrap())
            .join()
            .unwrap();
        assert_eq!(
            process
                .wait(Instant::now() + Duration::from_millis(200))
                .unwrap(),
            None
        );
    }

    #[test]
    fn inherits_what_it_is_given_and_nothing_is_kept_open_here() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new("bash");
        command.args([
            "-c",
            &format!(
                "read line <&{0}; echo \"got $line\" >&{0}",
                theirs.as_raw_fd()
            ),
        ]);
        let process = Process::spawn(command, vec![theirs.into()]).unwrap();
        ours.write_all(b"this\n").unwrap();
        let mut answer = String::new();
        ours.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "got this\n");
        drop(process);
    }

    #[test]
    fn a_missing_program_is_not_found() {
        let error = Process::spawn(Command::new("/no/such/qemu"), Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
