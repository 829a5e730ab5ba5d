//! The requests themselves, the newest of them: what a person reads beside the
//! kernel's log when something went wrong.
//!
//! Kept as bytes and only taken apart when somebody reads them: a run in which
//! nothing is found pays for a copy of some bytes a request.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use lookback_wire::fuse::{ENTRY_LEN, Entry, OUT_HEADER_LEN};
use lookback_wire::reply::{FULL_LEN, PLAIN_LEN};

use crate::opcode;

/// Bytes of a request's body that are kept: two names of 255 bytes and what may
/// stand before them.
pub(crate) const BODY_MAX: usize = 640;
/// Bytes of a reply that are kept: its header and the nodeid.
pub(crate) const REPLY_MAX: usize = OUT_HEADER_LEN + 8;
/// The same of LOOKUP's: one entry more than the protocol has.
pub(crate) const LOOKUP_REPLY_MAX: usize = FULL_LEN + ENTRY_LEN;

/// One request and its reply. Shows as
/// `LOOKUP node 1 "stack" -> node 0 backing 1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// When it came.
    pub at: Instant,
    opcode: u32,
    nodeid: u64,
    /// The beginning of what follows its header.
    body: Vec<u8>,
    answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    /// The beginning of the reply; nothing where there is none.
    bytes: Vec<u8>,
    /// A rule held it back for so long.
    late: Option<Duration>,
}

/// The newest requests, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests that came before and are not kept.
    pub dropped: u64,
    /// Those that are.
    pub entries: Vec<LoggedRequest>,
}

/// A ring of requests.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    capacity: usize,
    dropped: u64,
    entries: VecDeque<LoggedRequest>,
}

impl RequestLog {
    /// Keeps the newest `capacity`; with 0 none, and nothing is copied.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// Takes a request; returns what [`RequestLog::answered`] knows it by.
    pub(crate) fn arrived(&mut self, at: Instant, opcode: u32, nodeid: u64, body: Vec<u8>) -> u64 {
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(LoggedRequest {
            at,
            opcode,
            nodeid,
            body,
            answer: None,
        });
        self.dropped + u64::try_from(self.entries.len()).unwrap_or(0)
    }

    /// The request that `arrived` gave `ticket` for has its answer, unless it is
    /// dropped by now.
    pub(crate) fn answered(&mut self, ticket: u64, bytes: Vec<u8>, late: Option<Duration>) {
        let index = ticket
            .checked_sub(self.dropped + 1)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.answer = Some(Answer { bytes, late });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.dropped = 0;
        self.entries.clear();
    }

    pub(crate) fn requests(&self) -> Requests {
        Requests {
            dropped: self.dropped,
            entries: self.entries.iter().cloned().collect(),
        }
    }
}

/// Whether what stands behind such a request's header is worth keeping.
pub(crate) fn has_words(opcode: u32) -> bool {
    Words::of(opcode).is_some()
}

/// Where a request's names are (include/uapi/linux/fuse.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// So many names after so many bytes.
    Names { skip: usize, count: usize },
    /// A nodeid, then names.
    NodeAndNames { skip: usize, count: usize },
    /// The name of an extended attribute after the struct, which has two
    /// lengths.
    SetXattr,
    /// `fuse_read_in` and `fuse_write_in`: a handle, offset and size.
    Range,
    /// `fuse_forget_in`.
    Forget,
    /// `fuse_batch_forget_in` and pairs.
    BatchForget,
}

impl Words {
    fn of(opcode: u32) -> Option<Self> {
        let names = |skip, count| Some(Words::Names { skip, count });
        match opcode::name(opcode) {
            "LOOKUP" | "UNLINK" | "RMDIR" | "REMOVEXATTR" => names(0, 1),
            "SYMLINK" => names(0, 2),
            "MKDIR" | "GETXATTR" => names(8, 1),
            "MKNOD" | "CREATE" => names(16, 1),
            "LINK" => Some(Words::NodeAndNames { skip: 8, count: 1 }),
            "RENAME" => Some(Words::NodeAndNames { skip: 8, count: 2 }),
            "RENAME2" => Some(Words::NodeAndNames { skip: 16, count: 2 }),
            "SETXATTR" => Some(Words::SetXattr),
            "READ" | "WRITE" => Some(Words::Range),
            "FORGET" => Some(Words::Forget),
            "BATCH_FORGET" => Some(Words::BatchForget),
            _ => None,
        }
    }

    fn show(self, body: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Words::Names { skip, count } => names(body.get(skip..), count, f),
            Words::NodeAndNames { skip, count } => {
                write!(f, " node {}", word(body, 0))?;
                names(body.get(skip..), count, f)
            }
            Words::SetXattr => {
                // With FUSE_SETXATTR_EXT two more words stand before the name,
                // the first of them 0 or 1; the second byte of a name is no zero.
                let skip = if body.get(9) == Some(&0) { 16 } else { 8 };
                names(body.get(skip..), 1, f)
            }
            Words::Range => write!(f, " offset {} size {}", word(body, 8), half(body, 16)),
            Words::Forget => write!(f, " count {}", word(body, 0)),
            Words::BatchForget => {
                let count = usize::try_from(half(body, 0)).unwrap_or(usize::MAX);
                let pairs = body.get(8..).unwrap_or_default().chunks_exact(16);
                let known = pairs.len().min(count);
                for pair in pairs.take(known) {
                    write!(f, " node {} count {}", word(pair, 0), word(pair, 8))?;
                }
                if known < count {
                    write!(f, " and {} more", count - known)?;
                }
                Ok(())
            }
        }
    }
}

fn names(bytes: Option<&[u8]>, count: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = bytes.unwrap_or_default();
    for _ in 0..count {
        let end = rest.iter().position(|byte| *byte == 0);
        let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        write!(f, " \"{}\"", name.escape_ascii())?;
        match end {
            Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
            // The request ends here, or what is kept of it.
            None => return f.write_str("..."),
        }
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |field| u64::from_ne_bytes(*field))
}

fn half(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |field| u32::from_ne_bytes(*field))
}

/// Whether the reply to such a request begins with a `fuse_entry_out`.
fn gives_entry(opcode: u32) -> bool {
    matches!(
        opcode::name(opcode),
        "LOOKUP" | "SYMLINK" | "MKNOD" | "MKDIR" | "LINK" | "CREATE"
    )
}

impl fmt::Display for LoggedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match opcode::name(self.opcode) {
            "UNKNOWN" => write!(f, "opcode {}", self.opcode)?,
            name => f.write_str(name)?,
        }
        write!(f, " node {}", self.nodeid)?;
        if let Some(words) = Words::of(self.opcode) {
            words.show(&self.body, f)?;
        }
        match &self.answer {
            None => f.write_str(" -> not answered"),
            Some(_) if !opcode::has_reply(self.opcode) => Ok(()),
            Some(answer) => answer.show(self.opcode, f),
        }
    }
}

impl Answer {
    fn show(&self, opcode: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = half(&self.bytes, 4).cast_signed().saturating_neg();
        if self.bytes.len() < OUT_HEADER_LEN {
            f.write_str(" -> a reply without a header")?;
        } else if errno != 0 {
            write!(f, " -> {}", lookback_ops::errno::name(errno))?;
        } else if gives_entry(opcode) {
            write!(f, " -> node {}", word(&self.bytes, OUT_HEADER_LEN))?;
            entries(self.bytes.get(PLAIN_LEN..).unwrap_or_default(), f)?;
        } else {
            f.write_str(" -> ok")?;
        }
        if let Some(late) = self.late {
            write!(f, " after {} ms", late.as_millis())?;
        }
        Ok(())
    }
}

/// What follows a `fuse_entry_out`, right or wrong.
fn entries(tail: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (whole, rest) = tail.as_chunks::<ENTRY_LEN>();
    for entry in whole {
        match Entry::parse(entry) {
            Ok(Entry::Backing { fd }) => write!(f, " backing {fd}")?,
            Ok(Entry::RemoveBacking) => f.write_str(" remove-backing")?,
            Err(error) => write!(f, " ({error})")?,
        }
    }
    if !rest.is_empty() {
        write!(f, " and {} bytes more", rest.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
