//! Reads and writes by other means than pread(2) and pwrite(2).

use serde::{Deserialize, Serialize};

use super::Path;

/// How bytes are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Means {
    /// preadv(2), pwritev(2) with the range in so many parts, of one length but
    /// for the last.
    Vector {
        /// How many.
        parts: u16,
    },
    /// pread(2), pwrite(2) of a file opened with O_DIRECT, to and from whole
    /// pages of memory.
    Direct,
    /// io_submit(2) and io_getevents(2), on a file opened with O_DIRECT.
    Aio,
    /// io_uring(7)
    Uring,
}

/// A read or a write. Offsets and lengths are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the field names are those of the system calls
pub enum IoOp {
    /// open, read, close.
    Read {
        by: Means,
        path: Path,
        off: u64,
        len: u32,
    },
    /// open, write, close.
    Write {
        by: Means,
        path: Path,
        off: u64,
        len: u32,
        seed: u64,
    },
    /// read(2), where the file is positioned.
    FdRead { slot: u16, len: u32 },
    /// write(2), where the file is positioned, or at its end with O_APPEND. As
    /// the offset is not known beforehand, the pattern is that of offset 0.
    FdWrite { slot: u16, len: u32, seed: u64 },
}

impl IoOp {
    /// The paths it names, in the order of the trace's text.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            IoOp::Read { path, .. } | IoOp::Write { path, .. } => vec![path],
            IoOp::FdRead { .. } | IoOp::FdWrite { .. } => Vec::new(),
        }
    }
}
