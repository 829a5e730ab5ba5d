//! What a tree looked like.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::StatView;

/// What was read, or the errno it failed with, which is as much a result.
pub type Told<T> = Result<T, i32>;

/// A stretch of a file that has blocks. Adjacent ones of one kind are one: where
/// they lie on disk, and in how many pieces, is the allocator's own business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Extent {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Allocated and never written: it reads as zeros (FIEMAP_EXTENT_UNWRITTEN).
    pub unwritten: bool,
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unwritten = if self.unwritten { "u" } else { "" };
        write!(f, "{}/{}{unwritten}", self.offset, self.length)
    }
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Xattr {
    /// Its whole name: `user.a`, `system.posix_acl_access`.
    pub name: String,
    /// Length and XXH3-64 of its value.
    pub value: Told<(u64, u64)>,
}

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
    /// st_blocks, in units of 512 bytes, after the file system was synced; 0
    /// where lstat failed.
    pub blocks: u64,
    /// FS_IOC_GETFLAGS, of a regular file or directory that could be opened;
    /// [`attrs::letters`](crate::attrs::letters) spells it.
    pub flags: Option<Told<u32>>,
    /// Where a regular file that could be opened has blocks (FIEMAP), after the
    /// file system was synced.
    pub extents: Option<Told<Vec<Extent>>>,
    /// In how many pieces those lie on disk. Never compared: what they are good
    /// for is to know how large the file's extent tree may be.
    pub pieces: u32,
    /// The extended attributes it lists, sorted by name; none where lstat failed.
    pub xattrs: Option<Told<Vec<Xattr>>>,
    /// Why something above could not be read: (what, errno).
    pub error: Option<(String, i32)>,
}

/// A tree, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The nodes, the root first.
    pub nodes: Vec<Node>,
}
