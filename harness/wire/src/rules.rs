//! The server side of a scenario: what a server answers to LOOKUP.

mod check;
mod lookups;
mod text;

use serde::{Deserialize, Serialize};

use crate::fuse::ENTRY_BACKING;

pub use self::check::RulesError;
pub use self::lookups::Lookups;
pub use self::text::{Bytes, EntryType, Errno, Mode};

/// Nodeids a rule may name begin here; those from 1 up to here are the file
/// system's, which counts upwards and would meet a rule's sooner or later.
pub const FIRST_FREE_NODEID: u64 = 1 << 32;

/// Entry and attribute timeout of the shares' servers where no rule says
/// otherwise, in milliseconds: that of virtiofsd's `--cache auto`.
pub const SERVER_TIMEOUT_MS: u64 = 1_000;

/// What the server answers. No rules: an ordinary server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Accept the extension in INIT where the guest offers it.
    pub negotiate: bool,
    /// The rules; the first that matches answers.
    pub lookup: Vec<LookupRule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            negotiate: true,
            lookup: Vec::new(),
        }
    }
}

impl From<Vec<LookupRule>> for Rules {
    fn from(lookup: Vec<LookupRule>) -> Self {
        Self {
            lookup,
            ..Self::default()
        }
    }
}

/// The answer to LOOKUP of one path of the share.
///
/// What a rule does not say is as the file system has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupRule {
    /// Path in the share, relative to its root, no leading slash.
    pub path: String,
    /// Answers from this LOOKUP of the path on, counted from 1 when the case
    /// begins; from the first where absent.
    pub from: Option<u64>,
    /// Answers up to this LOOKUP, included; for ever where absent.
    pub to: Option<u64>,
    /// What the server has there. A run's own server has it made before the
    /// case and removed after; a directory where absent.
    pub kind: Option<Kind>,
    /// Append one BACKING entry with this id.
    pub backing: Option<u64>,
    /// Append these bytes, whatever was negotiated, instead of entries.
    pub raw: Option<Bytes>,
    /// `out_header.len`, instead of the right one. Bytes beyond the reply's
    /// own are zeros.
    pub len: Option<u32>,
    /// virtio only: the length in the used ring, instead of the bytes of the
    /// reply up to `len`.
    pub used: Option<u32>,
    /// Answer with this nodeid: 0, or at least [`FIRST_FREE_NODEID`]. With a
    /// BACKING entry, 0 makes the inode the kernel's own, never forgotten;
    /// without, there is no such file.
    pub nodeid: Option<u64>,
    /// Entry timeout in milliseconds.
    pub entry_timeout_ms: Option<u64>,
    /// Attribute timeout in milliseconds.
    pub attr_timeout_ms: Option<u64>,
    /// `fuse_attr.flags` (1: `FUSE_ATTR_SUBMOUNT`).
    pub attr_flags: Option<u32>,
    /// `fuse_attr.mode`: the permission bits alone, or with the file's type.
    pub mode: Option<Mode>,
    /// Answer with this error and nothing behind it.
    pub errno: Option<Errno>,
    /// Send the reply only after so many milliseconds.
    pub delay_ms: Option<u64>,
    /// /dev/fuse only: the error write(2) of the reply must end with; it must
    /// succeed where absent.
    pub write: Option<Errno>,
    /// Append these entries, right or wrong, instead of `backing`.
    // Last: in TOML a table's values come before its tables.
    pub entries: Option<Vec<EntryRule>>,
}

/// What a server has at a rule's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An empty file.
    File,
    /// An empty directory.
    #[default]
    Dir,
    /// A symlink to nothing.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device, 1:3.
    Char,
}

/// One entry behind a reply, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryRule {
    /// `entry_type`.
    #[serde(rename = "type")]
    pub entry_type: EntryType,
    /// Name what is registered under this id: the id itself on virtio, the
    /// daemon's descriptor on /dev/fuse.
    pub id: Option<u64>,
    /// Added to what `id` names; the field itself without one.
    pub fd: Option<u64>,
    /// The word that must be zero.
    pub unused: Option<u32>,
    /// The double word that must be zero.
    pub unused2: Option<u64>,
}

impl LookupRule {
    /// Whether the rule answers the `nth` LOOKUP of its path.
    pub fn answers(&self, nth: u64) -> bool {
        self.first() <= nth && nth <= self.last()
    }

    /// Whether the answer has a BACKING entry, right or wrong.
    pub fn names_backing(&self) -> bool {
        let mut entries = self.entries.iter().flatten();
        self.backing.is_some() || entries.any(|entry| entry.entry_type.0 == ENTRY_BACKING)
    }

    fn first(&self) -> u64 {
        self.from.unwrap_or(1)
    }

    fn last(&self) -> u64 {
        self.to.unwrap_or(u64::MAX)
    }
}

impl Rules {
    /// The rule that answers the `nth` LOOKUP (from 1) of `path` (relative to
    /// the share's root, components joined by one slash).
    pub fn find(&self, path: &[u8], nth: u64) -> Option<&LookupRule> {
        self.lookup
            .iter()
            .find(|rule| rule.path.as_bytes() == path && rule.answers(nth))
    }

    /// The paths the rules speak of, each once, and what the server has there.
    pub fn places(&self) -> Vec<(&str, Kind)> {
        let mut places: Vec<(&str, Option<Kind>)> = Vec::new();
        for rule in &self.lookup {
            match places.iter_mut().find(|(path, _)| *path == rule.path) {
                Some((_, kind)) => *kind = kind.or(rule.kind),
                None => places.push((&rule.path, rule.kind)),
            }
        }
        places
            .into_iter()
            .map(|(path, kind)| (path, kind.unwrap_or_default()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
