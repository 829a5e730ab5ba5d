//! Replies, byte for byte (include/uapi/linux/fuse.h).

use lookback_wire::fuse::{ENTRY_OUT_LEN, OUT_HEADER_LEN};

use super::tree::{Attributes, BLOCK};

/// How long the kernel may trust a name and its attributes where no rule says
/// otherwise, in seconds: the host's servers say the same.
const VALID: u64 = 1;
/// Bytes of a file name at most.
const NAME_MAX: u32 = 255;
/// Bytes of `struct fuse_dirent` before the name.
const DIRENT_LEN: usize = 24;

/// Appends fields one after the other.
struct Fields(Vec<u8>);

impl Fields {
    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn attributes(self, a: &Attributes) -> Self {
        let (uid, gid, nsec, flags) = (0, 0, 0, 0);
        self.u64(a.ino)
            .u64(a.size)
            .u64(a.size.div_ceil(512))
            .u64(a.time)
            .u64(a.time)
            .u64(a.time)
            .u32(nsec)
            .u32(nsec)
            .u32(nsec)
            .u32(a.mode)
            .u32(a.nlink)
            .u32(uid)
            .u32(gid)
            .u32(a.rdev)
            .u32(BLOCK)
            .u32(flags)
    }
}

/// A whole reply: `error` is 0 or a positive errno.
pub fn message(unique: u64, error: i32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(OUT_HEADER_LEN + body.len()).unwrap_or(u32::MAX);
    let mut fields = Fields(Vec::new())
        .u32(len)
        .u32(error.saturating_neg().cast_unsigned())
        .u64(unique);
    fields.0.extend_from_slice(body);
    fields.0
}

/// `struct fuse_entry_out`.
pub fn entry(nodeid: u64, attributes: &Attributes) -> [u8; ENTRY_OUT_LEN] {
    let (generation, nsec) = (0, 0);
    let fields = Fields(Vec::new())
        .u64(nodeid)
        .u64(generation)
        .u64(VALID)
        .u64(VALID)
        .u32(nsec)
        .u32(nsec)
        .attributes(attributes);
    let mut bytes = [0; ENTRY_OUT_LEN];
    for (to, from) in bytes.iter_mut().zip(fields.0) {
        *to = from;
    }
    bytes
}

/// `struct fuse_attr_out`.
pub fn attributes(attributes: &Attributes) -> Vec<u8> {
    let (nsec, dummy) = (0, 0);
    Fields(Vec::new())
        .u64(VALID)
        .u32(nsec)
        .u32(dummy)
        .attributes(attributes)
        .0
}

/// `struct fuse_open_out`: no handle, no flags, no backing id.
pub fn opened() -> Vec<u8> {
    Fields(Vec::new()).u64(0).u32(0).u32(0).0
}

/// `struct fuse_statfs_out`: nothing to be had, but names and blocks as ext4's.
pub fn statfs() -> Vec<u8> {
    let mut fields = Fields(vec![0; 5 * 8]).u32(BLOCK).u32(NAME_MAX).u32(BLOCK);
    fields.0.resize(fields.0.len() + 7 * 4, 0);
    fields.0
}

/// `struct fuse_dirent` of the entries from `offset` on, in `size` bytes at most.
pub fn listing(entries: &[(&str, u64, u32)], offset: u64, size: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (next, (name, ino, kind)) in (1..).zip(entries) {
        if next <= offset {
            continue;
        }
        let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let mut dirent = Fields(Vec::new()).u64(*ino).u64(next).u32(len).u32(*kind).0;
        dirent.extend_from_slice(name.as_bytes());
        dirent.resize((DIRENT_LEN + name.len()).next_multiple_of(8), 0);
        if bytes.len() + dirent.len() > size as usize {
            break;
        }
        bytes.extend_from_slice(&dirent);
    }
    bytes
}

/// A path below a directory's; bytes that are not UTF-8 are replaced.
pub fn join(directory: &str, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    if directory.is_empty() {
        name.into_owned()
    } else {
        format!("{directory}/{name}")
    }
}
