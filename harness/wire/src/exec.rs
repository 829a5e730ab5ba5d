//! A program of the host's, run in a guest: what the host asks for, and how it
//! ended. What it prints comes as [`FromGuest::Output`].
//!
//! Texts that are the host's own (arguments, environment, paths) are bytes: a
//! unix path need not be UTF-8.
//!
//! [`FromGuest::Output`]: crate::control::FromGuest::Output

use serde::{Deserialize, Serialize};

use crate::control::CasePlan;

/// The most bytes that one `Output` or `Input` carries.
pub const OUTPUT_MAX: usize = 64 << 10;
/// Where a program that runs on an arm finds the arm's mounts.
pub const ARM_MOUNTS: &str = "/run/lookback";
/// Variable of a program that runs on an arm: the arm's name.
pub const ENV_ARM: &str = "LOOKBACK_ARM";
/// Variable of a program that runs on an arm: the directory behind the arm's
/// back, the arm's own where nothing lies below it.
pub const ENV_LOWER: &str = "LOOKBACK_LOWER";
/// Variable of a program that runs on an arm: the directory outside the arm.
pub const ENV_OUTSIDE: &str = "LOOKBACK_OUTSIDE";

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecPlan {
    /// The program and its arguments. One without a slash is looked for in the
    /// `PATH` of [`ExecPlan::env`].
    pub argv: Vec<Vec<u8>>,
    /// Its whole environment: names and values.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where it starts, an absolute path in its root.
    pub cwd: Vec<u8>,
    /// The virtiofs tag of the share that is its root; proc, sysfs, devtmpfs and
    /// devpts are mounted over it. Without one it runs in the agent's own root.
    pub root: Option<String>,
    /// What else is mounted, in this order; a mount hides what was there.
    pub mounts: Vec<Mount>,
    /// Its standard input comes as [`ToGuest::Input`]; otherwise it is empty.
    ///
    /// [`ToGuest::Input`]: crate::control::ToGuest::Input
    pub input: bool,
    /// The case on whose first arm it runs: the arm is mounted and set up as for
    /// the case, and the program starts in its directory, not in
    /// [`ExecPlan::cwd`]. The trace is not run; what it names is what there is.
    pub arm: Option<Box<CasePlan>>,
}

/// Something mounted in a program's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The mount point, an absolute path in the root. Made where it is missing
    /// and the file system it lies on can be written.
    pub at: Vec<u8>,
    /// What is mounted there.
    pub what: MountKind,
}

/// A kind of mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// An empty tmpfs that everybody may write to, like /tmp.
    Tmpfs,
    /// What is there already, with changes that stay in the guest's memory.
    Overlay,
    /// The virtiofs share with this tag.
    Share(String),
}

/// One of a program's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecStatus {
    /// It ended by itself, with this status.
    Code(u8),
    /// A signal ended it.
    Signal(u8),
    /// It was not found.
    NotFound(String),
    /// It was found and can't be executed.
    NotExecutable(String),
    /// What it needs can't be given to it: its root, a mount, a pipe.
    Unable(String),
}
