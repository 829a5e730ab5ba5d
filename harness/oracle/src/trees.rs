//! Trees: one snapshot against another, of two arms or of one arm in two phases.

use std::collections::BTreeSet;

use lookback_ops::{
    attrs, errno,
    tree::{Extent, Node, Snapshot, Told, Xattr},
};

use crate::{
    difference::Attribute,
    outcomes::{self, digest, pair, type_name},
    sink::{At, Sink},
    times::{Clocks, Times, Walk},
};

/// What a tree is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// The reference's tree.
    pub tree: &'a Snapshot,
    /// The walk that took it, if it is of an earlier phase.
    pub earlier: Option<Walk>,
}

impl<'a> Expected<'a> {
    /// A tree of the same phase.
    pub fn now(tree: &'a Snapshot) -> Self {
        Self {
            tree,
            earlier: None,
        }
    }
}

/// Compares an arm's tree with the reference's.
pub(crate) fn compare(
    sink: &mut Sink<'_>,
    at: At<'_>,
    times: &Times,
    expected: Expected<'_>,
    actual: &Snapshot,
) {
    let clocks = times.between(at.arm, at.reference, None);
    nodes(sink, at, expected.tree, actual, |sink, at, a, b| {
        let clocks = match expected.earlier {
            Some(walk) => clocks.with_earlier(walk, a),
            None => clocks,
        };
        node(sink, at, clocks, a, b);
    });
}

/// Compares an arm's tree with the one that `walk` took of the same arm in the
/// phase before: nothing but the phase lies between them. `at.reference` is
/// the arm itself.
pub(crate) fn unchanged(
    sink: &mut Sink<'_>,
    at: At<'_>,
    walk: Walk,
    earlier: &Snapshot,
    later: &Snapshot,
) {
    nodes(sink, at, earlier, later, |sink, at, a, b| {
        sink.compare(at, Attribute::Ino, &a.stat.ino, &b.stat.ino, u64::to_string);
        node(sink, at, Clocks::of_phases(walk, a), a, b);
    });
}

fn nodes<'a>(
    sink: &mut Sink<'_>,
    at: At<'a>,
    expected: &'a Snapshot,
    actual: &'a Snapshot,
    compare: impl Fn(&mut Sink<'_>, At<'a>, &'a Node, &'a Node),
) {
    let mut lonely = BTreeSet::new();
    for pair in pair(&expected.nodes, &actual.nodes, |node| &node.path) {
        match pair {
            (Some(a), Some(b)) => compare(sink, at.path(&a.path).nodes(a, b), a, b),
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

fn node(sink: &mut Sink<'_>, at: At<'_>, clocks: Clocks<'_>, a: &Node, b: &Node) {
    sink.compare(at, Attribute::Unreadable, &a.error, &b.error, |error| {
        error.as_ref().map_or_else(
            || "readable".to_owned(),
            |(what, errno)| format!("{} ({what})", errno::name(*errno)),
        )
    });
    outcomes::stat(sink, at, clocks, &a.stat, &b.stat);
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
    sink.compare(at, Attribute::Target, &a.target, &b.target, |target| {
        target
            .as_ref()
            .map_or_else(|| "no target".to_owned(), |target| format!("`{target}`"))
    });
    // What two types of file have, they have not in common.
    if a.stat.mode >> 12 != b.stat.mode >> 12 {
        return;
    }
    // Of different sizes the contents differ without saying more.
    if a.stat.size == b.stat.size {
        sink.compare(at, Attribute::Content, &a.digest, &b.digest, |content| {
            content
                .as_ref()
                .map_or_else(|| "not read".to_owned(), digest)
        });
    }
    if a.blocks != b.blocks {
        let [a, b] = [a, b].map(|node| format!("{} in {} pieces", node.blocks, node.pieces));
        sink.add(at, Attribute::Blocks, a, b);
    }
    sink.compare(at, Attribute::Extents, &a.extents, &b.extents, |extents| {
        told(extents, |extents| map(extents))
    });
    sink.compare(
        at,
        Attribute::Flags,
        &settable(&a.flags),
        &settable(&b.flags),
        |flags| told(flags, |bits| format!("`{}`", attrs::letters(*bits))),
    );
    xattrs(sink, at, &a.xattrs, &b.xattrs);
}

/// Those a user can set. The others are the file system's own bookkeeping, as
/// is whether a directory has an index.
fn settable(flags: &Option<Told<u32>>) -> Option<Told<u32>> {
    flags.map(|told| told.map(|bits| bits & attrs::settable()))
}

fn told<T>(read: &Option<Told<T>>, show: impl Fn(&T) -> String) -> String {
    match read {
        None => "not read".to_owned(),
        Some(Err(errno)) => errno::name(*errno),
        Some(Ok(value)) => show(value),
    }
}

fn map(extents: &[Extent]) -> String {
    if extents.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<_> = extents.iter().map(Extent::to_string).collect();
    shown.join(" ")
}

fn xattrs(
    sink: &mut Sink<'_>,
    at: At<'_>,
    a: &Option<Told<Vec<Xattr>>>,
    b: &Option<Told<Vec<Xattr>>>,
) {
    let (Some(Ok(a)), Some(Ok(b))) = (a, b) else {
        sink.compare(at, Attribute::Xattr, a, b, |list| {
            told(list, |_| "a list of names".to_owned())
        });
        return;
    };
    for (a, b) in pair(a, b, |xattr| &xattr.name) {
        let Some(name) = a.or(b).map(|xattr| xattr.name.as_str()) else {
            continue;
        };
        let attribute = if is_acl(name) {
            Attribute::Acl
        } else {
            Attribute::Xattr
        };
        let value = |xattr: Option<&Xattr>| xattr.map(|xattr| xattr.value);
        let (at, a, b) = (at.xattr(name), value(a), value(b));
        sink.compare(at, attribute, &a, &b, |value| match value {
            None => format!("no {name}"),
            Some(Err(errno)) => format!("{name}: {}", errno::name(*errno)),
            Some(Ok((len, hash))) => format!("{name}: {len} bytes, {}", digest(hash)),
        });
    }
}

/// Whether an extended attribute is a POSIX ACL, as ext4 lists them
/// (`posix_acl_xattr_name`).
#[must_use]
pub fn is_acl(name: &str) -> bool {
    name.starts_with("system.posix_acl_")
}
