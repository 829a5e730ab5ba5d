//! Simpler names.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Line, Op, Part, Path};

/// A setup and a trace.
type Both = (Vec<Line>, Vec<Line>);

/// Setup and trace with simpler names, the simplest first: every component of
/// a path named by a letter, in the order in which they turn up; then one at a
/// time; then each directory left out, what is in it being in the one above.
/// The paths of each are shorter in all, or as long and earlier in the alphabet.
#[must_use]
pub fn names(setup: &[Line], trace: &[Line]) -> Vec<Both> {
    let both = [setup, trace];
    let components = components(&both);
    let letters = letters(&components);
    let mut all: Vec<Both> = Vec::new();
    let in_order = components.iter().cloned().zip(alphabet()).collect();
    let tidy = rename(&both, &in_order);
    let all_have_one = in_order.len() == components.len();
    if all_have_one && weight([&tidy.0, &tidy.1]) < weight(both) {
        all.push(tidy);
    }
    for (old, new) in &letters {
        let one = BTreeMap::from([(old.clone(), new.clone())]);
        all.push(rename(&both, &one));
    }
    for directory in directories(&both) {
        all.push((without(setup, &directory), without(trace, &directory)));
    }
    all
}

fn paths(lines: &[Line]) -> Vec<Path> {
    let paths = lines.iter().flat_map(|line| line.op.paths());
    paths.cloned().collect()
}

/// How long all paths are, then what they are.
fn weight(both: [&[Line]; 2]) -> (usize, Vec<String>) {
    let paths = both.into_iter().flat_map(paths);
    let all: Vec<String> = paths.map(|path| path.rel).collect();
    (all.iter().map(|rel| rel.chars().count()).sum(), all)
}

fn alphabet() -> impl Iterator<Item = String> {
    ('a'..='z').map(String::from)
}

/// Every component, in the order in which they turn up.
fn components(both: &[&[Line]; 2]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for path in both.iter().flat_map(|lines| paths(lines)) {
        for name in path.rel.split('/').filter(|name| !name.is_empty()) {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
    }
    all
}

/// A letter nobody has for each name that is longer, as long as there are some.
fn letters(components: &[String]) -> BTreeMap<String, String> {
    let taken: BTreeSet<&str> = components.iter().map(String::as_str).collect();
    let free = alphabet().filter(|letter| !taken.contains(letter.as_str()));
    let long = components.iter().filter(|name| name.chars().count() > 1);
    long.cloned().zip(free).collect()
}

fn rename([setup, trace]: &[&[Line]; 2], map: &BTreeMap<String, String>) -> Both {
    let renamed = |text: &str| {
        let names = text.split('/');
        let names: Vec<&str> = names
            .map(|name| map.get(name).map_or(name, String::as_str))
            .collect();
        names.join("/")
    };
    let line = |line: &Line| {
        let mut line = line.clone();
        for part in line.op.parts() {
            if let Part::Path(path) = part {
                path.rel = renamed(&path.rel);
            }
        }
        if let Op::Symlink { target, .. } = &mut line.op {
            *target = renamed(target);
        }
        line
    };
    (
        setup.iter().map(line).collect(),
        trace.iter().map(line).collect(),
    )
}

/// Every directory that a path lies in, the innermost first.
fn directories(both: &[&[Line]; 2]) -> Vec<String> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    for path in both.iter().flat_map(|lines| paths(lines)) {
        let mut rest = path.rel.as_str();
        while let Some((parent, _)) = rest.rsplit_once('/') {
            all.insert(parent.to_owned());
            rest = parent;
        }
    }
    let mut all: Vec<String> = all.into_iter().collect();
    all.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    all
}

/// What is in the directory in the one above it, and nobody making it.
fn without(lines: &[Line], directory: &str) -> Vec<Line> {
    let above = directory.rsplit_once('/').map_or("", |(above, _)| above);
    let moved = |rel: &str| {
        let rest = rel.strip_prefix(directory)?;
        if rest.is_empty() {
            return Some(above.to_owned());
        }
        let rest = rest.strip_prefix('/')?;
        Some(if above.is_empty() {
            rest.to_owned()
        } else {
            format!("{above}/{rest}")
        })
    };
    let makes = |line: &Line| matches!(&line.op, Op::Mkdir { path, .. } if path.rel == directory);
    let line = |line: &Line| {
        let mut line = line.clone();
        for part in line.op.parts() {
            if let Part::Path(path) = part
                && let Some(rel) = moved(&path.rel)
            {
                path.rel = rel;
            }
        }
        line
    };
    lines.iter().filter(|line| !makes(line)).map(line).collect()
}
