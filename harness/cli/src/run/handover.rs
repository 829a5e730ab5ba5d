//! A finding as a C program: what the case did, and what the reference gave.

use lookback_ops::{
    FileOp, Line, Op, Outcome, StatView, Value,
    tree::{Node, Snapshot},
};
use lookback_oracle::{Attribute, CaseRun, Difference, OpRef, Stage, reference};
use lookback_report::Finding;
use lookback_reproducer::{Error, Input, Must, TreeCheck, c_program};
use lookback_wire::control::{Arm, CasePlan, Phase};

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
    let trees = difference.map_or_else(Vec::new, |d| trees(plan, run, d));
    c_program(&Input {
        title: &finding.title,
        about,
        setup: &plan.setup,
        trace,
        workers: plan.workers,
        expected: &expected,
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

/// What the reference's tree says of the path that differs.
fn trees(plan: &CasePlan, run: &CaseRun, difference: &Difference) -> Vec<TreeCheck> {
    let phase = match difference.stage {
        Stage::Setup | Stage::Trace | Stage::Tree(Phase::Fsck) => return Vec::new(),
        Stage::After(_) => Phase::Warm,
        Stage::Tree(phase) => phase,
    };
    let expected = reference(&plan.arms).and_then(|arm| tree(run, arm, difference.stage));
    let (Some(path), Some(expected)) = (&difference.path, expected) else {
        return Vec::new();
    };
    let find = |tree: &Snapshot| tree.nodes.iter().find(|node| node.path == *path).cloned();
    let seen = tree(run, difference.arm, difference.stage).and_then(find);
    let must = match find(expected) {
        None => Must::BeAbsent,
        Some(node) => must(difference, &node, seen.as_ref()),
    };
    vec![TreeCheck {
        phase,
        path: path.clone(),
        must,
    }]
}

/// The tree of an arm then.
fn tree(run: &CaseRun, arm: Arm, stage: Stage) -> Option<&Snapshot> {
    match stage {
        Stage::Setup | Stage::Trace => None,
        Stage::After(lines) => run.checkpoints.get(&(arm, lines)),
        Stage::Tree(phase) => {
            // Below the reference there is no other tree: its last one stands for it.
            let mut last = run.trees.iter().filter(|((of, _), _)| *of == arm);
            let last = || last.next_back().map(|(_, tree)| tree);
            run.trees.get(&(arm, phase)).or_else(last)
        }
    }
}

/// What `node`, the reference's, says of the attribute that differs.
fn must(difference: &Difference, node: &Node, seen: Option<&Node>) -> Must {
    let stat = &node.stat;
    let listed = !node.path.is_empty();
    match difference.attribute {
        Attribute::Uid => Must::HaveUid(stat.uid),
        Attribute::Gid => Must::HaveGid(stat.gid),
        Attribute::Nlink => Must::HaveNlink(stat.nlink),
        Attribute::Size | Attribute::Length => Must::HaveSize(stat.size),
        Attribute::Rdev => Must::HaveRdev(stat.rdev.0, stat.rdev.1),
        Attribute::Blksize => Must::HaveBlksize(stat.blksize),
        // Where it is not compared with the reference, it is the clock's.
        Attribute::Mtime if difference.reference != difference.arm => {
            Must::HaveMtime(stat.mtime.0, stat.mtime.1)
        }
        Attribute::DType | Attribute::DIno if listed => Must::BeListed(node.d_type),
        Attribute::HardLink if node.first_link != node.path => {
            Must::BeLinkOf(node.first_link.clone(), true)
        }
        Attribute::HardLink => match seen {
            Some(seen) => Must::BeLinkOf(seen.first_link.clone(), false),
            None => Must::HaveNlink(stat.nlink),
        },
        Attribute::Content => match node.digest {
            Some(digest) => Must::HaveContent(stat.size, digest),
            None => Must::HaveSize(stat.size),
        },
        Attribute::Target => match &node.target {
            Some(target) => Must::HaveTarget(target.clone()),
            None => Must::HaveMode(stat.mode),
        },
        // That it is there, and what it is, is the least that can be asked.
        _ => Must::HaveMode(stat.mode),
    }
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
