//! FUSE opcodes by name (`enum fuse_opcode` of include/uapi/linux/fuse.h).

/// Look a name up in a directory.
pub const LOOKUP: u32 = 1;
/// Give references to one inode back; has no reply.
pub const FORGET: u32 = 2;
/// First request of a connection.
pub const INIT: u32 = 26;
/// Abandon a request; has no reply of its own.
pub const INTERRUPT: u32 = 36;
/// Last request of a connection.
pub const DESTROY: u32 = 38;
/// Give references to several inodes back; has no reply.
pub const BATCH_FORGET: u32 = 42;

/// Name of an opcode, `UNKNOWN` for one the protocol does not have.
pub fn name(opcode: u32) -> &'static str {
    match opcode {
        1 => "LOOKUP",
        2 => "FORGET",
        3 => "GETATTR",
        4 => "SETATTR",
        5 => "READLINK",
        6 => "SYMLINK",
        8 => "MKNOD",
        9 => "MKDIR",
        10 => "UNLINK",
        11 => "RMDIR",
        12 => "RENAME",
        13 => "LINK",
        14 => "OPEN",
        15 => "READ",
        16 => "WRITE",
        17 => "STATFS",
        18 => "RELEASE",
        20 => "FSYNC",
        21 => "SETXATTR",
        22 => "GETXATTR",
        23 => "LISTXATTR",
        24 => "REMOVEXATTR",
        25 => "FLUSH",
        26 => "INIT",
        27 => "OPENDIR",
        28 => "READDIR",
        29 => "RELEASEDIR",
        30 => "FSYNCDIR",
        31 => "GETLK",
        32 => "SETLK",
        33 => "SETLKW",
        34 => "ACCESS",
        35 => "CREATE",
        36 => "INTERRUPT",
        37 => "BMAP",
        38 => "DESTROY",
        39 => "IOCTL",
        40 => "POLL",
        41 => "NOTIFY_REPLY",
        42 => "BATCH_FORGET",
        43 => "FALLOCATE",
        44 => "READDIRPLUS",
        45 => "RENAME2",
        46 => "LSEEK",
        47 => "COPY_FILE_RANGE",
        48 => "SETUPMAPPING",
        49 => "REMOVEMAPPING",
        50 => "SYNCFS",
        51 => "TMPFILE",
        52 => "STATX",
        _ => "UNKNOWN",
    }
}

/// Whether the nodeid of such a request names no inode it works on, or only
/// one whose references are given back.
pub fn names_no_object(opcode: u32) -> bool {
    matches!(opcode, FORGET | BATCH_FORGET | INIT | DESTROY | INTERRUPT)
}

/// Whether the guest waits for an answer to such a request.
pub fn has_reply(opcode: u32) -> bool {
    !matches!(opcode, FORGET | BATCH_FORGET | INTERRUPT)
}
