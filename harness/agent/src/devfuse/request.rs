//! A request as it is read from /dev/fuse (`struct fuse_in_header` and what
//! follows it, include/uapi/linux/fuse.h).

use thiserror::Error;

/// Bytes of `struct fuse_in_header`.
pub const HEADER_LEN: usize = 40;

/// Look a name up in a directory.
pub const LOOKUP: u32 = 1;
/// Give references to one inode back; has no reply.
pub const FORGET: u32 = 2;
/// Attributes of an inode.
pub const GETATTR: u32 = 3;
/// Where a symlink leads.
pub const READLINK: u32 = 5;
/// Open a file.
pub const OPEN: u32 = 14;
/// Read from an open file.
pub const READ: u32 = 15;
/// Figures of the file system.
pub const STATFS: u32 = 17;
/// Close a file.
pub const RELEASE: u32 = 18;
/// First request of a connection.
pub const INIT: u32 = 26;
/// Open a directory.
pub const OPENDIR: u32 = 27;
/// Read from an open directory.
pub const READDIR: u32 = 28;
/// Close a directory.
pub const RELEASEDIR: u32 = 29;
/// Abandon a request; has no reply of its own.
pub const INTERRUPT: u32 = 36;
/// Last request of a connection.
pub const DESTROY: u32 = 38;
/// Answer to a notification; has no reply.
pub const NOTIFY_REPLY: u32 = 41;
/// Give references to several inodes back; has no reply.
pub const BATCH_FORGET: u32 = 42;

/// Bytes that are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not even a header.
    #[error("a request of {0} bytes, shorter than its header")]
    Short(usize),
    /// The header's `len` is not how many bytes came.
    #[error("a request of {came} bytes says it has {says}")]
    Length {
        /// What `len` says.
        says: u32,
        /// What read(2) returned.
        came: usize,
    },
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is to be done.
    pub opcode: u32,
    /// Which reply is the answer.
    pub unique: u64,
    /// To which inode.
    pub nodeid: u64,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Take the bytes of one read(2) apart.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Request<'a>, RequestError> {
        let short = RequestError::Short(bytes.len());
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(short);
        };
        let (Some(says), Some(opcode), Some(unique), Some(nodeid)) = (
            u32_at(header, 0),
            u32_at(header, 4),
            u64_at(header, 8),
            u64_at(header, 16),
        ) else {
            return Err(short);
        };
        if says as usize != bytes.len() {
            return Err(RequestError::Length {
                says,
                came: bytes.len(),
            });
        }
        Ok(Request {
            opcode,
            unique,
            nodeid,
            body,
        })
    }

    /// The 32-bit word at this offset of the body.
    pub fn u32(&self, at: usize) -> Option<u32> {
        u32_at(self.body, at)
    }

    /// The 64-bit word at this offset of the body.
    pub fn u64(&self, at: usize) -> Option<u64> {
        u64_at(self.body, at)
    }

    /// The name that is the whole body: not empty, one NUL, at its end.
    pub fn name(&self) -> Option<&'a [u8]> {
        let (&last, name) = self.body.split_last()?;
        (last == 0 && !name.is_empty() && !name.contains(&0)).then_some(name)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u64::from_ne_bytes)
}
