//! Running a trace: one forked process a worker, so that credentials, umask
//! and open files are its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Instant;

use lookback_ops::{Line, Outcome, Value};
use lookback_wire::frame::{FrameError, read_frame, write_frame};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe};
use thiserror::Error;

use crate::board::{Board, MAX_WORKERS};
use crate::console::say;
use crate::exec::{Bases, World, survive_sigbus};
use crate::port::PortError;

/// A batch goes to the agent when its outcomes weigh this much (an outcome and
/// a directory entry count one each).
const BATCH: usize = 256;
/// Exit status of a worker that could not do its job.
const BROKEN: i32 = 3;

/// The trace could not be run.
#[derive(Debug, Error)]
pub enum WorkersError {
    /// A system call of the agent's own failed.
    #[error("{call} for worker {worker}: {source}")]
    Call {
        /// Which.
        call: &'static str,
        /// For whom.
        worker: u16,
        /// Why.
        source: Errno,
    },
    /// A worker's pipe carried nonsense.
    #[error("the pipe of worker {worker}: {source}")]
    Pipe {
        /// Whose.
        worker: u16,
        /// Why.
        source: FrameError,
    },
    /// Too many workers.
    #[error("worker {0} in the trace; there can be {MAX_WORKERS}, from 0")]
    TooMany(u16),
    /// A worker gave up on its own.
    #[error("worker {worker} ended with status {status} at line {line}: the console says why")]
    Ended {
        /// Which.
        worker: u16,
        /// Exit status.
        status: i32,
        /// The trace's line it was at, from 1.
        line: u32,
    },
    /// The outcomes could not be sent on.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// How a trace went.
#[derive(Debug, Default)]
pub struct Ran {
    /// Microseconds from the common start to the last worker's end.
    pub micros: u64,
    /// Workers killed by a signal, a sentence each: the kernel's doing.
    pub killed: Vec<String>,
}

/// Takes a worker's outcomes: worker, index of the first, outcomes.
pub type Sink<'a> = &'a mut dyn FnMut(u16, u32, Vec<Outcome>) -> Result<(), PortError>;

struct Worker {
    number: u16,
    pid: Pid,
    /// Closed once the worker is through.
    results: Option<File>,
    /// Outcomes received.
    received: u32,
}

/// Run `lines`, all workers at once if `concurrent`, else a line at a time.
///
/// # Errors
/// [`WorkersError`]; no worker is left running.
pub fn run(
    lines: &[Line],
    concurrent: bool,
    bases: &Bases,
    board: &'static Board,
    sink: Sink<'_>,
) -> Result<Ran, WorkersError> {
    let mut by_worker: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
    for (index, line) in (0..).zip(lines) {
        by_worker.entry(line.worker).or_default().push(index);
    }
    if let Some((&last, _)) = by_worker.last_key_value()
        && usize::from(last) >= MAX_WORKERS
    {
        return Err(WorkersError::TooMany(last));
    }
    board.reset();
    let call = |call, worker| {
        move |source| WorkersError::Call {
            call,
            worker,
            source,
        }
    };
    let (gate, opener) = pipe().map_err(call("pipe", 0))?;
    let mut gate = Some(File::from(gate));
    let mut opener = Some(opener);
    let mut workers = Vec::new();
    let take_turns = !concurrent && by_worker.len() > 1;
    for (&number, mine) in &by_worker {
        let (results, out) = pipe().map_err(call("pipe", number))?;
        // SAFETY: the agent has one thread.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                opener.take();
                drop(results);
                let gate = gate.take();
                child(
                    number,
                    lines,
                    mine,
                    bases,
                    board,
                    take_turns,
                    gate,
                    File::from(out),
                )
            }
            Ok(ForkResult::Parent { child }) => {
                let results = Some(File::from(results));
                workers.push(Worker {
                    number,
                    pid: child,
                    results,
                    received: 0,
                });
            }
            Err(source) => {
                stop(&workers);
                return Err(WorkersError::Call {
                    call: "fork",
                    worker: number,
                    source,
                });
            }
        }
    }
    let started = Instant::now();
    opener.take();
    let collected = collect(&mut workers, lines, take_turns, board, sink);
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if collected.is_err() {
        stop(&workers);
        return collected.map(|()| Ran::default());
    }
    let mut ran = Ran {
        micros,
        killed: Vec::new(),
    };
    let mut result = Ok(());
    for worker in &workers {
        match reap(worker, lines, board) {
            Ok(None) => {}
            Ok(Some(death)) => ran.killed.push(death),
            Err(e) => result = Err(e),
        }
    }
    result.map(|()| ran)
}

/// Pass batches on until every worker has closed its pipe.
fn collect(
    workers: &mut [Worker],
    lines: &[Line],
    take_turns: bool,
    board: &Board,
    sink: Sink<'_>,
) -> Result<(), WorkersError> {
    loop {
        let open: Vec<usize> = (0..workers.len())
            .filter(|i| workers[*i].results.is_some())
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let mut fds: Vec<_> = open
            .iter()
            .filter_map(|i| workers[*i].results.as_ref())
            .map(|file| PollFd::new(file.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(source) => {
                return Err(WorkersError::Call {
                    call: "poll",
                    worker: 0,
                    source,
                });
            }
            Ok(_) => {}
        }
        let ready: Vec<usize> = open
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| fd.any() == Some(true))
            .map(|(i, _)| *i)
            .collect();
        for i in ready {
            let worker = &mut workers[i];
            let number = worker.number;
            let Some(file) = &mut worker.results else {
                continue;
            };
            match read_frame::<Vec<Outcome>>(file) {
                Ok(Some(outcomes)) => {
                    let first = worker.received;
                    worker.received += u32::try_from(outcomes.len()).unwrap_or(0);
                    sink(number, first, outcomes)?;
                }
                // Killed in the middle of a batch: the exit status tells.
                Ok(None) | Err(FrameError::Truncated { .. }) => {
                    worker.results = None;
                    let wanted = lines.iter().filter(|line| line.worker == number).count();
                    if take_turns && (worker.received as usize) < wanted {
                        board.abandon();
                    }
                }
                Err(source) => {
                    return Err(WorkersError::Pipe {
                        worker: number,
                        source,
                    });
                }
            }
        }
    }
}

fn reap(worker: &Worker, lines: &[Line], board: &Board) -> Result<Option<String>, WorkersError> {
    let number = worker.number;
    let at = board.position(number);
    match waitpid(worker.pid, None) {
        Ok(WaitStatus::Exited(_, 0)) => Ok(None),
        Ok(WaitStatus::Signaled(_, signal, _)) => {
            let begun = at
                .checked_sub(1)
                .and_then(|index| lines.get(index as usize));
            let text = begun.map(ToString::to_string).unwrap_or_default();
            Ok(Some(format!(
                "worker {number} was killed by {signal} at line {}: {text}",
                at
            )))
        }
        Ok(status) => {
            let status = if let WaitStatus::Exited(_, status) = status {
                status
            } else {
                BROKEN
            };
            Err(WorkersError::Ended {
                worker: number,
                status,
                line: at,
            })
        }
        Err(source) => Err(WorkersError::Call {
            call: "waitpid",
            worker: number,
            source,
        }),
    }
}

/// End workers whose trace can't go on.
fn stop(workers: &[Worker]) {
    for worker in workers {
        // One that is gone already is waited for all the same.
        let _ = kill(worker.pid, Signal::SIGKILL);
        let _ = waitpid(worker.pid, None);
    }
}

/// The worker's process.
#[allow(clippy::too_many_arguments)] // what a forked process starts from
fn child(
    number: u16,
    lines: &[Line],
    mine: &[u32],
    bases: &Bases,
    board: &'static Board,
    take_turns: bool,
    gate: Option<File>,
    mut out: File,
) -> ! {
    crate::panic::in_worker();
    umask(Mode::from_bits_truncate(0o022));
    let mut world = World::new(bases.clone(), board);
    let ready = survive_sigbus()
        .map_err(std::io::Error::from)
        .and_then(|()| await_start(gate));
    if let Err(e) = ready {
        say(format!("worker {number} can't start: {e}"));
        exit(BROKEN);
    }
    let (mut batch, mut weight) = (Vec::new(), 0);
    for &index in mine {
        let Some(line) = lines.get(index as usize) else {
            break;
        };
        if take_turns && !board.await_turn(index) {
            break;
        }
        board.enter(number, index);
        let outcome = world.run(&line.op);
        if take_turns {
            board.pass_turn(index);
        }
        weight += 1 + if let Value::Entries(entries) = &outcome.value {
            entries.len()
        } else {
            0
        };
        batch.push(outcome);
        if weight >= BATCH {
            send(number, &mut out, &mut batch);
            weight = 0;
        }
    }
    send(number, &mut out, &mut batch);
    // Descriptors the trace left open are closed before the pipe is.
    drop(world);
    drop(out);
    exit(0)
}

/// The gate is a pipe nobody writes to: it ends for all workers at once.
fn await_start(gate: Option<File>) -> std::io::Result<()> {
    if let Some(mut gate) = gate {
        gate.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn send(number: u16, out: &mut File, batch: &mut Vec<Outcome>) {
    if !batch.is_empty()
        && let Err(e) = write_frame(out, batch)
    {
        say(format!("worker {number} can't report: {e}"));
        exit(BROKEN);
    }
    batch.clear();
}

/// End the process without running what the agent registered for its own end.
fn exit(status: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(status) }
}

#[cfg(test)]
pub(crate) mod tests;
