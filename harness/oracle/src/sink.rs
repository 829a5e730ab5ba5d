//! Where differences go: into the list, or to the account of a legitimate one.

use std::collections::BTreeMap;

use lookback_ops::{Line, MountOp, Op, StatView, tree::Node};
use lookback_wire::control::{Arm, CasePlan};

use crate::{
    difference::{Attribute, Difference, OpRef, Stage},
    legitimate::{Candidate, LEGITIMATE},
};

/// Where a comparison stands: which arm, against which, when, in what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub stage: Stage,
    pub arm: Arm,
    pub reference: Arm,
    pub op: Option<(&'a Line, usize)>,
    pub path: Option<&'a str>,
    pub stats: Option<(&'a StatView, &'a StatView)>,
    pub nodes: Option<(&'a Node, &'a Node)>,
    pub xattr: Option<&'a str>,
}

impl<'a> At<'a> {
    /// In the trees of `stage`, or in all of it.
    pub fn of(stage: Stage, arm: Arm, reference: Arm) -> Self {
        Self {
            stage,
            arm,
            reference,
            op: None,
            path: None,
            stats: None,
            nodes: None,
            xattr: None,
        }
    }

    pub fn path(self, path: &'a str) -> Self {
        Self {
            path: Some(path),
            ..self
        }
    }

    /// Two trees' nodes of one path.
    pub fn nodes(self, expected: &'a Node, actual: &'a Node) -> Self {
        Self {
            nodes: Some((expected, actual)),
            ..self.stats(&expected.stat, &actual.stat)
        }
    }

    /// An extended attribute of the path.
    pub fn xattr(self, name: &'a str) -> Self {
        Self {
            xattr: Some(name),
            ..self
        }
    }

    pub fn stats(self, expected: &'a StatView, actual: &'a StatView) -> Self {
        Self {
            stats: Some((expected, actual)),
            ..self
        }
    }
}

/// Takes differences as they are found.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    case: &'a str,
    mounted: Vec<&'a str>,
    starved: Vec<&'a str>,
    pub found: Vec<Difference>,
    pub excused: BTreeMap<&'static str, u64>,
}

impl<'a> Sink<'a> {
    pub fn new(plan: &'a CasePlan) -> Self {
        Self {
            case: &plan.id,
            mounted: left_mounted(&plan.trace),
            starved: starved(&plan.trace),
            found: Vec::new(),
            excused: BTreeMap::new(),
        }
    }

    /// A difference between what the reference and the arm say.
    pub fn add(&mut self, at: At<'_>, attribute: Attribute, expected: String, actual: String) {
        let difference = Difference {
            case: self.case.to_owned(),
            stage: at.stage,
            also: Vec::new(),
            arm: at.arm,
            reference: at.reference,
            op: at.op.map(|(line, index)| op_ref(line, index)),
            path: at.path.map(str::to_owned),
            attribute,
            expected,
            actual,
        };
        let candidate = Candidate {
            difference: &difference,
            op: at.op.map(|(line, _)| line.op.innermost()),
            stats: at.stats,
            nodes: at.nodes,
            xattr: at.xattr,
            covered: at.op.is_none()
                && at
                    .path
                    .is_some_and(|path| self.mounted.iter().any(|m| is_under(path, m))),
            starved: at.path.is_some_and(|path| self.starved.contains(&path)),
        };
        match LEGITIMATE.iter().find(|entry| (entry.applies)(&candidate)) {
            Some(entry) => *self.excused.entry(entry.id).or_default() += 1,
            None => self.found.push(difference),
        }
    }

    /// A difference only if the two are unequal.
    pub fn compare<T: PartialEq>(
        &mut self,
        at: At<'_>,
        attribute: Attribute,
        expected: &T,
        actual: &T,
        show: impl Fn(&T) -> String,
    ) {
        if expected != actual {
            self.add(at, attribute, show(expected), show(actual));
        }
    }
}

fn op_ref(line: &Line, index: usize) -> OpRef {
    OpRef {
        worker: line.worker,
        index,
        name: name(&line.op),
        text: line.op.to_string(),
    }
}

/// The operation's word; a wrapper's stands before that of what it runs, as in
/// `eachalloc.stat`.
fn name(op: &Op) -> String {
    let text = op.to_string();
    let word = text.split(' ').next().unwrap_or_default();
    match op {
        Op::Repeat { op, .. } | Op::EachAlloc { op, .. } => format!("{word}.{}", name(op)),
        _ => word.to_owned(),
    }
}

fn is_under(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the trace works on while allocations fail.
fn starved(trace: &[Line]) -> Vec<&str> {
    let lines = trace.iter();
    let starving = lines.filter(|line| matches!(line.op, Op::EachAlloc { .. }));
    let paths = starving.flat_map(|line| line.op.paths());
    paths.map(|path| path.rel.as_str()).collect()
}

/// Directories the trace mounts something on and does not unmount.
fn left_mounted(trace: &[Line]) -> Vec<&str> {
    let mut mounted: Vec<&str> = Vec::new();
    for line in trace {
        match &line.op {
            Op::MountTmpfs { path } | Op::Mount(MountOp::Bind { on: path, .. }) => {
                mounted.push(&path.rel);
            }
            Op::Umount { path } => {
                if let Some(last) = mounted.iter().rposition(|m| *m == path.rel) {
                    mounted.remove(last);
                }
            }
            _ => {}
        }
    }
    mounted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("d", "d", true)]
    #[case("d/e", "d", true)]
    #[case("de", "d", false)]
    #[case("d", "d/e", false)]
    fn under(#[case] path: &str, #[case] directory: &str, #[case] expected: bool) {
        assert_eq!(is_under(path, directory), expected);
    }
}
