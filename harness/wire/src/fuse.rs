//! The lookup/backing extension of the FUSE protocol.
//!
//! The layout follows the fuse-bpf RFC v4 (patch 04/36); the INIT flag and the
//! ioctls are this project's own (`guest-kernel/patches`).

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
