//! Whose a time is, for a program that knows its lines alone.
//!
//! In the guest the clock is a step further with each line, and with each walk
//! of a tree ([`CLOCK_BASE`]).

use lookback_ops::{Line, Op, Outcome, Value};
use lookback_oracle::{Attribute, Difference, Stage};
use lookback_reproducer::{OpTime, Stamp, When};
use lookback_wire::control::{ATIME_DAY, Arm, CLOCK_BASE, CLOCK_STEP, CasePlan};
use thiserror::Error;

/// Why the program can't say whose a time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unknown {
    /// One arm is compared with itself.
    #[error("it changed between two phases of one arm, and which line took it did not")]
    Phases,
    /// Nobody stepped the clock.
    #[error("workers run at once, so that it is no one line's")]
    AtOnce,
    /// The reference's times are another kernel's.
    #[error("the host of the server took it")]
    Host,
    /// It is later than all lines.
    #[error("a walk of the tree took it, and the program has none")]
    Walk,
    /// Trees were walked between lines, and before.
    #[error("walks of the tree between the lines may have set it, and the program has none")]
    Walked,
    /// Lines are further apart there.
    #[error("a day went by between the lines, after which reading sets it again")]
    Day,
    /// Times that are in the future there are in the past here.
    #[error("the trace sets times that lay ahead of the clock there")]
    Ahead,
}

/// Which time an attribute is.
pub fn stamp(attribute: Attribute) -> Option<Stamp> {
    match attribute {
        Attribute::Atime => Some(Stamp::Atime),
        Attribute::Mtime => Some(Stamp::Mtime),
        Attribute::Ctime => Some(Stamp::Ctime),
        _ => None,
    }
}

/// The time that differs in what the last of `expected` gave; none if it is
/// something else that does.
///
/// # Errors
/// Nobody knows whose it is.
pub fn of_operation(
    plan: &CasePlan,
    difference: &Difference,
    expected: &[Option<Outcome>],
) -> Result<Option<OpTime>, Unknown> {
    let last = expected.last().and_then(Option::as_ref);
    let stamp = stamp(difference.attribute).filter(|_| difference.op.is_some());
    let (Some(stamp), Stage::Trace, Some(outcome)) = (stamp, difference.stage, last) else {
        return Ok(None);
    };
    let Value::Stat(stat) = &outcome.value else {
        return Ok(None);
    };
    let time = match stamp {
        Stamp::Atime => stat.atime,
        Stamp::Mtime => stat.mtime,
        Stamp::Ctime => stat.ctime,
    };
    Ok(Some(OpTime {
        index: expected.len() - 1,
        stamp,
        when: when(plan, difference, (stamp, time), expected.len())?,
    }))
}

/// Whose `time` is, which the reference had when `lines` of the trace had run.
///
/// # Errors
/// Nobody knows.
pub fn when(
    plan: &CasePlan,
    difference: &Difference,
    (stamp, time): (Stamp, (i64, u32)),
    lines: usize,
) -> Result<When, Unknown> {
    let reads = stamp == Stamp::Atime;
    if reads && sets_ahead(plan) {
        return Err(Unknown::Ahead);
    }
    if stamp != Stamp::Ctime && set(plan).any(|set| set == time) {
        return Ok(When::Set(time.0, time.1));
    }
    if difference.reference == difference.arm {
        return Err(Unknown::Phases);
    }
    if !plan.steps_clock() {
        return Err(Unknown::AtOnce);
    }
    if difference.reference == Arm::Plain {
        return Err(Unknown::Host);
    }
    let step = time.0.saturating_sub(CLOCK_BASE).div_euclid(CLOCK_STEP);
    // Before the first line is the setup.
    let line = usize::try_from(step).map_or(0, |index| index.saturating_add(1));
    if line > lines {
        return Err(Unknown::Walk);
    }
    if reads && walked(plan, difference.stage, lines, line) {
        return Err(Unknown::Walked);
    }
    if reads && takes_a_day(plan, lines) {
        return Err(Unknown::Day);
    }
    Ok(When::Line(line))
}

/// Times the case sets.
fn set(plan: &CasePlan) -> impl Iterator<Item = (i64, u32)> {
    let lines = plan.setup.iter().chain(&plan.trace);
    let times = |line: &Line| match line.op.innermost() {
        Op::Utimens { atime, mtime, .. } => Some([*atime, *mtime]),
        _ => None,
    };
    lines.filter_map(times).flatten()
}

/// Second at which the case's directory was made.
fn first_second(plan: &CasePlan) -> i64 {
    plan.setup_second(0) - CLOCK_STEP
}

/// Whether a time the case sets is not long ago for the guest, whose clock is
/// years behind the program's: what reading makes of it is then another thing.
fn sets_ahead(plan: &CasePlan) -> bool {
    set(plan).any(|(second, _)| second > first_second(plan) - ATIME_DAY)
}

/// Whether reading the tree may have set the access time of `line`, or kept a
/// line from setting it. The walks of the phases come after the lines.
fn walked(plan: &CasePlan, stage: Stage, lines: usize, line: usize) -> bool {
    let every = usize::try_from(plan.every).unwrap_or(usize::MAX);
    match stage {
        _ if every == 0 => false,
        // The walk itself reads a file by its first name before it looks at the next.
        Stage::After(_) => lines > every || line == lines,
        // That of an operation comes before the walk after it.
        Stage::Trace => lines > every,
        Stage::Setup | Stage::Tree(_) => lines >= every,
    }
}

/// Whether an access time may have been a day old.
fn takes_a_day(plan: &CasePlan, lines: usize) -> bool {
    let lines = i64::try_from(lines).unwrap_or(i64::MAX);
    let now = CLOCK_BASE.saturating_add(lines.saturating_mul(CLOCK_STEP));
    now - first_second(plan) >= ATIME_DAY
}

#[cfg(test)]
mod tests;
