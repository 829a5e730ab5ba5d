//! Why there is no program.

use thiserror::Error;

/// Why an operation can't be done by a program of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unable {
    /// [`lookback_ops::Base::Root`]
    #[error("`@root/` is the root of a share of the bench")]
    Root,
    /// FUSE_IOC_BACKING_REGISTER and its counterpart.
    #[error("backing ids are handed out by whoever serves the mount")]
    Register,
    /// [`lookback_ops::MountOp::RootDir`]
    #[error("only the bench knows how its share is mounted")]
    RootDir,
    /// [`lookback_ops::MountOp::Abort`]
    #[error("the connection aborted is the bench's own")]
    Abort,
    /// [`lookback_ops::Op::EachAlloc`]
    #[error("failing each allocation in turn takes the bench's kernel")]
    EachAlloc,
}

/// Why a trace has no program.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// An operation can't be done outside the bench.
    #[error("`{line}` can't be done by a program of its own: {why}")]
    Operation {
        /// The line.
        line: String,
        /// Why not.
        why: Unable,
    },
    /// An outcome that no operation has.
    #[error("`{line}` is said to have read {len} bytes and to have returned {ret}")]
    Outcome {
        /// The line.
        line: String,
        /// Bytes read.
        len: u64,
        /// Return value.
        ret: i64,
    },
    /// More or fewer outcomes than lines.
    #[error("{outcomes} outcomes are expected of {lines} lines")]
    Expected {
        /// Lines in the trace.
        lines: usize,
        /// Outcomes expected.
        outcomes: usize,
    },
    /// A phase no program can bring about.
    #[error("{path} is to be checked by e2fsck: that takes the image")]
    Fsck {
        /// The path.
        path: String,
    },
    /// A time of a line the trace does not have.
    #[error("a time is expected to be that of line {line}, of {lines}")]
    NoLine {
        /// The line.
        line: usize,
        /// Lines in the trace.
        lines: usize,
    },
    /// Times told by the line, where lines run at the same time.
    #[error("no time is that of one line where workers run at once")]
    AtOnce,
}
