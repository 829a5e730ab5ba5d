//! One operation, as the trace format spells it.

mod file;
mod io;
mod kinds;
mod lock;
mod map;
mod mount;
mod parts;

use serde::{Deserialize, Serialize};

pub use file::FileOp;
pub use io::{IoOp, Means};
pub use kinds::{Ioctl, Locked, NodeKind, RenameFlags, Whence, XattrFlag};
pub use lock::LockOp;
pub use map::MapOp;
pub use mount::MountOp;
pub use parts::{Kept, Part};

/// Where a [`Path`] starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Base {
    /// The case's directory in the arm under test (no prefix in a trace).
    Arm,
    /// The same directory behind the arm's back (`@lower/`): for `backed` the
    /// backing ext4 read and written without FUSE, for `ext4` the directory
    /// itself, for `plain` the directory itself.
    Lower,
    /// A directory next to the case's, on another mount (`@outside/`): for
    /// `backed` an unbacked directory of the same share, for the others a bind
    /// mount, so that crossing it is EXDEV everywhere.
    Outside,
    /// The root of the share's mount (`@root/`), above the stacking root: for
    /// cases about what the server answers, on arms that have such a server.
    Root,
    /// The worker's open file or directory in this slot (`@fd3/`), as the
    /// `*at` system calls take it; the file itself where `rel` is empty.
    Slot(u16),
}

/// A path relative to its base; `rel` is empty for the base itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Path {
    /// Where it starts.
    pub base: Base,
    /// Components separated by `/`, no leading slash, no `..`.
    pub rel: String,
}

/// One operation. Sizes and offsets are bytes, modes are octal permission
/// bits (with suid, sgid and sticky), `seed` names the pattern written.
///
/// Slots name open files and directories kept across operations; each worker
/// has its own. Paths are never followed out of their base.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the field names are those of the system calls
pub enum Op {
    /// open(O_CREAT|O_EXCL|O_WRONLY) and close.
    Creat {
        path: Path,
        mode: u32,
    },
    Mkdir {
        path: Path,
        mode: u32,
    },
    Mknod {
        path: Path,
        kind: NodeKind,
        mode: u32,
    },
    Symlink {
        target: String,
        path: Path,
    },
    Link {
        old: Path,
        new: Path,
    },
    Unlink {
        path: Path,
    },
    Rmdir {
        path: Path,
    },
    Rename {
        old: Path,
        new: Path,
        flags: RenameFlags,
    },
    /// stat(2), following symlinks.
    Stat {
        path: Path,
    },
    Lstat {
        path: Path,
    },
    Chmod {
        path: Path,
        mode: u32,
    },
    /// lchown(2); `None` leaves the id alone.
    Chown {
        path: Path,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    /// utimensat(2) without following; whole seconds and nanoseconds.
    Utimens {
        path: Path,
        atime: (i64, u32),
        mtime: (i64, u32),
    },
    Truncate {
        path: Path,
        size: u64,
    },
    /// faccessat(2) with the effective ids; `mask` is R_OK|W_OK|X_OK bits.
    Access {
        path: Path,
        mask: u32,
    },
    Readlink {
        path: Path,
    },
    /// Every entry's name, d_type, and whether d_ino equals its st_ino.
    Readdir {
        path: Path,
    },
    /// open, pwrite, close.
    Write {
        path: Path,
        off: u64,
        len: u32,
        seed: u64,
    },
    /// open, pread, close.
    Read {
        path: Path,
        off: u64,
        len: u32,
    },
    /// open, mmap(MAP_SHARED), store, munmap, close; cut at the end of the file.
    MmapWrite {
        path: Path,
        off: u64,
        len: u32,
        seed: u64,
    },
    /// open, mmap(MAP_SHARED), load, munmap, close; cut at the end of the file.
    MmapRead {
        path: Path,
        off: u64,
        len: u32,
    },
    /// open, fsync, close.
    Fsync {
        path: Path,
    },
    /// open, fdatasync, close.
    Fdatasync {
        path: Path,
    },
    /// Open into a slot; `flags` are the O_ bits of open(2) on x86-64. What
    /// the slot held is closed first.
    Open {
        slot: u16,
        path: Path,
        flags: u32,
        mode: u32,
    },
    Close {
        slot: u16,
    },
    Pwrite {
        slot: u16,
        off: u64,
        len: u32,
        seed: u64,
    },
    Pread {
        slot: u16,
        off: u64,
        len: u32,
    },
    Ftruncate {
        slot: u16,
        size: u64,
    },
    Fstat {
        slot: u16,
    },
    Fsyncfd {
        slot: u16,
    },
    Lseek {
        slot: u16,
        off: i64,
        whence: Whence,
    },
    /// syncfs(2) on the base.
    Sync,
    /// Write 3 to /proc/sys/vm/drop_caches (after a sync).
    DropCaches,
    /// Let a timeout pass.
    Wait {
        ms: u32,
    },
    /// Mount a tmpfs (mode 0755) on a directory.
    MountTmpfs {
        path: Path,
    },
    Umount {
        path: Path,
    },
    /// Effective uid, gid (no supplementary groups) of the worker from here on.
    Creds {
        uid: u32,
        gid: u32,
    },
    /// umask of the worker from here on (it starts at 022).
    Umask {
        mask: u32,
    },
    /// On extended attributes, ranges and inodes.
    File(FileOp),
    /// Reads and writes by other means.
    Io(IoOp),
    /// On kept mappings.
    Map(MapOp),
    /// On locks and leases.
    Lock(LockOp),
    /// On mounts and what serves them.
    Mount(MountOp),
    /// Run `op` so many times; the outcome is the first run's, or the first
    /// that differs from the first run's.
    Repeat {
        times: u32,
        op: Box<Op>,
    },
    /// Run `op` with its first allocation failing, then its second, and so on
    /// until it needs fewer. The outcome is that of the last run, in which none
    /// failed, or the first that is neither that nor ENOMEM. `cold` drops the
    /// caches before each run.
    EachAlloc {
        cold: bool,
        op: Box<Op>,
    },
}

impl Op {
    /// The paths it names, in the order of the trace's text.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Op::Creat { path, .. }
            | Op::Mkdir { path, .. }
            | Op::Mknod { path, .. }
            | Op::Symlink { path, .. }
            | Op::Unlink { path }
            | Op::Rmdir { path }
            | Op::Stat { path }
            | Op::Lstat { path }
            | Op::Chmod { path, .. }
            | Op::Chown { path, .. }
            | Op::Utimens { path, .. }
            | Op::Truncate { path, .. }
            | Op::Access { path, .. }
            | Op::Readlink { path }
            | Op::Readdir { path }
            | Op::Write { path, .. }
            | Op::Read { path, .. }
            | Op::MmapWrite { path, .. }
            | Op::MmapRead { path, .. }
            | Op::Fsync { path }
            | Op::Fdatasync { path }
            | Op::Open { path, .. }
            | Op::MountTmpfs { path }
            | Op::Umount { path } => vec![path],
            Op::File(op) => op.paths(),
            Op::Io(op) => op.paths(),
            Op::Lock(_) | Op::Map(_) => Vec::new(),
            Op::Mount(op) => op.paths(),
            Op::Repeat { op, .. } | Op::EachAlloc { op, .. } => op.paths(),
            Op::Link { old, new } | Op::Rename { old, new, .. } => vec![old, new],
            Op::Close { .. }
            | Op::Pwrite { .. }
            | Op::Pread { .. }
            | Op::Ftruncate { .. }
            | Op::Fstat { .. }
            | Op::Fsyncfd { .. }
            | Op::Lseek { .. }
            | Op::Sync
            | Op::DropCaches
            | Op::Wait { .. }
            | Op::Creds { .. }
            | Op::Umask { .. } => Vec::new(),
        }
    }

    /// The operation a wrapper runs, or this one.
    #[must_use]
    pub fn innermost(&self) -> &Op {
        match self {
            Op::Repeat { op, .. } | Op::EachAlloc { op, .. } => op.innermost(),
            op => op,
        }
    }
}

/// One line of a trace: which worker does what.
///
/// Lines of one worker run in order. How those of different workers do is the
/// case's to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// Worker number, from 0.
    pub worker: u16,
    /// What it does.
    pub op: Op,
    /// The errno it must have on every arm, 0 for success; `None` where only
    /// the arms are compared with each other.
    pub expect: Option<i32>,
}

impl Line {
    /// A line that expects nothing of its own.
    #[must_use]
    pub fn new(worker: u16, op: Op) -> Line {
        Line {
            worker,
            op,
            expect: None,
        }
    }
}
