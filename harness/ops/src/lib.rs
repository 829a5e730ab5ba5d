//! The operation model: operations, traces, outcomes and the fsstress generator.
//!
//! Nothing here touches a file system. An [`Op`] says what to do, an
//! [`Outcome`] what came back, a [`tree::Snapshot`] what a tree looked like.
//! The agent turns the first into the other two; the oracle compares them.

pub mod attrs;
pub mod errno;
pub mod fsstress;
pub mod op;
pub mod outcome;
pub mod pattern;
pub mod shrink;
pub mod trace;
pub mod tree;

pub use op::{
    Base, FileOp, IoOp, Ioctl, Kept, Line, LockOp, Locked, MapOp, Means, MountOp, NodeKind, Op,
    Part, Path, RenameFlags, Whence, XattrFlag,
};
pub use outcome::{Outcome, StatView, Value};
