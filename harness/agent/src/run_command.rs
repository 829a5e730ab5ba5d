//! A program of the host's, run to its end: its output streams while it runs,
//! its status comes when all it started is gone.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use lookback_wire::control::FromGuest;
use lookback_wire::exec::{ExecPlan, ExecStatus, OUTPUT_MAX, Stream};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, chdir, chroot, setsid};
use thiserror::Error;

use crate::port::{Port, PortError};
use crate::root::Root;

/// The program can't be run to its end.
#[derive(Debug, Error)]
enum RunError {
    /// The host is gone.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It can't be started.
    #[error("{program}: {source}")]
    Start {
        /// As asked for.
        program: String,
        /// What exec(2) said.
        source: io::Error,
    },
    /// A system call of the agent's own failed.
    #[error("{call}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Run the plan's program and tell the host what it prints and how it ended.
/// `spared` is the agent's own child, which is none of the program's.
///
/// # Errors
/// The host can't be reached.
pub fn run(plan: &ExecPlan, spared: Pid, port: &mut Port) -> Result<(), PortError> {
    let status = match Root::prepare(plan) {
        Err(error) => ExecStatus::Unable(error.to_string()),
        Ok(root) => {
            let status = match execute(plan, root.path(), spared, port) {
                Ok(status) => status,
                Err(RunError::Port(error)) => return Err(error),
                Err(error) => error.status(),
            };
            if let Err(error) = root.clear() {
                port.send(&FromGuest::Trouble {
                    arm: None,
                    what: error.to_string(),
                    leak: error.is_leak(),
                })?;
            }
            status
        }
    };
    port.send(&FromGuest::Exited(status))
}

impl RunError {
    fn status(&self) -> ExecStatus {
        let text = self.to_string();
        match self {
            RunError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ExecStatus::NotFound(text)
            }
            RunError::Start { .. } => ExecStatus::NotExecutable(text),
            RunError::Port(_) | RunError::Call { .. } => ExecStatus::Unable(text),
        }
    }
}

fn call<E: Into<io::Error>>(call: &'static str) -> impl Fn(E) -> RunError {
    move |error| RunError::Call {
        call,
        source: error.into(),
    }
}

fn execute(
    plan: &ExecPlan,
    root: &Path,
    spared: Pid,
    port: &mut Port,
) -> Result<ExecStatus, RunError> {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    ends.thread_block().map_err(call("sigprocmask"))?;
    let ends = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(call("signalfd"))?;
    let mut child = spawn(plan, root)?;
    let mut pipes = Pipes {
        out: child.stdout.take().map(|pipe| Box::new(pipe) as _),
        err: child.stderr.take().map(|pipe| Box::new(pipe) as _),
    };
    let mut ended = None;
    loop {
        if ended.is_none() {
            ended = child.try_wait().map_err(call("wait"))?;
        }
        let left = orphans(&child, spared, ended.is_some()).map_err(call("/proc"))?;
        if let (Some(status), 0, None, None) = (ended, left, &pipes.out, &pipes.err) {
            return Ok(of(status));
        }
        pipes.forward(&ends, port)?;
        while let Ok(Some(_)) = ends.read_signal() {}
    }
}

fn spawn(plan: &ExecPlan, root: &Path) -> Result<Child, RunError> {
    let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let Some((program, arguments)) = plan.argv.split_first() else {
        return Err(call("run a program")(io::Error::from(
            io::ErrorKind::InvalidInput,
        )));
    };
    let mut command = Command::new(text(program));
    command
        .args(arguments.iter().map(|argument| text(argument)))
        .env_clear()
        .envs(
            plan.env
                .iter()
                .map(|(name, value)| (text(name), text(value))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (root, cwd) = (root.to_owned(), text(&plan.cwd));
    // SAFETY: between fork and exec the closure makes only system calls, on
    // paths that were allocated before the fork and are short enough for nix's
    // buffer on the stack, or else allocate in a process of one thread.
    unsafe {
        command.pre_exec(move || {
            SigSet::empty().thread_set_mask()?;
            chroot(&root)?;
            chdir(cwd.as_os_str())?;
            setsid()?;
            Ok(())
        });
    }
    command.spawn().map_err(|source| RunError::Start {
        program: String::from_utf8_lossy(program).into_owned(),
        source,
    })
}

fn of(status: ExitStatus) -> ExecStatus {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.code(), status.signal()) {
        (Some(code), _) => ExecStatus::Code(byte(code)),
        (None, signal) => ExecStatus::Signal(signal.map_or(u8::MAX, byte)),
    }
}

/// Reaps what the program left to PID 1; with `end`, also ends what is left.
/// Returns how many still run.
fn orphans(child: &Child, spared: Pid, end: bool) -> io::Result<usize> {
    let program = Pid::from_raw(child.id().cast_signed());
    let mut running = 0;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let pid = Pid::from_raw(pid);
        if pid == program || pid == spared || !is_ours(pid) {
            continue;
        }
        if waitpid(pid, Some(WaitPidFlag::WNOHANG)) != Ok(nix::sys::wait::WaitStatus::StillAlive) {
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

/// A pipe the program writes to.
trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

/// The reading ends; `None` once nobody can write any more.
struct Pipes {
    out: Option<Box<dyn Source>>,
    err: Option<Box<dyn Source>>,
}

impl Pipes {
    /// Waits until one has something, or a child has ended, and sends it on.
    fn forward(&mut self, ends: &SignalFd, port: &mut Port) -> Result<(), RunError> {
        let (out, err) = {
            let mut fds = vec![PollFd::new(ends.as_fd(), PollFlags::POLLIN)];
            let open = [&self.out, &self.err].into_iter().flatten();
            fds.extend(open.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => return Ok(()),
                polled => polled.map_err(call("poll"))?,
            };
            let ready = |index: usize| {
                let fd = fds.get(index);
                fd.and_then(PollFd::any).unwrap_or(false)
            };
            match (&self.out, &self.err) {
                (Some(_), _) => (ready(1), ready(2)),
                (None, _) => (false, ready(1)),
            }
        };
        if out {
            pass(&mut self.out, Stream::Out, port)?;
        }
        if err {
            pass(&mut self.err, Stream::Err, port)?;
        }
        Ok(())
    }
}

fn pass(
    pipe: &mut Option<Box<dyn Source>>,
    stream: Stream,
    port: &mut Port,
) -> Result<(), RunError> {
    let mut bytes = vec![0; OUTPUT_MAX];
    let Some(source) = pipe else { return Ok(()) };
    match source.read(&mut bytes) {
        Ok(0) => *pipe = None,
        Ok(length) => {
            bytes.truncate(length);
            port.send(&FromGuest::Output { stream, bytes })?;
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(call("read what the program prints")(error)),
    }
    Ok(())
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

    #[rstest]
    #[case(7 << 8, ExecStatus::Code(7))]
    #[case(11, ExecStatus::Signal(11))]
    #[case(34, ExecStatus::Signal(34))]
    #[case(11 | 0x80, ExecStatus::Signal(11))]
    fn a_status_is_told_as_it_is(#[case] raw: i32, #[case] expected: ExecStatus) {
        assert_eq!(of(ExitStatus::from_raw(raw)), expected);
    }
}
