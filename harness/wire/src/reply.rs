//! The bytes of a LOOKUP reply: what a rule makes of a file system's entry.
//!
//! Both servers, the one on virtio and the daemon on /dev/fuse, build their
//! replies here, so that the same rule is the same bytes on both, but for what
//! an id is translated to.

use crate::fuse::{
    ENTRY_BACKING, ENTRY_LEN, ENTRY_OUT_LEN, MAX_ENTRIES, OUT_HEADER_LEN, entries_say_backing,
};
use crate::rules::{EntryRule, EntryType, LookupRule};

/// Bytes of a reply that carries no entries.
pub const PLAIN_LEN: usize = OUT_HEADER_LEN + ENTRY_OUT_LEN;
/// Bytes of the longest reply that is right.
pub const FULL_LEN: usize = PLAIN_LEN + MAX_ENTRIES * ENTRY_LEN;

/// Offsets in `struct fuse_entry_out` (include/uapi/linux/fuse.h).
mod at {
    pub(super) const NODEID: usize = 0;
    pub(super) const ENTRY_VALID: usize = 16;
    pub(super) const ATTR_VALID: usize = 24;
    pub(super) const ENTRY_VALID_NSEC: usize = 32;
    pub(super) const ATTR_VALID_NSEC: usize = 36;
    pub(super) const MODE: usize = 40 + 60;
    pub(super) const ATTR_FLAGS: usize = 40 + 84;
}

/// File type bits of a mode (S_IFMT).
const TYPE_MASK: u32 = 0o170_000;

/// A LOOKUP that is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// `unique` of its header.
    pub unique: u64,
    /// Bytes the guest left for the reply. On /dev/fuse, where the daemon's
    /// write(2) says how many there are, any number large enough.
    pub room: usize,
    /// Whether the extension was negotiated.
    pub negotiated: bool,
}

/// A LOOKUP's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What goes into the guest's buffers, at most its room.
    pub bytes: Vec<u8>,
    /// `out_header.len`.
    pub len: u32,
    /// The length in the used ring.
    pub used: u32,
    /// What it means to the guest.
    pub says: Says,
}

/// What a reply means to a guest that reads it as the kernel series does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// An error: no inode.
    Error,
    /// An entry.
    Entry {
        /// Its nodeid; 0 without `backed` is a name that is not there.
        nodeid: u64,
        /// It has a BACKING entry.
        backed: bool,
    },
    /// An entry followed by what no guest accepts. Whether it gives the
    /// nodeid back is its own affair.
    Malformed {
        /// The nodeid it could read.
        nodeid: u64,
    },
    /// Nothing a guest can read.
    Broken,
}

impl Reply {
    /// The message as a daemon writes it to /dev/fuse, whose length write(2)
    /// compares with the header's.
    pub fn message(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        self.bytes.get(..len).unwrap_or(&self.bytes)
    }
}

impl Request {
    /// Answers with the file system's entry as `rule` has it. `fd_of` says
    /// what is written for an id.
    ///
    /// `backing` and `entries` need a guest that negotiated them and left room
    /// for them: a LOOKUP built before INIT was answered has none. Where they
    /// can't be sent neither is the nodeid that goes with them, and the guest
    /// sees the server's own file.
    pub fn entry(
        self,
        entry: &[u8; ENTRY_OUT_LEN],
        rule: Option<&LookupRule>,
        fd_of: impl Fn(u64) -> u64,
    ) -> Reply {
        let mut entry = *entry;
        let Some(rule) = rule else {
            return self.finish(0, &entry, None);
        };
        if let Some(errno) = rule.errno {
            return self.error(errno.0, Some(rule));
        }
        let asked = tail(rule, fd_of);
        let tail = match &asked {
            Some(tail) if rule.raw.is_none() && !self.fits(tail.len()) => None,
            tail => tail.as_deref(),
        };
        if let Some(nodeid) = rule.nodeid
            && tail.is_some() == asked.is_some()
        {
            put(&mut entry, at::NODEID, nodeid.to_ne_bytes());
        }
        if let Some(ms) = rule.entry_timeout_ms {
            timeout(&mut entry, at::ENTRY_VALID, at::ENTRY_VALID_NSEC, ms);
        }
        if let Some(ms) = rule.attr_timeout_ms {
            timeout(&mut entry, at::ATTR_VALID, at::ATTR_VALID_NSEC, ms);
        }
        if let Some(flags) = rule.attr_flags {
            put(&mut entry, at::ATTR_FLAGS, flags.to_ne_bytes());
        }
        if let Some(mode) = rule.mode {
            let kind = match mode.0 & TYPE_MASK {
                0 => word(&entry, at::MODE) & TYPE_MASK,
                _ => 0,
            };
            put(&mut entry, at::MODE, (kind | mode.0).to_ne_bytes());
        }
        let body = [&entry[..], tail.unwrap_or_default()].concat();
        self.finish(0, &body, Some(rule))
    }

    /// Answers with an error, a positive errno.
    pub fn error(self, errno: i32, rule: Option<&LookupRule>) -> Reply {
        self.finish(errno.saturating_neg(), &[], rule)
    }

    /// Whether a guest that does as it should has room for `tail` bytes. More
    /// than the protocol ever has are cut off, not left out.
    fn fits(self, tail: usize) -> bool {
        self.negotiated && self.room >= PLAIN_LEN + tail.min(MAX_ENTRIES * ENTRY_LEN)
    }

    fn finish(self, error: i32, body: &[u8], rule: Option<&LookupRule>) -> Reply {
        let right = OUT_HEADER_LEN + body.len();
        let len = rule
            .and_then(|rule| rule.len)
            .unwrap_or_else(|| u32::try_from(right).unwrap_or(u32::MAX));
        let claimed = usize::try_from(len).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(right);
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(&error.to_ne_bytes());
        bytes.extend_from_slice(&self.unique.to_ne_bytes());
        bytes.extend_from_slice(body);
        // Claimed bytes that are there are zeros, not what the buffer had.
        bytes.resize(right.max(claimed.min(self.room)), 0);
        bytes.truncate(self.room);
        let used = rule.and_then(|rule| rule.used).unwrap_or_else(|| {
            let written = claimed.max(OUT_HEADER_LEN).min(bytes.len());
            u32::try_from(written).unwrap_or(u32::MAX)
        });
        let says = self.says(&bytes, claimed, used, error);
        Reply {
            bytes,
            len,
            used,
            says,
        }
    }

    fn says(self, bytes: &[u8], len: usize, used: u32, error: i32) -> Says {
        let used = usize::try_from(used).unwrap_or(usize::MAX);
        let message = match bytes.get(..len) {
            Some(message) if len <= used => message,
            _ => return Says::Broken,
        };
        if error != 0 {
            return Says::Error;
        }
        let (Some(nodeid), Some(tail)) = (
            message.get(OUT_HEADER_LEN..).and_then(<[u8]>::first_chunk),
            message.get(PLAIN_LEN..),
        ) else {
            return Says::Broken;
        };
        let nodeid = u64::from_ne_bytes(*nodeid);
        match entries_say_backing(tail) {
            Ok(backed) if tail.is_empty() || self.negotiated => Says::Entry { nodeid, backed },
            _ => Says::Malformed { nodeid },
        }
    }
}

/// What the rule puts behind the entry, if anything.
fn tail(rule: &LookupRule, fd_of: impl Fn(u64) -> u64) -> Option<Vec<u8>> {
    if let Some(raw) = &rule.raw {
        return Some(raw.0.clone());
    }
    let backing = rule.backing.map(|id| {
        vec![EntryRule {
            entry_type: EntryType(ENTRY_BACKING),
            id: Some(id),
            fd: None,
            unused: None,
            unused2: None,
        }]
    });
    let entries = rule.entries.as_ref().or(backing.as_ref())?;
    let bytes = entries.iter().flat_map(|entry| encode(entry, &fd_of));
    Some(bytes.collect())
}

fn encode(entry: &EntryRule, fd_of: impl Fn(u64) -> u64) -> [u8; ENTRY_LEN] {
    let named = entry.id.map_or(0, fd_of);
    let fd = named.wrapping_add(entry.fd.unwrap_or(0));
    let mut bytes = [0; ENTRY_LEN];
    put(&mut bytes, 0, entry.entry_type.0.to_ne_bytes());
    put(&mut bytes, 4, entry.unused.unwrap_or(0).to_ne_bytes());
    put(&mut bytes, 8, entry.unused2.unwrap_or(0).to_ne_bytes());
    put(&mut bytes, 16, fd.to_ne_bytes());
    bytes
}

fn timeout(entry: &mut [u8], seconds: usize, nanoseconds: usize, ms: u64) {
    // Below a second, so below 2^32 nanoseconds.
    let nsec = u32::try_from(ms % 1000 * 1_000_000).unwrap_or(0);
    put(entry, seconds, (ms / 1000).to_ne_bytes());
    put(entry, nanoseconds, nsec.to_ne_bytes());
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = value;
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |field| u32::from_ne_bytes(*field))
}

#[cfg(test)]
mod tests;
