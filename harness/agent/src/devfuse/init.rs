//! The answer to INIT.
//!
//! Offsets are those of `struct fuse_init_in` and `struct fuse_init_out`
//! (include/uapi/linux/fuse.h).

use lookback_wire::fuse::FUSE_BACKING_LOOKUP;

use super::request::Request;

/// Bytes of one WRITE at most, 32 pages: what the kernel takes without
/// FUSE_MAX_PAGES.
pub const MAX_WRITE: u32 = 32 * 4096;
/// The only major version there is (`FUSE_KERNEL_VERSION`).
const MAJOR: u32 = 7;
/// What this daemon knows; 7.40 is the first version with `max_stack_depth`.
const MINOR: u32 = 41;
/// LOOKUP and READDIR of one directory may come at the same time.
const PARALLEL_DIROPS: u32 = 1 << 18;
/// `flags2` is there.
const INIT_EXT: u32 = 1 << 30;
/// The lower ext4 is not stacked itself, so depth 1 is all that is needed; the
/// kernel refuses anything deeper below.
const STACK_DEPTH: u32 = 1;
/// Bytes of `struct fuse_init_out`.
const OUT_LEN: usize = 64;

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Init {
    /// A version this daemon can't speak; the reply has the one it can. The
    /// kernel asks again or gives up.
    OtherVersion([u8; OUT_LEN]),
    /// `struct fuse_init_out`, and whether LOOKUP replies may have entries.
    Agreed([u8; OUT_LEN], bool),
}

/// Answer INIT, accepting backing entries if `willing` and they are offered.
/// `None` if the request has not all its words.
pub fn answer(request: &Request<'_>, willing: bool) -> Option<Init> {
    let (major, minor) = (request.u32(0)?, request.u32(4)?);
    let mut out = [0; OUT_LEN];
    put(&mut out, 0, MAJOR);
    put(&mut out, 4, MINOR.min(minor));
    if major != MAJOR {
        return Some(Init::OtherVersion(out));
    }
    let (readahead, offered) = (request.u32(8)?, request.u32(12)?);
    // Without INIT_EXT the request ends before flags2, whatever lies there.
    let offered2 = match offered & INIT_EXT {
        0 => 0,
        _ => request.u32(16)?,
    };
    let backing = u32::try_from(FUSE_BACKING_LOOKUP >> 32).unwrap_or(0);
    let negotiated = willing && offered2 & backing != 0;
    put(&mut out, 8, readahead);
    put(&mut out, 12, offered & (PARALLEL_DIROPS | INIT_EXT));
    put(&mut out, 20, MAX_WRITE);
    // Timestamps to the nanosecond.
    put(&mut out, 24, 1);
    if negotiated {
        put(&mut out, 32, backing);
        put(&mut out, 36, STACK_DEPTH);
    }
    Some(Init::Agreed(out, negotiated))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(word) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *word = value.to_ne_bytes();
    }
}
