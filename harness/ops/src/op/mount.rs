//! Operations on mounts and what serves them.

use serde::{Deserialize, Serialize};

use super::Path;

/// An operation on a mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the field names are those of the system calls
pub enum MountOp {
    /// Bind `path` to `on`, and remount that read-only if asked to.
    Bind {
        path: Path,
        on: Path,
        read_only: bool,
    },
    /// FUSE_IOC_BACKING_REGISTER of `path` (not followed) on the root of the
    /// arm's mount.
    Register { id: u64, path: Path },
    /// FUSE_IOC_BACKING_UNREGISTER on the root of the arm's mount.
    Unregister { id: u64 },
    /// Mount the arm's file system once more, elsewhere, with `root_dir=` an
    /// O_PATH descriptor of each path, and unmount it.
    RootDir { paths: Vec<Path> },
    /// Abort the FUSE connection of the arm's mount through fusectl.
    Abort,
}

impl MountOp {
    /// The paths it names, in the order of the trace's text.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            MountOp::Bind { path, on, .. } => vec![path, on],
            MountOp::Register { path, .. } => vec![path],
            MountOp::RootDir { paths } => paths.iter().collect(),
            MountOp::Unregister { .. } | MountOp::Abort => Vec::new(),
        }
    }
}
