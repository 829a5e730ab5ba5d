//! Which lines may have to do with one.

use std::collections::BTreeSet;

use crate::op::{Base, Kept, Line, Op, Path};

/// Something two lines can share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// A path, whichever way it is reached.
    Path(String),
    /// What a worker keeps under a number.
    Kept(u16, Kept, u16),
}

/// Ever larger guesses at the lines that the one at `target` needs, as
/// indices in order, `target` always among them: first those that share a
/// name with it, or make a directory above one, then those that share one with
/// these, and so on until nothing is added.
///
/// A guess, since what a file system does may depend on anything.
#[must_use]
pub fn slices(lines: &[Line], target: usize) -> Vec<Vec<usize>> {
    let Some(line) = lines.get(target) else {
        return Vec::new();
    };
    let all: Vec<BTreeSet<Name>> = lines.iter().map(names).collect();
    let known: BTreeSet<Name> = all.iter().cloned().flat_map(with_parents).collect();
    let mut wanted = with_parents(names(line));
    let mut slices: Vec<Vec<usize>> = vec![vec![target]];
    loop {
        let touching: Vec<usize> = all
            .iter()
            .enumerate()
            .filter(|(index, names)| *index == target || !names.is_disjoint(&wanted))
            .map(|(index, _)| index)
            .collect();
        if slices.last() == Some(&touching) {
            return slices;
        }
        for &index in &touching {
            wanted.extend(with_parents(all[index].clone()));
        }
        for &index in touching.iter().rev() {
            let before = before_the_move(&lines[index].op, &wanted);
            // What no line names leads nowhere, and a directory that is moved
            // into itself would have no end of names.
            wanted.extend(before.into_iter().filter(|name| known.contains(name)));
        }
        slices.push(touching);
    }
}

fn names(line: &Line) -> BTreeSet<Name> {
    let paths = line.op.paths().into_iter().filter_map(of_path);
    let numbers = line.op.numbers().into_iter();
    let kept = numbers.map(|(kept, number)| Name::Kept(line.worker, kept, number));
    paths.chain(kept).collect()
}

fn of_path(path: &Path) -> Option<Name> {
    match path.base {
        // Where it is nobody knows before it has run.
        Base::Slot(_) => None,
        Base::Arm | Base::Lower => Some(Name::Path(path.rel.clone())),
        base @ (Base::Outside | Base::Root) => Some(Name::Path(format!("{base:?}/{}", path.rel))),
    }
}

/// What paths below a directory that is moved were called before.
fn before_the_move(op: &Op, wanted: &BTreeSet<Name>) -> Vec<Name> {
    let Op::Rename { old, new, .. } = op else {
        return Vec::new();
    };
    let moved = |name: &Name| match name {
        Name::Path(path) => {
            let rest = path.strip_prefix(&new.rel)?;
            (rest.starts_with('/')).then(|| Name::Path(format!("{}{rest}", old.rel)))
        }
        Name::Kept(..) => None,
    };
    wanted.iter().filter_map(moved).collect()
}

/// With the directories that paths lie in; that of the case is always there.
fn with_parents(names: BTreeSet<Name>) -> BTreeSet<Name> {
    let mut all = names.clone();
    for name in names {
        let Name::Path(path) = name else { continue };
        let mut rest = path.as_str();
        while let Some((parent, _)) = rest.rsplit_once('/') {
            all.insert(Name::Path(parent.to_owned()));
            rest = parent;
        }
    }
    all
}
