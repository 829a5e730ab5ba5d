//! The server side of a scenario: what the backend answers.

use serde::{Deserialize, Serialize};

/// What the backend answers to LOOKUP. No rules: an ordinary virtiofs server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// The rules; the first whose path matches answers.
    pub lookup: Vec<LookupRule>,
}

/// The answer to LOOKUP of one path of the share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupRule {
    /// Path in the share, relative to its root, no leading slash.
    pub path: String,
    /// Append a BACKING entry with this id.
    pub backing: Option<u64>,
    /// Answer with this nodeid instead of the file system's (0 with a backing
    /// entry: the inode is the kernel's, never forgotten).
    pub nodeid: Option<u64>,
    /// Entry timeout in milliseconds; the file system's where absent.
    pub entry_timeout_ms: Option<u64>,
    /// Attribute timeout in milliseconds; the file system's where absent.
    pub attr_timeout_ms: Option<u64>,
}
