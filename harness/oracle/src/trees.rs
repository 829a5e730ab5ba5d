//! Trees: one snapshot against another, and against itself.

use std::collections::BTreeSet;

use lookback_ops::{
    errno,
    tree::{Node, Snapshot},
};

use crate::{
    difference::Attribute,
    outcomes::{self, SetTimes, digest, pair, type_name},
    sink::{At, Sink},
};

/// Compares an arm's tree with the reference's.
pub(crate) fn compare(
    sink: &mut Sink<'_>,
    at: At<'_>,
    times: &SetTimes,
    expected: &Snapshot,
    actual: &Snapshot,
) {
    let mut lonely = BTreeSet::new();
    for pair in pair(&expected.nodes, &actual.nodes, |node| &node.path) {
        match pair {
            (Some(a), Some(b)) => node(sink, at.path(&a.path).stats(&a.stat, &b.stat), times, a, b),
            (Some(a), None) if first_of_its_tree(&mut lonely, &a.path) => {
                let there = type_name(a.stat.mode >> 12);
                sink.add(at.path(&a.path), Attribute::Name, there, "not there".into());
            }
            (None, Some(b)) if first_of_its_tree(&mut lonely, &b.path) => {
                let there = type_name(b.stat.mode >> 12);
                sink.add(at.path(&b.path), Attribute::Name, "not there".into(), there);
            }
            _ => {}
        }
    }
}

/// A tree that is on one side only is one difference, not one for each path.
fn first_of_its_tree<'a>(lonely: &mut BTreeSet<&'a str>, path: &'a str) -> bool {
    let below = path
        .match_indices('/')
        .any(|(slash, _)| lonely.contains(&path[..slash]));
    lonely.insert(path);
    !below
}

fn node(sink: &mut Sink<'_>, at: At<'_>, times: &SetTimes, a: &Node, b: &Node) {
    sink.compare(at, Attribute::Unreadable, &a.error, &b.error, |error| {
        error.as_ref().map_or_else(
            || "readable".to_owned(),
            |(what, errno)| format!("{} ({what})", errno::name(*errno)),
        )
    });
    outcomes::stat(sink, at, times, &a.stat, &b.stat);
    sink.compare(at, Attribute::DType, &a.d_type, &b.d_type, |t| {
        type_name(u32::from(*t))
    });
    sink.compare(
        at,
        Attribute::HardLink,
        &a.first_link,
        &b.first_link,
        |first| {
            if *first == a.path {
                "no link of an earlier path".into()
            } else {
                format!("link of {first}")
            }
        },
    );
    // Of different sizes or types the contents differ without saying more.
    if a.stat.size == b.stat.size && a.stat.mode >> 12 == b.stat.mode >> 12 {
        sink.compare(at, Attribute::Content, &a.digest, &b.digest, |content| {
            content
                .as_ref()
                .map_or_else(|| "not read".to_owned(), digest)
        });
    }
    sink.compare(at, Attribute::Target, &a.target, &b.target, |target| {
        target
            .as_ref()
            .map_or_else(|| "no target".to_owned(), |target| format!("`{target}`"))
    });
}

/// What must hold within one tree: readdir and lstat tell the same story.
/// `at.reference` is the arm itself.
pub(crate) fn consistent(sink: &mut Sink<'_>, at: At<'_>, tree: &Snapshot) {
    for node in tree.nodes.iter().filter(|node| !node.path.is_empty()) {
        let at = at.path(&node.path);
        let file_type = node.stat.mode >> 12;
        if u32::from(node.d_type) != file_type {
            let d_type = type_name(u32::from(node.d_type));
            sink.add(at, Attribute::DType, type_name(file_type), d_type);
        }
        if node.d_ino != node.stat.ino {
            let (expected, actual) = (node.stat.ino, node.d_ino);
            sink.add(
                at,
                Attribute::DIno,
                format!("st_ino {expected}"),
                actual.to_string(),
            );
        }
    }
}
