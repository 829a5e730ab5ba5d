//! A number for everything that is the same whenever a case is run again.
//!
//! Two runs of one plan on one kernel have the same digests, so that a digest
//! that differs is the news of a run without its data. What is left out:
//!
//! - inode numbers and the numbers of open files, which are whatever was free;
//! - of times all but the line that set them, and even that where no clock was
//!   set or the times are the host's, unless the trace set them;
//! - st_blocks of a file, which counts the blocks of its extent tree: how many
//!   those are follows from where on disk there was room, while the extents
//!   themselves say what the file holds;
//! - on `plain` what [`LEGITIMATE`](crate::LEGITIMATE) leaves to the server's
//!   file system, which need not be the same one the next time.

use std::collections::BTreeMap;

use lookback_ops::{
    Line, Op, Outcome, StatView, Value, Whence, attrs,
    tree::{Extent, Node, Snapshot, Told, Xattr},
};
use lookback_wire::control::{Arm, CasePlan, Phase, Workers};
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    collect::CaseRun,
    difference::Stage,
    judge,
    times::{Lasting, Times},
};

/// Name of the digest of the trace's outcomes.
const TRACE: &str = "trace";

/// Type bits of a directory, as `st_mode >> 12` has them.
const DIRECTORY: u32 = 0o04;

/// XXH3-64, in hexadecimal, of each arm's outcomes (`trace`) and of each of its
/// trees (`warm`, `after 2000`). None where workers run free: nothing is the same
/// again.
#[must_use]
pub fn digests(plan: &CasePlan, run: &CaseRun) -> BTreeMap<Arm, BTreeMap<String, String>> {
    if plan.workers == Workers::Free {
        return BTreeMap::new();
    }
    let times = Times::of(plan);
    plan.arms
        .iter()
        .map(|&arm| {
            let view = View { arm, times: &times };
            let mut digests = BTreeMap::from([(TRACE.to_owned(), view.trace(plan, run))]);
            let named = |stage: Stage, tree| (stage.to_string(), view.tree(tree));
            let phases = run.trees.range((arm, Phase::Warm)..=(arm, Phase::Fsck));
            digests.extend(phases.map(|((_, phase), tree)| named(Stage::Tree(*phase), tree)));
            let between = run.checkpoints.range((arm, 0)..=(arm, u32::MAX));
            digests.extend(between.map(|((_, lines), tree)| named(Stage::After(*lines), tree)));
            (arm, digests)
        })
        .collect()
}

/// An outcome, less what changes from run to run.
#[derive(Serialize)]
struct Did<'a> {
    ended: Option<(i32, Option<i64>)>,
    step: &'a str,
    gave: Gave<'a>,
}

#[derive(Serialize)]
enum Gave<'a> {
    Stat(Status),
    Other(&'a Value),
}

/// Stat data, less what changes from run to run.
#[derive(Serialize)]
struct Status {
    mode: u32,
    owner: (u32, u32),
    nlink: Option<u64>,
    size: Option<u64>,
    rdev: (u32, u32),
    blksize: Option<u64>,
    times: [Option<Lasting>; 3],
}

/// A node, less what changes from run to run.
#[derive(Serialize)]
struct Name<'a> {
    path: &'a str,
    status: Status,
    d_type: u8,
    ino_agrees: bool,
    first_link: &'a str,
    digest: Option<u64>,
    target: Option<&'a str>,
    error: Option<&'a (String, i32)>,
    blocks: Option<u64>,
    flags: Option<Told<u32>>,
    extents: Option<Told<&'a [Extent]>>,
    xattrs: Option<Told<&'a [Xattr]>>,
}

/// What counts on one arm.
struct View<'a> {
    arm: Arm,
    times: &'a Times,
}

impl View<'_> {
    fn trace(&self, plan: &CasePlan, run: &CaseRun) -> String {
        let lines = judge::indexed(&plan.trace);
        hash(lines.map(|(line, index)| {
            let outcomes = run.trace.get(&(self.arm, line.worker));
            outcomes
                .and_then(|list| list.get(index))
                .map(|outcome| self.outcome(line, outcome))
        }))
    }

    fn outcome<'a>(&self, line: &Line, outcome: &'a Outcome) -> Did<'a> {
        let op = line.op.innermost();
        let opened = matches!(op, Op::Open { .. }) && outcome.ret >= 0;
        let hosts = self.of_host()
            && matches!(
                op,
                Op::Lseek {
                    whence: Whence::Data | Whence::Hole | Whence::End,
                    ..
                }
            );
        Did {
            ended: (!hosts).then_some((outcome.errno, (!opened).then_some(outcome.ret))),
            step: &outcome.step,
            gave: match &outcome.value {
                Value::Stat(stat) => Gave::Stat(self.status(stat, Some(op))),
                other => Gave::Other(other),
            },
        }
    }

    fn tree(&self, tree: &Snapshot) -> String {
        let mut nodes: Vec<&Node> = tree.nodes.iter().collect();
        nodes.sort_by(|a, b| a.path.cmp(&b.path));
        hash(nodes.into_iter().map(|node| self.node(node)))
    }

    fn node<'a>(&self, node: &'a Node) -> Name<'a> {
        let ours = !self.of_host();
        let flags = |told: Told<u32>| told.map(|bits| bits & attrs::settable());
        Name {
            path: &node.path,
            status: self.status(&node.stat, None),
            d_type: node.d_type,
            ino_agrees: node.d_ino == node.stat.ino,
            first_link: &node.first_link,
            digest: node.digest,
            target: node.target.as_deref(),
            error: node.error.as_ref(),
            blocks: (ours && node.extents.is_none()).then_some(node.blocks),
            flags: node.flags.map(flags).filter(|_| ours),
            extents: node.extents.as_ref().map(as_slice).filter(|_| ours),
            xattrs: node.xattrs.as_ref().map(as_slice),
        }
    }

    fn status(&self, stat: &StatView, op: Option<&Op>) -> Status {
        let own = !self.of_host();
        let counted = own || stat.mode >> 12 != DIRECTORY;
        let lasting = |time| self.times.lasting(self.arm, op, time);
        Status {
            mode: stat.mode,
            owner: (stat.uid, stat.gid),
            nlink: counted.then_some(stat.nlink),
            size: counted.then_some(stat.size),
            rdev: stat.rdev,
            blksize: own.then_some(stat.blksize),
            times: [
                lasting(stat.atime).filter(|_| own),
                lasting(stat.mtime),
                lasting(stat.ctime),
            ],
        }
    }

    /// What a file system's own is, is the server's.
    fn of_host(&self) -> bool {
        self.arm == Arm::Plain
    }
}

fn as_slice<T>(told: &Told<Vec<T>>) -> Told<&[T]> {
    told.as_deref().map_err(|errno| *errno)
}

fn hash<T: Serialize>(parts: impl Iterator<Item = T>) -> String {
    let mut hash = Xxh3::new();
    for part in parts {
        // postcard writes each value in one way alone, and values of one type
        // one after the other can be told apart. It fails on what has no
        // length, of which there is nothing here.
        match postcard::to_stdvec(&part) {
            Ok(bytes) => hash.update(&bytes),
            Err(_) => unreachable!("plain data has an encoding"),
        }
    }
    format!("{:016x}", hash.digest())
}

#[cfg(test)]
mod tests;
