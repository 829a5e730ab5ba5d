//! What operations are told by a word.

use serde::{Deserialize, Serialize};

/// What mknod makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeKind {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device, major and minor.
    Char(u32, u32),
    /// A block device, major and minor.
    Block(u32, u32),
}

/// Flags of renameat2(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct RenameFlags {
    /// RENAME_NOREPLACE
    pub noreplace: bool,
    /// RENAME_EXCHANGE
    pub exchange: bool,
    /// RENAME_WHITEOUT
    pub whiteout: bool,
}

/// Where lseek(2) counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Whence {
    /// SEEK_SET
    Set,
    /// SEEK_CUR
    Cur,
    /// SEEK_END
    End,
    /// SEEK_DATA
    Data,
    /// SEEK_HOLE
    Hole,
}

/// Flags of setxattr(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum XattrFlag {
    /// Make it or replace it.
    #[default]
    Any,
    /// XATTR_CREATE
    Create,
    /// XATTR_REPLACE
    Replace,
}

/// What is asked of a lock or lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Locked {
    /// LOCK_SH, F_RDLCK
    Shared,
    /// LOCK_EX, F_WRLCK
    Exclusive,
    /// LOCK_UN, F_UNLCK
    Not,
}

/// An ioctl on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ioctl {
    /// FS_IOC_GETVERSION; the number, random for each inode, is not kept.
    GetVersion,
    /// FS_IOC_FSGETXATTR
    FsGetXattr,
    /// FS_IOC_GETFSLABEL
    GetFsLabel,
    /// FIGETBSZ, answered above the file system.
    GetBlockSize,
    /// FS_IOC_FIEMAP after a sync: logical extents.
    Fiemap,
    /// FITRIM of the whole file system; how much was trimmed is not kept.
    Fitrim,
    /// A number no file system knows.
    Unknown,
    /// Any number, with a page of zeros as its argument, whose end is not kept.
    Number(u32),
}
