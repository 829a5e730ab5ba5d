//! Negotiation: what INIT carries about backing entries.
//!
//! Offsets are those of `struct fuse_init_in` and `struct fuse_init_out` in
//! include/uapi/linux/fuse.h, the latter after the 16 bytes of the header.

use lookback_wire::fuse::{FUSE_BACKING_LOOKUP, OUT_HEADER_LEN};
use virtiofsd::filesystem::FsOptions;

/// Bytes of `struct fuse_init_in`.
pub(crate) const IN_LEN: usize = 64;
/// Bytes of an INIT reply: header and `struct fuse_init_out`.
pub(crate) const REPLY_LEN: usize = OUT_HEADER_LEN + 64;

/// The only major version there is.
const MAJOR: u32 = 7;
/// 7.40 is the first protocol version that has `max_stack_depth`.
const MINOR_STACK_DEPTH: u32 = 40;
/// The guest's ext4 is not stacked itself, so depth 1 is all the backed files
/// need; the kernel refuses anything deeper below them.
const STACK_DEPTH: u32 = 1;

mod request {
    pub(super) const MAJOR: usize = 0;
    pub(super) const FLAGS: usize = 12;
    pub(super) const FLAGS2: usize = 16;
}

mod reply {
    use lookback_wire::fuse::OUT_HEADER_LEN;

    pub(super) const ERROR: usize = 4;
    pub(super) const MAJOR: usize = OUT_HEADER_LEN;
    pub(super) const MINOR: usize = OUT_HEADER_LEN + 4;
    pub(super) const FLAGS: usize = OUT_HEADER_LEN + 12;
    pub(super) const FLAGS2: usize = OUT_HEADER_LEN + 32;
    pub(super) const MAX_STACK_DEPTH: usize = OUT_HEADER_LEN + 36;
}

/// Whether the guest's INIT (after the header) offers backing entries.
pub(crate) fn offers(init_in: &[u8]) -> bool {
    let Some(low) = get(init_in, request::FLAGS) else {
        return false;
    };
    // Without INIT_EXT the request ends before flags2, whatever lies there.
    if u64::from(low) & FsOptions::INIT_EXT.bits() == 0 {
        return false;
    }
    let high = get(init_in, request::FLAGS2).unwrap_or(0);
    get(init_in, request::MAJOR) == Some(MAJOR)
        && (u64::from(high) << 32) & FUSE_BACKING_LOOKUP != 0
}

/// Adds backing entries to an INIT reply of virtiofsd's.
///
/// Takes away what does not go with them: the writeback cache, DAX and
/// idmapped mounts (the kernel refuses the combination). READDIRPLUS does not
/// either, but that is the kernel's to see to, and so to be tested.
///
/// Returns whether the reply now says so; an error reply never does.
pub(crate) fn accept(bytes: &mut [u8]) -> bool {
    if bytes.len() < REPLY_LEN
        || get(bytes, reply::ERROR) != Some(0)
        || get(bytes, reply::MAJOR) != Some(MAJOR)
    {
        return false;
    }
    let (Some(minor), Some(low), Some(high)) = (
        get(bytes, reply::MINOR),
        get(bytes, reply::FLAGS),
        get(bytes, reply::FLAGS2),
    ) else {
        return false;
    };
    let refused = FsOptions::WRITEBACK_CACHE | FsOptions::HAS_INODE_DAX | FsOptions::ALLOW_IDMAP;
    let flags = ((u64::from(high) << 32 | u64::from(low)) & !refused.bits())
        | FsOptions::INIT_EXT.bits()
        | FUSE_BACKING_LOOKUP;
    let [l0, l1, l2, l3, h0, h1, h2, h3] = flags.to_le_bytes();
    put(bytes, reply::FLAGS, u32::from_le_bytes([l0, l1, l2, l3]));
    put(bytes, reply::FLAGS2, u32::from_le_bytes([h0, h1, h2, h3]));
    put(bytes, reply::MINOR, minor.max(MINOR_STACK_DEPTH));
    put(bytes, reply::MAX_STACK_DEPTH, STACK_DEPTH);
    true
}

fn get(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*word))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(word) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *word = value.to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const EXT: u32 = 1 << 30;
    const BACKING: u32 = 1 << 28;

    fn init_in(major: u32, flags: u32, flags2: u32) -> Vec<u8> {
        let mut bytes = vec![0; IN_LEN];
        put(&mut bytes, 0, major);
        put(&mut bytes, 4, 41);
        put(&mut bytes, 12, flags);
        put(&mut bytes, 16, flags2);
        bytes
    }

    #[rstest]
    #[case::offered(init_in(7, EXT, BACKING), true)]
    #[case::among_others(init_in(7, u32::MAX, u32::MAX), true)]
    #[case::not_offered(init_in(7, EXT, !BACKING), false)]
    #[case::not_extended(init_in(7, !EXT, BACKING), false)]
    #[case::next_major(init_in(8, EXT, BACKING), false)]
    #[case::old_and_short(init_in(7, EXT, BACKING)[..16].to_vec(), false)]
    #[case::cut_in_flags2(init_in(7, EXT, BACKING)[..19].to_vec(), false)]
    #[case::empty(vec![], false)]
    fn offer(#[case] bytes: Vec<u8>, #[case] want: bool) {
        assert_eq!(offers(&bytes), want);
    }

    fn reply(error: i32, flags: u32, flags2: u32) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..80).collect();
        put(&mut bytes, 4, u32::from_ne_bytes(error.to_ne_bytes()));
        put(&mut bytes, 16, 7);
        put(&mut bytes, 20, 38);
        put(&mut bytes, 28, flags);
        put(&mut bytes, 48, flags2);
        put(&mut bytes, 52, 0);
        bytes
    }

    #[test]
    fn accepting_touches_four_fields() {
        let before = reply(0, 0b1001, 0b100);
        let mut after = before.clone();
        assert!(accept(&mut after));
        assert_eq!(get(&after, 20), Some(40));
        assert_eq!(get(&after, 28), Some(EXT | 0b1001));
        assert_eq!(get(&after, 48), Some(BACKING | 0b100));
        assert_eq!(get(&after, 52), Some(1));
        for at in (0..80).filter(|at| !matches!(at, 20..24 | 28..32 | 48..56)) {
            assert_eq!(after[at], before[at], "byte {at}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_taken_away() {
        let mut bytes = reply(0, u32::MAX, u32::MAX);
        assert!(accept(&mut bytes));
        // WRITEBACK_CACHE 16.
        let low = !(1 << 16);
        assert_eq!(get(&bytes, 28), Some(low));
        // HAS_INODE_DAX 33, ALLOW_IDMAP 40.
        assert_eq!(get(&bytes, 48), Some(!(1 << 1 | 1 << 8)));
    }

    #[rstest]
    #[case::error(reply(-libc::EPROTO, 0, 0))]
    #[case::error_alone(reply(-libc::EPROTO, 0, 0)[..16].to_vec())]
    #[case::short(reply(0, 0, 0)[..79].to_vec())]
    #[case::empty(vec![])]
    fn a_refusal_stays_one(#[case] before: Vec<u8>) {
        let mut after = before.clone();
        assert!(!accept(&mut after));
        assert_eq!(after, before);
    }
}
