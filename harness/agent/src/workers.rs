//! Running a trace on all arms: one forked process a worker, so that
//! credentials, umask and open files are its own.

mod child;
mod job;
mod turns;

use std::os::fd::AsFd;

use lookback_ops::tree::Snapshot;
use lookback_ops::{Line, Outcome};
use lookback_wire::control::Arm;
use lookback_wire::frame::FrameError;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::board::{Board, MAX_WORKERS};
use crate::exec::Bases;
use crate::port::PortError;
use job::Running;

/// A trace could not be run.
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
    /// Whoever walks the tree between the lines gave up.
    #[error("the tree after line {line} was not walked: the console says why")]
    NotWalked {
        /// The line before it, from 1.
        line: u32,
    },
    /// The outcomes could not be sent on.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A trace on one arm.
#[derive(Debug)]
pub struct Job<'a> {
    /// The arm.
    pub arm: Arm,
    /// The trace.
    pub lines: &'a [Line],
    /// Where its paths start.
    pub bases: Bases,
    /// All workers at once; else a line at a time.
    pub concurrent: bool,
    /// Walk the tree after every so many lines; 0 for never. Not with
    /// `concurrent`.
    pub every: u32,
    /// Set the clock before each line: to this second before the first, to that
    /// of a step later before the next, and so on. Not with `concurrent`.
    pub clock: Option<i64>,
}

/// How a trace went on an arm.
#[derive(Debug)]
pub struct Ran {
    /// The arm.
    pub arm: Arm,
    /// Microseconds from the common start to the last worker's end.
    pub micros: u64,
    /// Workers killed by a signal, a sentence each: the kernel's doing.
    pub killed: Vec<String>,
}

/// What comes of a job while it runs.
#[derive(Debug)]
pub enum Event {
    /// A stretch of a worker's outcomes.
    Outcomes {
        /// The worker.
        worker: u16,
        /// Index of the first among the worker's lines.
        first: u32,
        /// The outcomes.
        outcomes: Vec<Outcome>,
    },
    /// The tree, or a piece of it.
    Tree {
        /// How many lines had run.
        after: u32,
        /// What it looked like.
        piece: Snapshot,
    },
}

/// What a worker tells the agent.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Outcomes(Vec<Outcome>),
    Tree { after: u32, piece: Snapshot },
}

/// Takes what comes of a job on an arm.
pub type Sink<'a> = &'a mut dyn FnMut(Arm, Event) -> Result<(), PortError>;

/// Run jobs: those of one track one after the other, the tracks at the same
/// time. Of an arm there is one job at most.
///
/// # Errors
/// [`WorkersError`] and the arm; no worker is left running.
pub fn run(
    tracks: Vec<Vec<Job<'_>>>,
    board: &'static Board,
    sink: Sink<'_>,
) -> Result<Vec<Ran>, (Arm, WorkersError)> {
    let mut waiting: Vec<_> = tracks.into_iter().map(Vec::into_iter).collect();
    // One slot a track.
    let mut running: Vec<Option<Running<'_>>> = waiting.iter().map(|_| None).collect();
    let mut all = Vec::new();
    loop {
        for (slot, jobs) in running.iter_mut().zip(&mut waiting) {
            while slot.as_ref().is_none_or(Running::is_over) {
                if let Some(over) = slot.take() {
                    all.push(over.reap()?);
                }
                let Some(job) = jobs.next() else { break };
                *slot = Some(Running::start(job, board)?);
            }
        }
        if running.iter().all(Option::is_none) {
            all.sort_unstable_by_key(|ran| ran.arm);
            return Ok(all);
        }
        step(&mut running, sink)?;
    }
}

/// Wait until a worker of some job has something to tell, and pass it on.
fn step(running: &mut [Option<Running<'_>>], sink: Sink<'_>) -> Result<(), (Arm, WorkersError)> {
    let open: Vec<_> = (running.iter().enumerate())
        .flat_map(|(slot, job)| {
            let pipes = job.iter().flat_map(Running::pipes);
            pipes.map(move |(worker, file)| (slot, worker, file))
        })
        .collect();
    let mut fds: Vec<_> = open
        .iter()
        .map(|(_, _, file)| PollFd::new(file.as_fd(), PollFlags::POLLIN))
        .collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok(()),
        Err(source) => {
            let arm = running
                .iter()
                .flatten()
                .next()
                .map_or(Arm::Ext4, Running::arm);
            let call = WorkersError::Call {
                call: "poll",
                worker: 0,
                source,
            };
            return Err((arm, call));
        }
        Ok(_) => {}
    }
    let ready: Vec<_> = open
        .iter()
        .zip(&fds)
        .filter(|(_, fd)| fd.any() == Some(true))
        .map(|((slot, worker, _), _)| (*slot, *worker))
        .collect();
    for (slot, worker) in ready {
        if let Some(job) = &mut running[slot] {
            job.take(worker, sink)?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
