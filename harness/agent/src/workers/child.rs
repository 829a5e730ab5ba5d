//! The processes of a job: the workers, and whoever walks the tree between
//! their lines.

use std::fs::File;
use std::io::Read;

use lookback_ops::{Outcome, Value};
use lookback_wire::control::{Arm, CLOCK_STEP};
use lookback_wire::frame::write_frame;
use nix::sys::stat::{Mode, umask};

use super::turns::Turns;
use super::{Job, Report};
use crate::board::Board;
use crate::console::say;
use crate::exec::{World, survive_sigbus};
use crate::{clock, pieces, snapshot};

/// A batch goes to the agent when its outcomes weigh this much (an outcome and
/// a directory entry count one each).
const BATCH: usize = 256;
/// Exit status of a process that could not do its job.
pub const BROKEN: i32 = 3;

/// What a process of a job starts from.
pub struct Start<'a> {
    pub job: &'a Job<'a>,
    pub board: &'static Board,
    /// Lines run one at a time, and those of several processes.
    pub turns: Option<Turns>,
    /// Ends for all at once when they may begin.
    pub gate: Option<File>,
    /// To the agent.
    pub out: File,
}

/// Do `work` as a process of its own, whose end is the process's even in a panic.
pub fn run(work: impl FnOnce()) -> ! {
    // The panic hook has said why.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    exit(BROKEN)
}

/// Worker `number`, whose lines are `mine`.
pub fn work(number: u16, mine: &[u32], start: Start<'_>) -> ! {
    let Start {
        job,
        board,
        turns,
        gate,
        mut out,
    } = start;
    crate::panic::in_worker();
    umask(Mode::from_bits_truncate(0o022));
    let lane = board.lane(job.arm);
    let mut world = World::new(job.bases.clone(), board);
    let ready = survive_sigbus()
        .map_err(std::io::Error::from)
        .and_then(|()| await_start(gate));
    if let Err(e) = ready {
        give_up(format!("worker {number} can't start: {e}"));
    }
    let (mut batch, mut weight) = (Vec::new(), 0);
    for &index in mine {
        let Some(line) = job.lines.get(index as usize) else {
            break;
        };
        if let Some(turns) = turns
            && !lane.await_turn(turns.line(index))
        {
            break;
        }
        lane.enter(number, index);
        board.beat();
        if let Some(first) = job.clock
            && let Err(errno) = clock::set(first + i64::from(index) * CLOCK_STEP)
        {
            give_up(format!("worker {number} can't set the clock: {errno}"));
        }
        let outcome = world.run(&line.op);
        if let Some(turns) = turns {
            lane.pass_to(turns.line(index), turns.after_line(index));
        }
        weight += weigh(&outcome);
        batch.push(outcome);
        if weight >= BATCH {
            send(&mut out, Report::Outcomes(std::mem::take(&mut batch)));
            weight = 0;
        }
    }
    if !batch.is_empty() {
        send(&mut out, Report::Outcomes(batch));
    }
    // Descriptors the trace left open are closed before the pipe is.
    drop(world);
    drop(out);
    exit(0)
}

/// Walk the tree whenever it is time.
pub fn walk(turns: Turns, lines: u32, start: Start<'_>) -> ! {
    let Start {
        job,
        board,
        gate,
        mut out,
        ..
    } = start;
    crate::panic::in_worker();
    if let Err(e) = await_start(gate) {
        give_up(format!("the tree can't be walked: {e}"));
    }
    let lane = board.lane(job.arm);
    for after in turns.walks(lines) {
        if !lane.await_turn(turns.walk(after)) {
            break;
        }
        if job.arm != Arm::Plain {
            snapshot::settle(&job.bases.lower);
        }
        for piece in pieces::of(snapshot::take(&job.bases.arm, board)) {
            send(&mut out, Report::Tree { after, piece });
        }
        lane.pass_to(turns.walk(after), turns.line(after));
    }
    drop(out);
    exit(0)
}

fn weigh(outcome: &Outcome) -> usize {
    match &outcome.value {
        Value::Entries(entries) => 1 + entries.len(),
        _ => 1,
    }
}

/// The gate is a pipe nobody writes to: it ends for all workers at once.
fn await_start(gate: Option<File>) -> std::io::Result<()> {
    if let Some(mut gate) = gate {
        gate.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn send(out: &mut File, report: Report) {
    if let Err(e) = write_frame(out, &report) {
        give_up(format!("a worker can't report: {e}"));
    }
}

fn give_up(why: String) -> ! {
    say(why);
    exit(BROKEN)
}

/// End the process without running what the agent registered for its own end.
fn exit(status: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(status) }
}
