//! A program of the host's, run to its end: its output streams while it runs,
//! its status comes when all it started is gone.

mod reap;
mod streams;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use lookback_wire::control::{FromGuest, ToGuest};
use lookback_wire::exec::{ARM_MOUNTS, ENV_ARM, ENV_LOWER, ENV_OUTSIDE, ExecPlan, ExecStatus};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, chdir, chroot, setsid};
use thiserror::Error;

use crate::arms;
use crate::board::Board;
use crate::case::{self, Stage};
use crate::mounts::MOUNTS;
use crate::port::{Port, PortError};
use crate::root::{Root, RootError};
use crate::watchdog;
use reap::orphans;
use streams::Streams;

/// The program can't be run to its end.
#[derive(Debug, Error)]
enum RunError {
    /// The host is gone.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The host has closed its end.
    #[error("the host closed the control channel")]
    Closed,
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
/// `watchdog` is the agent's own child, which is none of the program's.
///
/// # Errors
/// The host can't be reached.
pub fn run(
    plan: &ExecPlan,
    watchdog: Pid,
    board: &'static Board,
    port: &mut Port,
) -> Result<(), PortError> {
    let status = match &plan.arm {
        None => in_root(plan, None, watchdog, port)?,
        Some(case) => {
            let on_arm =
                |stage: &Stage, port: &mut Port| in_root(plan, Some(stage), watchdog, port);
            case::with_arm(case, board, port, on_arm)?.unwrap_or_else(ExecStatus::Unable)
        }
    };
    port.send(&FromGuest::Exited(status))
}

fn in_root(
    plan: &ExecPlan,
    stage: Option<&Stage>,
    watchdog: Pid,
    port: &mut Port,
) -> Result<ExecStatus, PortError> {
    let root = Root::prepare(plan).and_then(|mut root| match show(stage, &mut root) {
        Ok(()) => Ok(root),
        Err(error) => {
            // The first error says what matters.
            let _ = root.clear();
            Err(error)
        }
    });
    let root = match root {
        Ok(root) => root,
        Err(error) => return Ok(ExecStatus::Unable(error.to_string())),
    };
    let mut spared = vec![watchdog];
    spared.extend(stage.and_then(|stage| stage.daemon));
    let status = match execute(plan, stage, root.path(), spared, port) {
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
    Ok(status)
}

/// Make the arm's mounts visible to the program.
fn show(stage: Option<&Stage>, root: &mut Root) -> Result<(), RootError> {
    let points = stage.map(|stage| arms::mount_points(stage.arm));
    let mut points = points.iter().flatten();
    points.try_for_each(|point| root.bind(point, &shown(point)))
}

/// A path on an arm's mount, as the program knows it.
fn shown(path: &str) -> String {
    path.strip_prefix(MOUNTS)
        .map_or_else(|| path.to_owned(), |rest| format!("{ARM_MOUNTS}{rest}"))
}

impl RunError {
    fn status(&self) -> ExecStatus {
        let text = self.to_string();
        match self {
            RunError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ExecStatus::NotFound(text)
            }
            RunError::Start { .. } => ExecStatus::NotExecutable(text),
            RunError::Port(_) | RunError::Closed | RunError::Call { .. } => {
                ExecStatus::Unable(text)
            }
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
    stage: Option<&Stage>,
    root: &Path,
    mut spared: Vec<Pid>,
    port: &mut Port,
) -> Result<ExecStatus, RunError> {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    ends.thread_block().map_err(call("sigprocmask"))?;
    let ends = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(call("signalfd"))?;
    let mut child = spawn(plan, stage, root)?;
    let mut streams = Streams::of(&mut child)?;
    let program = Pid::from_raw(child.id().cast_signed());
    spared.push(program);
    let mut ended = None;
    loop {
        if ended.is_none() {
            ended = child.try_wait().map_err(call("wait"))?;
        }
        let left = orphans(&spared, ended.is_some()).map_err(call("/proc"))?;
        if let (Some(status), 0, true) = (ended, left, streams.are_done()) {
            return Ok(of(status));
        }
        let ready = streams.wait(&ends, port)?;
        if ready.host {
            match port.receive()? {
                Some(ToGuest::Input(bytes)) => streams.feed(bytes, port)?,
                // Once it is reaped its number may be another's.
                Some(ToGuest::Signal(number)) if ended.is_none() => signal(program, number),
                Some(ToGuest::ShowTasks) => {
                    watchdog::show();
                    port.send(&FromGuest::Shown)?;
                }
                Some(_) => {}
                None => return Err(RunError::Closed),
            }
        }
        streams.forward(&ready, port)?;
        while let Ok(Some(_)) = ends.read_signal() {}
    }
}

/// Send a signal to the program's process group, which it leads.
fn signal(program: Pid, number: i32) {
    // SAFETY: kill(2) touches no memory. nix's knows no real-time signals.
    let sent = unsafe { libc::kill(-program.as_raw(), number) };
    if sent != 0 {
        // It has ended meanwhile, or there is no such signal.
        crate::console::say(format!("signal {number}: {}", io::Error::last_os_error()));
    }
}

/// What the program has besides its environment, and where it starts.
fn surroundings(plan: &ExecPlan, stage: Option<&Stage>) -> (Vec<(&'static str, String)>, OsString) {
    match stage {
        None => (Vec::new(), OsStr::from_bytes(&plan.cwd).to_owned()),
        Some(stage) => {
            let [cwd, lower, outside] =
                [&stage.bases.arm, &stage.bases.lower, &stage.bases.outside]
                    .map(|path| shown(path));
            let variables = vec![
                (ENV_ARM, stage.arm.to_string()),
                (ENV_LOWER, lower),
                (ENV_OUTSIDE, outside),
            ];
            (variables, cwd.into())
        }
    }
}

fn spawn(plan: &ExecPlan, stage: Option<&Stage>, root: &Path) -> Result<Child, RunError> {
    let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let Some((program, arguments)) = plan.argv.split_first() else {
        return Err(call("run a program")(io::Error::from(
            io::ErrorKind::InvalidInput,
        )));
    };
    let (variables, cwd) = surroundings(plan, stage);
    let mut command = Command::new(text(program));
    command
        .args(arguments.iter().map(|argument| text(argument)))
        .env_clear()
        .envs(
            plan.env
                .iter()
                .map(|(name, value)| (text(name), text(value))),
        )
        .envs(variables)
        .stdin(if plan.input {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let root = root.to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(7 << 8, ExecStatus::Code(7))]
    #[case(11, ExecStatus::Signal(11))]
    #[case(34, ExecStatus::Signal(34))]
    #[case(11 | 0x80, ExecStatus::Signal(11))]
    fn a_status_is_told_as_it_is(#[case] raw: i32, #[case] expected: ExecStatus) {
        assert_eq!(of(ExitStatus::from_raw(raw)), expected);
    }

    #[rstest]
    #[case("/mnt/backed/stack", "/run/lookback/backed/stack")]
    #[case("/mnt/lower", "/run/lookback/lower")]
    #[case("/elsewhere", "/elsewhere")]
    fn an_arm_is_below_one_directory(#[case] agents: &str, #[case] programs: &str) {
        assert_eq!(shown(agents), programs);
    }
}
