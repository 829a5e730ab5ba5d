//! Outcomes and trees as a guest could report them.

use std::collections::BTreeMap;

use lookback_ops::{
    Outcome, StatView, Value,
    outcome::Entry,
    tree::{Extent, Node, Snapshot, Xattr},
};
use proptest::{collection::vec, prelude::*};

const DIRECTORY: u32 = 0o04;
const REGULAR: u32 = 0o10;

prop_compose! {
    fn stats()(
        kind in prop::sample::select(vec![1u32, 2, 4, 6, 8, 10, 12]),
        permissions in 0u32..0o10_000,
        uid in 0u32..3,
        gid in 0u32..3,
        nlink in 2u64..4,
        size in 0u64..10_000,
        rdev in (0u32..2, 0u32..2),
        ino in 1u64..1000,
        times in prop::array::uniform3((0i64..4, 0u32..3)),
    ) -> StatView {
        let [atime, mtime, ctime] = times;
        StatView {
            mode: kind << 12 | permissions, uid, gid, nlink, size, rdev, blksize: 4096, ino,
            atime, mtime, ctime,
        }
    }
}

prop_compose! {
    fn extents()(sizes in vec((0u64..3, 1u64..4, any::<bool>()), 0..4)) -> Vec<Extent> {
        let mut offset = 0;
        let extent = |(gap, blocks, unwritten)| {
            let length = blocks * 4096;
            let extent = Extent { offset: offset + gap * 4096, length, unwritten };
            offset = extent.offset + length;
            extent
        };
        sizes.into_iter().map(extent).collect()
    }
}

fn xattrs() -> impl Strategy<Value = Vec<Xattr>> {
    let value = (0u64..9, any::<u64>()).prop_map(Ok);
    prop::collection::btree_map("(user|trusted|security)\\.[ab]", value, 0..3).prop_map(|all| {
        all.into_iter()
            .map(|(name, value)| Xattr { name, value })
            .collect()
    })
}

prop_compose! {
    fn nodes()(
        stat in stats(), digest in any::<u64>(), blocks in 0u64..64,
        flags in prop::sample::select(vec![0u32, 0x10, 0x8_0000]),
        extents in extents(), xattrs in xattrs(),
    ) -> Node {
        Node {
            path: String::new(),
            d_type: 0,
            d_ino: 0,
            first_link: String::new(),
            digest: Some(digest),
            target: Some("t".into()),
            blocks,
            flags: Some(Ok(flags)),
            extents: Some(Ok(extents)),
            pieces: 0,
            xattrs: Some(Ok(xattrs)),
            error: None,
            stat,
        }
    }
}

prop_compose! {
    /// A root with what is in it, true to itself.
    pub(super) fn trees()(
        nodes in prop::collection::btree_map("[ab](/[ab]){0,2}", nodes(), 0..8), root in nodes(),
    ) -> Snapshot {
        let mut all: BTreeMap<String, Node> = nodes;
        // What something lies in is a directory.
        let mut parents: Vec<String> = all
            .keys()
            .flat_map(|path| path.match_indices('/').map(|(slash, _)| path[..slash].to_owned()))
            .collect();
        parents.push(String::new());
        for parent in parents {
            let node = all.entry(parent).or_insert_with(|| root.clone());
            node.stat.mode = DIRECTORY << 12 | node.stat.mode & 0o7777;
        }
        let nodes = all.into_iter().map(|(path, node)| Node { path, ..node });
        let mut tree = Snapshot { nodes: nodes.collect() };
        settle(&mut tree);
        tree
    }
}

/// Give the nodes what follows from their place: inode numbers, types, links.
/// Every node is an inode of its own.
pub(super) fn settle(tree: &mut Snapshot) {
    let directories: Vec<String> = tree
        .nodes
        .iter()
        .filter(|node| node.stat.mode >> 12 == DIRECTORY && !node.path.is_empty())
        .map(|node| node.path.clone())
        .collect();
    for (ino, node) in (10..).zip(&mut tree.nodes) {
        let kind = node.stat.mode >> 12;
        let within = directories.iter().map(|path| parent(path));
        node.stat.nlink = match kind {
            DIRECTORY => within.fold(2, |count, parent| count + u64::from(parent == node.path)),
            _ => 1,
        };
        node.stat.ino = ino;
        node.d_ino = ino;
        node.d_type = if node.path.is_empty() {
            0
        } else {
            u8::try_from(kind).unwrap()
        };
        node.first_link.clone_from(&node.path);
        if kind != REGULAR {
            node.digest = None;
            node.extents = None;
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn values() -> impl Strategy<Value = Value> {
    let entry =
        ("[a-c]{1,2}", any::<u8>(), any::<bool>()).prop_map(|(name, d_type, ino_agrees)| Entry {
            name,
            d_type,
            ino_agrees,
        });
    prop_oneof![
        Just(Value::None),
        stats().prop_map(Value::Stat),
        (any::<u64>(), any::<u64>()).prop_map(|(len, digest)| Value::Data { len, digest }),
        "[a-z]{0,4}".prop_map(Value::Link),
        "[a-z]{0,4}".prop_map(Value::Text),
        vec("[a-c]{1,2}", 0..4).prop_map(Value::Names),
        vec(entry, 0..4).prop_map(Value::Entries),
    ]
}

prop_compose! {
    /// Errnos are those that a race can lead to.
    pub(super) fn outcomes()(
        errno in prop::sample::select(vec![0i32, 1, 2, 13, 17, 20, 39]),
        step in "(open|pread)?", value in values(),
    ) -> Outcome {
        Outcome { ret: if errno == 0 { 0 } else { -1 }, errno, step, value }
    }
}
