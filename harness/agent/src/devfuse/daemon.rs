//! The daemon's process: one thread, /dev/fuse, and a pipe to say at its end
//! what it did.
//!
//! It never walks its own mount: it would wait for itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use lookback_wire::control::Served;
use lookback_wire::frame::{FrameError, read_frame, write_frame};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2, read, write};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::init::MAX_WRITE;
use super::objects::Held;
use super::server::{Reply, Server};
use crate::console::say;

/// One request at most: a WRITE, and a page for the headers before its data.
const BUFFER: usize = MAX_WRITE as usize + 4096;
/// How long a daemon may take to get its first request or, once its mount is
/// gone, to end: in milliseconds, on the slowest machine under load.
const PATIENCE_MS: u16 = 60_000;
/// Exit status of a daemon that could not say what it did.
const SPEECHLESS: i32 = 3;

/// LOOKUPs of each path.
pub type Seen = BTreeMap<String, u64>;

/// The daemon can't be started, or did not end well.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// A system call failed.
    #[error("{call} for the daemon of devfuse: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// Why.
        source: Errno,
    },
    /// It went without a word.
    #[error("the daemon of devfuse {how}")]
    Died {
        /// How it ended.
        how: String,
    },
    /// It got no request.
    #[error("the kernel has not sent INIT {} s after the mount of devfuse", PATIENCE_MS / 1000)]
    Silent,
    /// It does not end.
    #[error("the daemon of devfuse still runs {} s after its mount went", PATIENCE_MS / 1000)]
    Stuck,
    /// What it said is no report.
    #[error("the pipe of devfuse's daemon: {0}")]
    Pipe(#[from] FrameError),
}

/// What a daemon says to the agent.
#[derive(Debug, Serialize, Deserialize)]
enum FromDaemon {
    /// The first request is answered.
    Serving,
    /// Its last message.
    Ended(Box<Served>, Seen),
}

fn call(call: &'static str) -> impl Fn(Errno) -> DaemonError {
    move |source| DaemonError::Call { call, source }
}

/// A daemon that serves. Dropped, it ends on its own.
#[derive(Debug)]
pub struct Daemon {
    pid: Pid,
    /// Its report comes here.
    report: File,
    /// Closed, it tells the daemon to end.
    stop: Option<OwnedFd>,
}

impl Daemon {
    /// Fork a daemon that serves `device`, an open /dev/fuse that has been
    /// mounted, and wait until it has answered the first request. The caller
    /// has no use for the device and the objects any more: while another
    /// process holds the device, a daemon's death ends nothing.
    ///
    /// # Errors
    /// [`DaemonError`]. A daemon that does not answer is killed.
    pub fn start(device: OwnedFd, server: Server, held: Held) -> Result<Daemon, DaemonError> {
        fcntl(&device, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(call("fcntl"))?;
        // Programs of the host's are no heirs to them.
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(call("pipe"));
        let (report, report_to) = pipe()?;
        let (stopped, stop) = pipe()?;
        // SAFETY: the agent has one thread.
        match unsafe { fork() }.map_err(call("fork"))? {
            ForkResult::Child => {
                drop((report, stop));
                child(&device, server, &held, &stopped, File::from(report_to))
            }
            ForkResult::Parent { child } => {
                drop((device, report_to, server, held));
                let mut daemon = Daemon {
                    pid: child,
                    report: File::from(report),
                    stop: Some(stop),
                };
                match daemon.receive(DaemonError::Silent)? {
                    Some(FromDaemon::Serving) => Ok(daemon),
                    _ => Err(daemon.reap("ended before it served")),
                }
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Wait for the daemon's end, its mount being gone or detached, and take
    /// what it did.
    ///
    /// # Errors
    /// [`DaemonError`]. A daemon that does not end is killed.
    pub fn finish(mut self) -> Result<(Served, Seen), DaemonError> {
        self.stop = None;
        match self.receive(DaemonError::Stuck)? {
            Some(FromDaemon::Ended(served, seen)) => {
                // The report is the last it does but end.
                waitpid(self.pid, None).map_err(call("waitpid"))?;
                Ok((*served, seen))
            }
            _ => Err(self.reap("ended without a report")),
        }
    }

    /// Wait for the daemon's next message; `None` if it ended instead. After
    /// [`PATIENCE_MS`] it is killed, and the error is `late`.
    fn receive(&mut self, late: DaemonError) -> Result<Option<FromDaemon>, DaemonError> {
        if is_ready(&self.report)? {
            return Ok(read_frame(&mut self.report)?);
        }
        // It may be beyond killing, so nobody waits for that.
        kill(self.pid, Signal::SIGKILL).map_err(call("kill"))?;
        Err(late)
    }

    /// Why it ended, once its pipe has.
    fn reap(&self, what: &str) -> DaemonError {
        match waitpid(self.pid, None) {
            Ok(WaitStatus::Signaled(_, signal, _)) => DaemonError::Died {
                how: format!("{what}: it was killed by {signal}"),
            },
            Ok(status) => DaemonError::Died {
                how: format!("{what} ({status:?}): the console says why"),
            },
            Err(source) => call("waitpid")(source),
        }
    }
}

/// Wait for the first byte of a message, or the end of all.
fn is_ready(report: &File) -> Result<bool, DaemonError> {
    loop {
        let mut fds = [PollFd::new(report.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(PATIENCE_MS)) {
            Err(Errno::EINTR) => {}
            Err(source) => return Err(call("poll")(source)),
            Ok(n) => return Ok(n > 0),
        }
    }
}

/// The daemon's process.
fn child(
    device: &OwnedFd,
    mut server: Server,
    held: &Held,
    stopped: &OwnedFd,
    mut report_to: File,
) -> ! {
    crate::panic::in_worker();
    // A name for lists of processes; without it, it is called as its parent.
    let _ = nix::sys::prctl::set_name(c"devfuse");
    if let Err(e) = serve(
        device.as_fd(),
        &mut server,
        held,
        stopped.as_fd(),
        &mut report_to,
    ) {
        server.failure(format!("the daemon gave up: {e}"));
    }
    let (served, seen) = server.end();
    let status = match write_frame(&mut report_to, &FromDaemon::Ended(Box::new(served), seen)) {
        Ok(()) => 0,
        Err(e) => {
            say(format!("the daemon of devfuse can't report: {e}"));
            SPEECHLESS
        }
    };
    // SAFETY: _exit(2) has no preconditions. What the agent registered for its
    // own end is not run.
    unsafe { libc::_exit(status) }
}

/// Answer until the mount is gone or the agent says so.
fn serve(
    device: BorrowedFd<'_>,
    server: &mut Server,
    held: &Held,
    stopped: BorrowedFd<'_>,
    report_to: &mut File,
) -> Result<(), DaemonError> {
    let mut buffer = vec![0; BUFFER];
    let mut waiting: Vec<(Instant, Reply)> = Vec::new();
    let mut told = false;
    loop {
        let sent = send_due(device, server, &mut waiting);
        if sent && !told {
            write_frame(report_to, &FromDaemon::Serving)?;
            told = true;
        }
        if waiting.is_empty() {
            held.give_back();
        }
        let mut fds = [
            PollFd::new(device, PollFlags::POLLIN),
            PollFd::new(stopped, PollFlags::POLLIN),
        ];
        match poll(&mut fds, until_due(&waiting)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(source) => return Err(call("poll")(source)),
        }
        let [on_device, on_stop] = fds.map(|fd| fd.any().unwrap_or(true));
        if on_device {
            match read(device, &mut buffer) {
                Ok(n) => {
                    if let Some(reply) = server.handle(&buffer[..n], held) {
                        waiting.push((Instant::now() + reply.delay, reply));
                    }
                }
                // Unmounted, or aborted.
                Err(Errno::ENODEV | Errno::ECONNABORTED) => return Ok(()),
                // ENOENT: the request went while it was read.
                Err(Errno::EINTR | Errno::EAGAIN | Errno::ENOENT) => {}
                Err(source) => return Err(call("read of /dev/fuse")(source)),
            }
        } else if on_stop {
            return Ok(());
        }
    }
}

/// Write every reply whose time has come, in the order of the requests;
/// whether there was one.
fn send_due(
    device: BorrowedFd<'_>,
    server: &mut Server,
    waiting: &mut Vec<(Instant, Reply)>,
) -> bool {
    let now = Instant::now();
    let mut any = false;
    for (_, reply) in waiting.extract_if(.., |(due, _)| *due <= now) {
        let wrote = match write(device, &reply.bytes) {
            Ok(_) => 0,
            Err(errno) => errno as i32,
        };
        server.written(&reply, wrote);
        any = true;
    }
    any
}

fn until_due(waiting: &[(Instant, Reply)]) -> PollTimeout {
    let Some(due) = waiting.iter().map(|(due, _)| *due).min() else {
        return PollTimeout::NONE;
    };
    // Rounded up: a moment too early would only come back for more.
    let left = due.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
