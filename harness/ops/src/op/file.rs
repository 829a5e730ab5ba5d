//! Operations on extended attributes, ranges, and inodes without a name.

use serde::{Deserialize, Serialize};

use super::{Ioctl, Path, XattrFlag};

/// An operation on one or two files. Offsets and lengths are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the field names are those of the system calls
pub enum FileOp {
    /// lsetxattr(2)
    SetXattr {
        path: Path,
        name: String,
        value: Vec<u8>,
        flag: XattrFlag,
    },
    /// lgetxattr(2), first for the length alone, then for the bytes.
    GetXattr { path: Path, name: String },
    /// llistxattr(2), first for the length alone, then for the names.
    ListXattr { path: Path },
    /// lremovexattr(2)
    RemoveXattr { path: Path, name: String },
    /// open(O_RDWR), fallocate with the FALLOC_FL_ bits of `mode`, close.
    Fallocate {
        path: Path,
        off: u64,
        len: u64,
        mode: u32,
    },
    /// Open both, copy_file_range until `len` bytes are copied or none are, close.
    CopyRange {
        from: Path,
        to: Path,
        from_off: u64,
        to_off: u64,
        len: u64,
    },
    /// Open both, FICLONERANGE, close; a length of 0 reaches to the end.
    CloneRange {
        from: Path,
        to: Path,
        from_off: u64,
        to_off: u64,
        len: u64,
    },
    /// Open both, FIDEDUPERANGE, close.
    DedupeRange {
        from: Path,
        to: Path,
        from_off: u64,
        to_off: u64,
        len: u64,
    },
    /// Open both, splice(2) into a pipe and out of it, close; `off` is that in both.
    Splice {
        from: Path,
        to: Path,
        off: u64,
        len: u64,
    },
    /// open, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS with exactly these of the flags
    /// a letter of chattr(1) stands for, close.
    Chattr { path: Path, flags: u32 },
    /// open, FS_IOC_GETFLAGS, close.
    Lsattr { path: Path },
    /// open, the ioctl, close.
    Ioctl { path: Path, what: Ioctl },
    /// statfs(2)
    Statfs { path: Path },
    /// linkat(2) of /proc/self/fd/N with AT_SYMLINK_FOLLOW.
    LinkFd { slot: u16, path: Path },
    /// readlink(2) of /proc/self/fd/N.
    FdPath { slot: u16 },
    /// name_to_handle_at(2); the handle is kept under the slot's number, apart from open files.
    Handle { slot: u16, path: Path },
    /// open_by_handle_at(2) of the handle kept as `handle`, for reading, into `slot`.
    OpenHandle { handle: u16, slot: u16 },
    /// An inotify watch, in a slot of its own until that is closed: it pins the inode.
    Watch { slot: u16, path: Path },
    /// openat2(2) with O_PATH and RESOLVE_CACHED, close: EAGAIN unless the whole
    /// path is in the dentry cache and its file systems can tell without waiting.
    Cached { path: Path },
    /// execve(2) in a child.
    Exec { path: Path },
}

impl FileOp {
    /// The paths it names, in the order of the trace's text.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            FileOp::SetXattr { path, .. }
            | FileOp::GetXattr { path, .. }
            | FileOp::ListXattr { path }
            | FileOp::RemoveXattr { path, .. }
            | FileOp::Fallocate { path, .. }
            | FileOp::Chattr { path, .. }
            | FileOp::Lsattr { path }
            | FileOp::Ioctl { path, .. }
            | FileOp::Statfs { path }
            | FileOp::LinkFd { path, .. }
            | FileOp::Handle { path, .. }
            | FileOp::Watch { path, .. }
            | FileOp::Cached { path }
            | FileOp::Exec { path } => vec![path],
            FileOp::CopyRange { from, to, .. }
            | FileOp::CloneRange { from, to, .. }
            | FileOp::DedupeRange { from, to, .. }
            | FileOp::Splice { from, to, .. } => vec![from, to],
            FileOp::FdPath { .. } | FileOp::OpenHandle { .. } => Vec::new(),
        }
    }
}
