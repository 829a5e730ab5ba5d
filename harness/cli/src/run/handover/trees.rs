//! What the reference's tree says of the path that differs.

use std::collections::BTreeSet;

use lookback_ops::tree::{Node, Snapshot, Told, Xattr};
use lookback_oracle::{Attribute, CaseRun, Difference, Stage, is_acl, reference};
use lookback_reproducer::{Must, Stamp, TreeCheck};
use lookback_wire::control::{Arm, CasePlan, Phase};

use super::times::{Unknown, stamp, when};

/// What a program is to ask of the tree after `lines` of the trace, and why it
/// does not ask for the time that differs.
pub fn checks(
    plan: &CasePlan,
    run: &CaseRun,
    difference: &Difference,
    lines: usize,
) -> (Vec<TreeCheck>, Option<Unknown>) {
    let phase = match difference.stage {
        Stage::Setup | Stage::Trace | Stage::Tree(Phase::Fsck) => return (Vec::new(), None),
        Stage::After(_) => Phase::Warm,
        Stage::Tree(phase) => phase,
    };
    let expected = reference(&plan.arms).and_then(|arm| tree(run, arm, difference.stage));
    let (Some(path), Some(expected)) = (&difference.path, expected) else {
        return (Vec::new(), None);
    };
    let find = |tree: &Snapshot| tree.nodes.iter().find(|node| node.path == *path).cloned();
    let seen = tree(run, difference.arm, difference.stage).and_then(find);
    let (musts, unknown) = match find(expected) {
        None => (vec![Must::BeAbsent], None),
        Some(node) => match stamp(difference.attribute) {
            Some(stamp) => time(plan, difference, &node, stamp, lines),
            None => (musts(difference, &node, seen.as_ref()), None),
        },
    };
    let check = |must| TreeCheck {
        phase,
        path: path.clone(),
        must,
    };
    (musts.into_iter().map(check).collect(), unknown)
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

/// That it is there, and what it is: the least that can be asked.
fn least(node: &Node) -> Must {
    Must::HaveMode(node.stat.mode)
}

/// A time of `node`, the reference's.
fn time(
    plan: &CasePlan,
    difference: &Difference,
    node: &Node,
    stamp: Stamp,
    lines: usize,
) -> (Vec<Must>, Option<Unknown>) {
    let time = match stamp {
        Stamp::Atime => node.stat.atime,
        Stamp::Mtime => node.stat.mtime,
        Stamp::Ctime => node.stat.ctime,
    };
    match when(plan, difference, (stamp, time), lines) {
        Ok(when) => (vec![Must::HaveTime(stamp, when)], None),
        Err(unknown) => (vec![least(node)], Some(unknown)),
    }
}

/// What `node`, the reference's, says of the attribute that differs.
fn musts(difference: &Difference, node: &Node, seen: Option<&Node>) -> Vec<Must> {
    let stat = &node.stat;
    let listed = !node.path.is_empty();
    let must = match difference.attribute {
        Attribute::Xattr => return xattrs(node, seen, |name| !is_acl(name)),
        Attribute::Acl => return xattrs(node, seen, is_acl),
        Attribute::Uid => Must::HaveUid(stat.uid),
        Attribute::Gid => Must::HaveGid(stat.gid),
        Attribute::Nlink => Must::HaveNlink(stat.nlink),
        Attribute::Size | Attribute::Length => Must::HaveSize(stat.size),
        Attribute::Rdev => Must::HaveRdev(stat.rdev.0, stat.rdev.1),
        Attribute::Blksize => Must::HaveBlksize(stat.blksize),
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
            None => least(node),
        },
        Attribute::Blocks => Must::HaveBlocks(node.blocks),
        Attribute::Extents => match &node.extents {
            Some(extents) => Must::HaveExtents(extents.clone()),
            None => least(node),
        },
        Attribute::Flags => match node.flags {
            Some(flags) => Must::HaveFlags(flags),
            None => least(node),
        },
        _ => least(node),
    };
    vec![must]
}

/// Of the extended attributes `of` some kind, those whose values differ; and
/// the list of names, if that does: where it does not, it would only tell of
/// the labels another machine may have on each of its files.
fn xattrs(node: &Node, seen: Option<&Node>, of: impl Fn(&str) -> bool) -> Vec<Must> {
    let Some(expected) = listed(node) else {
        return vec![least(node)];
    };
    let seen = seen.and_then(listed).unwrap_or_default();
    let all = expected.iter().chain(seen);
    let names: BTreeSet<&str> = all.map(|xattr| xattr.name.as_str()).collect();
    let names = || names.iter().copied().filter(|name| of(name));
    let mut musts = Vec::new();
    let there = |name| value(expected, name).is_some();
    if names().any(|name| there(name) != value(seen, name).is_some()) {
        let all = expected.iter().map(|xattr| xattr.name.clone());
        musts.push(Must::HaveXattrs(all.collect()));
    }
    for name in names() {
        let must = value(expected, name);
        if must != value(seen, name) {
            let must = must.unwrap_or(Err(libc::ENODATA));
            musts.push(Must::HaveXattr(name.to_owned(), must));
        }
    }
    if musts.is_empty() {
        musts.push(least(node));
    }
    musts
}

/// The extended attributes of a node whose names could be read.
fn listed(node: &Node) -> Option<&[Xattr]> {
    let names = node.xattrs.as_ref()?.as_ref();
    names.ok().map(Vec::as_slice)
}

fn value(xattrs: &[Xattr], name: &str) -> Option<Told<(u64, u64)>> {
    let found = xattrs.iter().find(|xattr| xattr.name == name);
    found.map(|xattr| xattr.value)
}
