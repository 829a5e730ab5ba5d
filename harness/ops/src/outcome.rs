//! What an operation gave back.

use serde::{Deserialize, Serialize};

/// What lstat(2) says, less the device, which no two file systems share, and
/// st_blocks, which says nothing before a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatView {
    /// st_mode, type bits included.
    pub mode: u32,
    /// st_uid
    pub uid: u32,
    /// st_gid
    pub gid: u32,
    /// st_nlink
    pub nlink: u64,
    /// st_size in bytes
    pub size: u64,
    /// st_rdev as (major, minor); zero for what is no device.
    pub rdev: (u32, u32),
    /// st_blksize in bytes
    pub blksize: u64,
    /// st_ino: compared within an arm, never across arms.
    pub ino: u64,
    /// st_atime, seconds and nanoseconds.
    pub atime: (i64, u32),
    /// st_mtime, seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// st_ctime, seconds and nanoseconds.
    pub ctime: (i64, u32),
}

/// One entry of a directory as readdir(3) saw it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// d_type (DT_*).
    pub d_type: u8,
    /// d_ino equals lstat's st_ino (always true for `.` and `..`, which are not compared).
    pub ino_agrees: bool,
}

/// What an operation gave back besides its return value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Nothing.
    None,
    /// stat, lstat, fstat.
    Stat(StatView),
    /// Bytes read: how many, and their XXH3-64.
    Data {
        /// Bytes read.
        len: u64,
        /// XXH3-64 of them.
        digest: u64,
    },
    /// readlink's text (lossy UTF-8).
    Link(String),
    /// readdir's entries, sorted by name, without `.` and `..`.
    Entries(Vec<Entry>),
    /// listxattr's names, sorted.
    Names(Vec<String>),
    /// What an operation says in a few words of its own.
    Text(String),
}

/// [`Outcome::step`] of an operation this guest or arm has no means for. It
/// proves nothing, so that no case passes with one.
pub const UNSUPPORTED: &str = "unsupported";

/// What an operation gave back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The return value of the system call that decides it; -1 on an error.
    pub ret: i64,
    /// errno, 0 if it worked.
    pub errno: i32,
    /// Which step failed or decided (`open`, `pwrite`, …); empty if there is one only.
    pub step: String,
    /// The rest.
    pub value: Value,
}
