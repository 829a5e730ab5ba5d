//! PID 1 of the guest: mounts the arms, runs operations, snapshots trees, runs
//! programs of the host's, and reports to the host over a virtio-serial port.

mod arms;
mod backing;
mod board;
mod case;
mod clear;
mod clock;
mod console;
mod devfuse;
mod exec;
mod guest;
mod holders;
mod kernel_log;
mod mounts;
mod panic;
mod pieces;
mod port;
mod root;
mod run_command;
mod snapshot;
mod space;
mod watchdog;
mod workers;

use std::process::ExitCode;

use board::Board;
use console::{log, say};
use lookback_wire::control::{FromGuest, PROTOCOL, READY, ToGuest};
use nix::errno::Errno;
use port::{Port, PortError};
use thiserror::Error;

/// The agent can't go on at all.
#[derive(Debug, Error)]
enum AgentError {
    /// The guest lacks what every program needs.
    #[error(transparent)]
    Guest(#[from] guest::GuestError),
    /// The host can't be reached.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A system call of the agent's own failed.
    #[error("{call}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// Why.
        source: Errno,
    },
}

fn main() -> ExitCode {
    if std::process::id() != 1 {
        say("this program is PID 1 of a guest; the `lookback` command starts it there");
        return ExitCode::from(2);
    }
    match serve() {
        Ok(()) => {}
        Err(e) => say(format!("{e}")),
    }
    let errno = guest::reset();
    say(format!("the machine does not reset: {errno}"));
    ExitCode::FAILURE
}

/// Answer the host until it is done.
fn serve() -> Result<(), AgentError> {
    let call = |call| move |source| AgentError::Call { call, source };
    guest::prepare()?;
    let board = Board::new().map_err(call("mmap"))?;
    let watchdog = watchdog::start(board).map_err(call("fork"))?;
    let mut port = Port::open()?;
    match port.duplicate() {
        Ok(port) => panic::report_through(port),
        Err(e) => say(format!("a panic would not reach the host: {e}")),
    }
    port.await_host().map_err(call("poll"))?;
    loop {
        match port.receive()? {
            Some(ToGuest::Hello { .. }) => port.send(&ready())?,
            Some(ToGuest::RunCase(plan)) => case::run(&plan, board, &mut port)?,
            Some(ToGuest::Exec(plan)) => run_command::run(&plan, watchdog, board, &mut port)?,
            // Sent while a program ran, which has ended since.
            Some(ToGuest::Input(_) | ToGuest::Signal(_)) => {}
            Some(ToGuest::ShowTasks) => {
                watchdog::show();
                port.send(&FromGuest::Shown)?;
            }
            Some(ToGuest::KernelLog) => {
                let text = kernel_log::read().map_err(|error| error.to_string());
                port.send(&FromGuest::Log(text))?;
            }
            Some(ToGuest::SetClock(time)) => {
                if let Err(errno) = guest::set_clock(time) {
                    port.send(&FromGuest::Broken(format!("set the clock: {errno}")))?;
                }
            }
            Some(ToGuest::PowerOff) => {
                nix::unistd::sync();
                port.send(&FromGuest::Bye)?;
                return Ok(());
            }
            None => {
                say("the host closed the control channel");
                return Ok(());
            }
        }
    }
}

fn ready() -> FromGuest {
    let extension = backing::probe();
    log(READY);
    FromGuest::Ready {
        protocol: PROTOCOL,
        release: guest::release(),
        uptime_ms: u64::try_from(guest::uptime().as_millis()).unwrap_or(u64::MAX),
        extension: extension.is_ok(),
        extension_error: extension.err(),
    }
}
