//! A finding as a C program: what the case did, and what the reference gave.

mod times;
mod trees;

use lookback_ops::{FileOp, Line, Op, Outcome, StatView, Value};
use lookback_oracle::{Attribute, CaseRun, Difference, OpRef, Stage, reference};
use lookback_report::Finding;
use lookback_reproducer::{Error, Input, c_program};
use lookback_wire::control::CasePlan;

/// S_IFMT and S_IFDIR (inode(7))
const FILE_TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

/// The program that shows `finding`, of a case that went as `run`; `about` are
/// lines for its head.
///
/// # Errors
/// The case does what only the bench can.
pub fn program(
    plan: &CasePlan,
    run: &CaseRun,
    finding: &Finding,
    about: &[String],
) -> Result<String, Error> {
    let difference = finding.difference.as_ref();
    let trace = up_to(plan, difference);
    let expected = match difference {
        Some(difference) => expected(plan, run, difference, trace),
        None => Vec::new(),
    };
    let (trees, mut unknown) = difference.map_or_else(Default::default, |difference| {
        trees::checks(plan, run, difference, trace.len())
    });
    let time = difference.map_or(Ok(None), |difference| {
        times::of_operation(plan, difference, &expected)
    });
    let time = time.unwrap_or_else(|why| {
        unknown = Some(why);
        None
    });
    let mut about = about.to_vec();
    if let (Some(difference), Some(why)) = (difference, unknown) {
        let what = difference.attribute;
        about.extend([String::new(), format!("left out   {what}: {why}")]);
    }
    c_program(&Input {
        title: &finding.title,
        about: &about,
        setup: &plan.setup,
        trace,
        workers: plan.workers,
        expected: &expected,
        times: time.as_slice(),
        trees: &trees,
        own_affairs: difference.is_some_and(|d| is_own_affair(plan, run, d)),
    })
}

/// The trace as far as what differs.
fn up_to<'a>(plan: &'a CasePlan, difference: Option<&Difference>) -> &'a [Line] {
    let length = difference.and_then(|difference| match difference.stage {
        Stage::Trace => Some(position(&plan.trace, difference.op.as_ref()?)? + 1),
        Stage::After(lines) => usize::try_from(lines).ok(),
        Stage::Setup | Stage::Tree(_) => None,
    });
    length
        .and_then(|length| plan.trace.get(..length))
        .unwrap_or(&plan.trace)
}

/// Where in the trace an operation is.
fn position(trace: &[Line], op: &OpRef) -> Option<usize> {
    let mine = (0..)
        .zip(trace)
        .filter(|(_, line)| line.worker == op.worker);
    mine.map(|(position, _)| position).nth(op.index)
}

/// What the reference gave, where it is another arm than the one that differs.
fn expected(
    plan: &CasePlan,
    run: &CaseRun,
    difference: &Difference,
    trace: &[Line],
) -> Vec<Option<Outcome>> {
    let reference = reference(&plan.arms).filter(|arm| *arm != difference.arm);
    let mut next = std::collections::BTreeMap::new();
    let mut outcome = |line: &Line| {
        let index: &mut usize = next.entry(line.worker).or_default();
        *index += 1;
        let list = run.trace.get(&(reference?, line.worker))?;
        list.get(*index - 1).cloned()
    };
    trace.iter().map(&mut outcome).collect()
}

/// Whether what differs is what another file system may do in its own way.
fn is_own_affair(plan: &CasePlan, run: &CaseRun, difference: &Difference) -> bool {
    let is_dir = |stat: &StatView| stat.mode & FILE_TYPE == DIRECTORY;
    let op = difference.op.as_ref();
    let line = op.and_then(|op| plan.trace.get(position(&plan.trace, op)?));
    match difference.attribute {
        Attribute::Blksize | Attribute::Value => true,
        Attribute::Ret | Attribute::Errno => line.is_some_and(|line| {
            matches!(
                line.op.innermost(),
                Op::Lseek { .. } | Op::File(FileOp::Ioctl { .. } | FileOp::Statfs { .. })
            )
        }),
        Attribute::Size | Attribute::Nlink => {
            let outcome = op.and_then(|op| {
                let outcomes = run.trace.get(&(difference.arm, op.worker))?;
                outcomes.get(op.index)
            });
            matches!(outcome, Some(Outcome { value: Value::Stat(stat), .. }) if is_dir(stat))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
