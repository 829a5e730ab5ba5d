//! What a tree looked like.

use serde::{Deserialize, Serialize};

use crate::outcome::StatView;

/// One name in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Path relative to the snapshot's root; empty for the root itself.
    pub path: String,
    /// lstat.
    pub stat: StatView,
    /// d_type from the parent's readdir (DT_UNKNOWN for the root).
    pub d_type: u8,
    /// d_ino from the parent's readdir (st_ino for the root).
    pub d_ino: u64,
    /// The first path (in the snapshot's order) with the same inode; equal to
    /// `path` unless this is a further hard link.
    pub first_link: String,
    /// XXH3-64 of a regular file's content.
    pub digest: Option<u64>,
    /// A symlink's target.
    pub target: Option<String>,
    /// Why something above could not be read: (what, errno).
    pub error: Option<(String, i32)>,
}

/// A tree, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The nodes, the root first.
    pub nodes: Vec<Node>,
}
