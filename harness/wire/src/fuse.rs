//! The lookup/backing extension of the FUSE protocol.
//!
//! The layout follows the fuse-bpf RFC v4 (patch 04/36); the INIT flag and the
//! ioctls are this project's own (`guest-kernel/patches`).
//!
//! A LOOKUP reply is `fuse_out_header`, `fuse_entry_out` and at most
//! [`MAX_ENTRIES`] entries of [`ENTRY_LEN`] bytes, in the byte order of the
//! machine, as everything in FUSE.

use thiserror::Error;

/// INIT flag: the server may append backing entries to LOOKUP replies.
/// A flag of the 64-bit flags (`flags2` bit 28).
pub const FUSE_BACKING_LOOKUP: u64 = 1 << 60;
/// At most this many entries follow a `fuse_entry_out`.
pub const MAX_ENTRIES: usize = 2;
/// Bytes of one entry.
pub const ENTRY_LEN: usize = 24;
/// Bytes of `fuse_out_header`.
pub const OUT_HEADER_LEN: usize = 16;
/// Bytes of `fuse_entry_out`.
pub const ENTRY_OUT_LEN: usize = 128;
/// `entry_type`: the entry names a backing file.
pub const ENTRY_BACKING: u32 = 1;
/// `entry_type`: the entry names a BPF program (not supported by the kernel series).
pub const ENTRY_BPF: u32 = 2;
/// `entry_type`: take the backing file away.
pub const ENTRY_REMOVE_BACKING: u32 = 3;
/// `entry_type`: take the BPF program away.
pub const ENTRY_REMOVE_BPF: u32 = 4;

/// Magic of FUSE's device ioctls (`FUSE_DEV_IOC_MAGIC`).
pub const IOC_MAGIC: u8 = 229;
/// `FUSE_IOC_BACKING_REGISTER`: `_IOW(229, 16, struct fuse_backing_register)`
/// on the mount's root directory.
pub const IOC_BACKING_REGISTER: u8 = 16;
/// `FUSE_IOC_BACKING_UNREGISTER`: `_IOW(229, 17, u64)`.
pub const IOC_BACKING_UNREGISTER: u8 = 17;

/// `struct fuse_backing_register`: give a path of the guest an id.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackingRegister {
    /// The id the server names; 1 to `i32::MAX`.
    pub id: u64,
    /// A file descriptor of the caller, O_PATH included.
    pub fd: i32,
    /// Zero.
    pub flags: u32,
}

/// What one entry after a `fuse_entry_out` says.
///
/// The first eight bytes are the type and a zero word; the payload is sixteen:
/// a zero `u64` and the number, all zero where there is nothing to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The inode is backed by `fd`: a file descriptor of the daemon on
    /// /dev/fuse, an id of the connection's table on virtiofs.
    Backing {
        /// At most `i32::MAX`.
        fd: u64,
    },
    /// The inode has no backing file any more.
    RemoveBacking,
}

/// Why bytes are not the entries of a LOOKUP reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryError {
    /// The reply's tail is not a whole number of entries.
    #[error("{len} bytes after the entry: not a multiple of {ENTRY_LEN}")]
    Length {
        /// Bytes after the `fuse_entry_out`.
        len: usize,
    },
    /// More than [`MAX_ENTRIES`].
    #[error("{count} entries: at most {MAX_ENTRIES} may follow")]
    TooMany {
        /// Entries found.
        count: usize,
    },
    /// `entry_type` is none of the four.
    #[error("unknown entry type {0}")]
    Type(u32),
    /// A BPF entry, which the kernel series refuses.
    #[error("entry type {0} names a BPF program, which is not supported")]
    Bpf(u32),
    /// A field that must be zero is not.
    #[error("reserved field at byte {offset} of an entry is {value:#x}, not zero")]
    Reserved {
        /// Where in the entry.
        offset: usize,
        /// What was there.
        value: u64,
    },
    /// The number of a BACKING entry is not one an `int` holds.
    #[error("backing {0} is greater than {max}", max = i32::MAX)]
    Number(u64),
    /// The entries contradict each other: BACKING and REMOVE_BACKING, or one
    /// of them twice.
    #[error("more than one entry speaks of the backing file")]
    Conflict,
}

impl Entry {
    /// The bytes of the entry.
    pub fn encode(self) -> [u8; ENTRY_LEN] {
        let (kind, number) = match self {
            Entry::Backing { fd } => (ENTRY_BACKING, fd),
            Entry::RemoveBacking => (ENTRY_REMOVE_BACKING, 0),
        };
        let mut bytes = [0; ENTRY_LEN];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[16..].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    /// Reads one entry, as strictly as the kernel series does.
    ///
    /// # Errors
    /// The first field that is wrong, in the order of the fields.
    pub fn parse(bytes: &[u8; ENTRY_LEN]) -> Result<Self, EntryError> {
        let ([head, unused2, number], []) = bytes.as_chunks::<8>() else {
            return Err(EntryError::Length { len: bytes.len() });
        };
        let [t0, t1, t2, t3, u0, u1, u2, u3] = *head;
        let kind = u32::from_ne_bytes([t0, t1, t2, t3]);
        let unused = u32::from_ne_bytes([u0, u1, u2, u3]);
        let unused2 = u64::from_ne_bytes(*unused2);
        let number = u64::from_ne_bytes(*number);
        match kind {
            ENTRY_BACKING | ENTRY_REMOVE_BACKING => {}
            ENTRY_BPF | ENTRY_REMOVE_BPF => return Err(EntryError::Bpf(kind)),
            _ => return Err(EntryError::Type(kind)),
        }
        zero(4, u64::from(unused))?;
        zero(8, unused2)?;
        if kind == ENTRY_REMOVE_BACKING {
            zero(16, number)?;
            return Ok(Entry::RemoveBacking);
        }
        if i32::try_from(number).is_err() {
            return Err(EntryError::Number(number));
        }
        Ok(Entry::Backing { fd: number })
    }
}

/// Reads all that follows the `fuse_entry_out` of a LOOKUP reply.
///
/// # Errors
/// The same replies the kernel series refuses.
pub fn parse_entries(tail: &[u8]) -> Result<Vec<Entry>, EntryError> {
    let (entries, rest) = tail.as_chunks::<ENTRY_LEN>();
    if !rest.is_empty() {
        return Err(EntryError::Length { len: tail.len() });
    }
    if entries.len() > MAX_ENTRIES {
        return Err(EntryError::TooMany {
            count: entries.len(),
        });
    }
    let entries = entries
        .iter()
        .map(Entry::parse)
        .collect::<Result<Vec<_>, _>>()?;
    // Both kinds there are speak of the backing file.
    if entries.len() > 1 {
        return Err(EntryError::Conflict);
    }
    Ok(entries)
}

/// Whether what follows the `fuse_entry_out` names a backing file.
///
/// # Errors
/// The same replies the kernel series refuses.
pub fn entries_say_backing(tail: &[u8]) -> Result<bool, EntryError> {
    let entries = parse_entries(tail)?;
    Ok(entries
        .iter()
        .any(|entry| matches!(entry, Entry::Backing { .. })))
}

fn zero(offset: usize, value: u64) -> Result<(), EntryError> {
    if value == 0 {
        Ok(())
    } else {
        Err(EntryError::Reserved { offset, value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn raw(kind: u32, unused: u32, unused2: u64, fd: u64) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&unused.to_ne_bytes());
        bytes[8..16].copy_from_slice(&unused2.to_ne_bytes());
        bytes[16..].copy_from_slice(&fd.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_backing_entry_has_the_published_layout() {
        let bytes = Entry::Backing { fd: 0x0102_0304 }.encode();
        assert_eq!(bytes, raw(1, 0, 0, 0x0102_0304));
        assert_eq!(Entry::RemoveBacking.encode(), raw(3, 0, 0, 0));
    }

    #[rstest]
    #[case::backing(raw(1, 0, 0, 7), Ok(Entry::Backing { fd: 7 }))]
    #[case::zero_fd(raw(1, 0, 0, 0), Ok(Entry::Backing { fd: 0 }))]
    #[case::largest_fd(raw(1, 0, 0, 0x7fff_ffff), Ok(Entry::Backing { fd: 0x7fff_ffff }))]
    #[case::remove(raw(3, 0, 0, 0), Ok(Entry::RemoveBacking))]
    #[case::type_zero(raw(0, 0, 0, 0), Err(EntryError::Type(0)))]
    #[case::type_five(raw(5, 0, 0, 0), Err(EntryError::Type(5)))]
    #[case::bpf(raw(2, 0, 0, 3), Err(EntryError::Bpf(2)))]
    #[case::remove_bpf(raw(4, 0, 0, 0), Err(EntryError::Bpf(4)))]
    #[case::unused(raw(1, 9, 0, 7), Err(EntryError::Reserved { offset: 4, value: 9 }))]
    #[case::unused2(raw(1, 0, 9, 7), Err(EntryError::Reserved { offset: 8, value: 9 }))]
    #[case::remove_names_one(raw(3, 0, 0, 9), Err(EntryError::Reserved { offset: 16, value: 9 }))]
    #[case::past_int(raw(1, 0, 0, 0x8000_0000), Err(EntryError::Number(0x8000_0000)))]
    #[case::truncates_to_three(raw(1, 0, 0, 0x1_0000_0003), Err(EntryError::Number(0x1_0000_0003)))]
    fn one_entry(#[case] bytes: [u8; ENTRY_LEN], #[case] want: Result<Entry, EntryError>) {
        assert_eq!(Entry::parse(&bytes), want);
    }

    #[rstest]
    #[case::none(vec![], Ok(vec![]))]
    #[case::one(vec![raw(1, 0, 0, 1)], Ok(vec![Entry::Backing { fd: 1 }]))]
    #[case::twice(vec![raw(1, 0, 0, 1), raw(1, 0, 0, 2)], Err(EntryError::Conflict))]
    #[case::both(vec![raw(1, 0, 0, 1), raw(3, 0, 0, 0)], Err(EntryError::Conflict))]
    #[case::bad_second(vec![raw(1, 0, 0, 1), raw(9, 0, 0, 0)], Err(EntryError::Type(9)))]
    #[case::three(vec![raw(1, 0, 0, 1); 3], Err(EntryError::TooMany { count: 3 }))]
    fn a_tail(#[case] entries: Vec<[u8; ENTRY_LEN]>, #[case] want: Result<Vec<Entry>, EntryError>) {
        assert_eq!(parse_entries(&entries.concat()), want);
    }

    #[test]
    fn half_an_entry_is_refused() {
        let mut tail = raw(1, 0, 0, 1).to_vec();
        tail.push(0);
        assert_eq!(parse_entries(&tail), Err(EntryError::Length { len: 25 }));
        assert_eq!(
            parse_entries(&tail[..23]),
            Err(EntryError::Length { len: 23 })
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_parses_back(fd in 0_u64..=0x7fff_ffff) {
            let entry = Entry::Backing { fd };
            prop_assert_eq!(Entry::parse(&entry.encode()), Ok(entry));
        }

        // Strictness: one entry has one spelling, so nothing but the encoding
        // of what was parsed is ever accepted.
        #[test]
        fn what_parses_is_its_own_encoding(
            kind in 0_u32..6, unused in 0_u32..2, unused2 in 0_u64..2, fd in any::<u64>(),
        ) {
            let bytes = raw(kind, unused, unused2, fd);
            if let Ok(entry) = Entry::parse(&bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }

        #[test]
        fn any_tail_is_judged_without_a_panic(tail in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse_entries(&tail);
        }
    }
}
