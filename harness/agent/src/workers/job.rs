//! A job that runs: its processes, and what they report.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Instant;

use lookback_wire::control::Arm;
use lookback_wire::frame::{FrameError, read_frame};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe};

use super::child::{self, BROKEN, Start};
use super::turns::Turns;
use super::{Event, Job, Ran, Report, Sink, WorkersError};
use crate::board::{Board, Lane, MAX_WORKERS};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Worker(u16),
    Walker,
}

impl Role {
    /// For messages.
    fn number(self) -> u16 {
        match self {
            Role::Worker(number) => number,
            Role::Walker => 0,
        }
    }
}

#[derive(Debug)]
struct Process {
    role: Role,
    pid: Pid,
    /// Closed once the process is through.
    results: Option<File>,
    /// Outcomes or trees received, and how many there are to be.
    received: u32,
    wanted: u32,
}

/// A job and its processes. Dropping it ends them.
#[derive(Debug)]
pub struct Running<'a> {
    job: Job<'a>,
    lane: &'static Lane,
    take_turns: bool,
    processes: Vec<Process>,
    started: Instant,
    micros: u64,
}

impl<'a> Running<'a> {
    /// Start the job's processes, all at once.
    pub fn start(job: Job<'a>, board: &'static Board) -> Result<Self, (Arm, WorkersError)> {
        let arm = job.arm;
        Self::fork_all(job, board).map_err(|error| (arm, error))
    }

    fn fork_all(job: Job<'a>, board: &'static Board) -> Result<Self, WorkersError> {
        let mut by_worker: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        for (index, line) in (0..).zip(job.lines) {
            by_worker.entry(line.worker).or_default().push(index);
        }
        if let Some((&last, _)) = by_worker.last_key_value()
            && usize::from(last) >= MAX_WORKERS
        {
            return Err(WorkersError::TooMany(last));
        }
        let lines = u32::try_from(job.lines.len()).unwrap_or(u32::MAX);
        let turns = Turns::new(if job.concurrent { 0 } else { job.every });
        let walks = u32::try_from(turns.walks(lines).count()).unwrap_or(u32::MAX);
        let take_turns = !job.concurrent && (by_worker.len() > 1 || walks > 0);
        let lane = board.lane(job.arm);
        lane.reset();

        let mut roles: Vec<(Role, Vec<u32>)> = by_worker
            .into_iter()
            .map(|(number, mine)| (Role::Worker(number), mine))
            .collect();
        if walks > 0 {
            roles.push((Role::Walker, Vec::new()));
        }
        let mut running = Running {
            job,
            lane,
            take_turns,
            processes: Vec::new(),
            started: Instant::now(),
            micros: 0,
        };
        let (gate, opener) = pipe().map_err(call("pipe", 0))?;
        let mut gate = Some(File::from(gate));
        let mut opener = Some(opener);
        for (role, mine) in roles {
            let number = role.number();
            let (results, out) = pipe().map_err(call("pipe", number))?;
            // SAFETY: the agent has one thread.
            match unsafe { fork() }.map_err(call("fork", number))? {
                ForkResult::Child => {
                    opener.take();
                    drop(results);
                    let start = Start {
                        job: &running.job,
                        board,
                        turns: take_turns.then_some(turns),
                        gate: gate.take(),
                        out: File::from(out),
                    };
                    child::run(|| match role {
                        Role::Worker(number) => child::work(number, &mine, start),
                        Role::Walker => child::walk(turns, lines, start),
                    })
                }
                ForkResult::Parent { child } => running.processes.push(Process {
                    role,
                    pid: child,
                    results: Some(File::from(results)),
                    received: 0,
                    wanted: match role {
                        Role::Worker(_) => u32::try_from(mine.len()).unwrap_or(u32::MAX),
                        Role::Walker => walks,
                    },
                }),
            }
        }
        running.started = Instant::now();
        opener.take();
        Ok(running)
    }

    /// The arm.
    pub fn arm(&self) -> Arm {
        self.job.arm
    }

    /// Every process has closed its pipe.
    pub fn is_over(&self) -> bool {
        self.processes.iter().all(|it| it.results.is_none())
    }

    /// The pipes that may still carry something, by process.
    pub fn pipes(&self) -> impl Iterator<Item = (usize, &File)> {
        let pipes = self.processes.iter().map(|it| it.results.as_ref());
        pipes.enumerate().filter_map(|(i, file)| Some((i, file?)))
    }

    /// Take one report of a process whose pipe has something, or its end.
    pub fn take(&mut self, process: usize, sink: Sink<'_>) -> Result<(), (Arm, WorkersError)> {
        let arm = self.job.arm;
        self.read(process, sink).map_err(|error| (arm, error))
    }

    fn read(&mut self, process: usize, sink: Sink<'_>) -> Result<(), WorkersError> {
        let arm = self.job.arm;
        let Some(process) = self.processes.get_mut(process) else {
            return Ok(());
        };
        let Some(file) = &mut process.results else {
            return Ok(());
        };
        let worker = process.role.number();
        match read_frame::<Report>(file) {
            Ok(Some(Report::Outcomes(outcomes))) => {
                let first = process.received;
                process.received += u32::try_from(outcomes.len()).unwrap_or(0);
                sink(
                    arm,
                    Event::Outcomes {
                        worker,
                        first,
                        outcomes,
                    },
                )?;
            }
            Ok(Some(Report::Tree { after, piece })) => {
                process.received = after / self.job.every.max(1);
                sink(arm, Event::Tree { after, piece })?;
            }
            // Killed in the middle of a batch: the exit status tells.
            Ok(None) | Err(FrameError::Truncated { .. }) => {
                process.results = None;
                if self.take_turns && process.received < process.wanted {
                    self.lane.abandon();
                }
                if self.is_over() {
                    let took = self.started.elapsed().as_micros();
                    self.micros = u64::try_from(took).unwrap_or(u64::MAX);
                }
            }
            Err(source) => return Err(WorkersError::Pipe { worker, source }),
        }
        Ok(())
    }

    /// Wait for the processes of a job that is over.
    pub fn reap(mut self) -> Result<Ran, (Arm, WorkersError)> {
        let arm = self.job.arm;
        let mut ran = Ran {
            arm,
            micros: self.micros,
            killed: Vec::new(),
        };
        let mut result = Ok(());
        for process in std::mem::take(&mut self.processes) {
            match self.await_end(&process) {
                Ok(None) => {}
                Ok(Some(death)) => ran.killed.push(death),
                Err(e) => result = Err((arm, e)),
            }
        }
        result.map(|()| ran)
    }

    fn await_end(&self, process: &Process) -> Result<Option<String>, WorkersError> {
        let number = process.role.number();
        let status = waitpid(process.pid, None).map_err(call("waitpid", number))?;
        if let WaitStatus::Exited(_, 0) = status {
            return Ok(None);
        }
        let at = match process.role {
            Role::Worker(number) => self.lane.position(number),
            Role::Walker => (process.received + 1) * self.job.every,
        };
        let line = at.checked_sub(1);
        let line = line.and_then(|index| self.job.lines.get(index as usize));
        let text = line.map(ToString::to_string).unwrap_or_default();
        match (status, process.role) {
            (WaitStatus::Signaled(_, signal, _), Role::Worker(_)) => Ok(Some(format!(
                "worker {number} was killed by {signal} at line {at}: {text}"
            ))),
            (WaitStatus::Signaled(_, signal, _), Role::Walker) => Ok(Some(format!(
                "walking the tree after line {at} ({text}) was killed by {signal}"
            ))),
            (_, Role::Walker) => Err(WorkersError::NotWalked { line: at }),
            (status, Role::Worker(_)) => Err(WorkersError::Ended {
                worker: number,
                status: match status {
                    WaitStatus::Exited(_, status) => status,
                    _ => BROKEN,
                },
                line: at,
            }),
        }
    }
}

impl Drop for Running<'_> {
    /// Of a job that can't go on.
    fn drop(&mut self) {
        for process in &self.processes {
            // One that is gone already is waited for all the same.
            let _ = kill(process.pid, Signal::SIGKILL);
            let _ = waitpid(process.pid, None);
        }
    }
}

fn call(call: &'static str, worker: u16) -> impl Fn(Errno) -> WorkersError {
    move |source| WorkersError::Call {
        call,
        worker,
        source,
    }
}
