//! The legitimate differences: the only ones that are no finding.
//!
//! Each entry is justified by the kernel's own code, and each use of it is
//! counted in the verdict, so that an entry that forgives too much shows.

use lookback_ops::{FileOp, Op, StatView, Whence};
use lookback_wire::control::Arm;

use crate::difference::{Attribute, Difference};

/// A difference together with what it was found in.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The difference.
    pub difference: &'a Difference,
    /// The operation that gave it.
    pub op: Option<&'a Op>,
    /// The reference's and the arm's stat data, if it was found in some.
    pub stats: Option<(&'a StatView, &'a StatView)>,
    /// The trace left a file system mounted on the path or above it.
    pub covered: bool,
}

impl Candidate<'_> {
    fn is(&self, arm: Arm, attribute: Attribute) -> bool {
        self.difference.arm == arm && self.difference.attribute == attribute
    }

    fn both_directories(&self) -> bool {
        const S_IFMT: u32 = 0o170_000;
        const S_IFDIR: u32 = 0o040_000;
        self.stats
            .is_some_and(|(a, b)| a.mode & S_IFMT == S_IFDIR && b.mode & S_IFMT == S_IFDIR)
    }
}

/// One legitimate difference.
#[derive(Debug)]
pub struct Legitimate {
    /// Its name in reports.
    pub id: &'static str,
    /// Why it is no finding.
    pub reason: &'static str,
    /// The kernel code that makes it so (Linux 6.12).
    pub source: &'static str,
    /// Whether it is this one.
    pub applies: fn(&Candidate<'_>) -> bool,
}

/// No position in an ext4 file is beyond this many bytes (2^32 blocks of 4 KiB).
const EXT4_LARGEST_FILE: i64 = 1 << 44;

/// The table. The first entry that applies excuses the difference.
pub const LEGITIMATE: &[Legitimate] = &[
    Legitimate {
        id: "plain-blksize",
        reason: "virtiofs passes on the block size the server's file system reports",
        source: "fs/fuse/dir.c, fuse_fillattr: stat->blksize = 1 << ilog2(attr->blksize)",
        applies: |c| c.is(Arm::Plain, Attribute::Blksize),
    },
    Legitimate {
        id: "plain-directory-size",
        reason: "a directory's size is the server's file system's own bookkeeping",
        source: "fs/fuse/dir.c, fuse_fillattr: stat->size = attr->size",
        applies: |c| c.is(Arm::Plain, Attribute::Size) && c.both_directories(),
    },
    Legitimate {
        id: "plain-directory-nlink",
        reason: "the server's file system does not count subdirectories and says 1",
        source: "fs/fuse/inode.c, fuse_change_attributes_common: set_nlink(inode, attr->nlink); \
                 for instance fs/overlayfs/inode.c, ovl_getattr: stat->nlink = 1",
        applies: |c| {
            c.is(Arm::Plain, Attribute::Nlink)
                && c.both_directories()
                && c.stats.is_some_and(|(_, actual)| actual.nlink == 1)
        },
    },
    Legitimate {
        id: "plain-holes",
        reason: "where a file has holes is for the server's file system to say",
        source: "fs/fuse/file.c, fuse_lseek: SEEK_DATA and SEEK_HOLE are sent as FUSE_LSEEK",
        applies: |c| {
            (c.is(Arm::Plain, Attribute::Ret) || c.is(Arm::Plain, Attribute::Errno))
                && matches!(
                    c.op,
                    Some(Op::Lseek {
                        whence: Whence::Data | Whence::Hole,
                        ..
                    })
                )
        },
    },
    Legitimate {
        id: "plain-directory-end",
        reason: "positions in an ext4 directory are hashes up to 2^63-1, and SEEK_END counts from \
                 there; FUSE counts from the size the server reports",
        source: "fs/ext4/dir.c, ext4_dir_llseek: ext4_get_htree_eof; \
                 fs/fuse/dir.c, fuse_dir_operations: .llseek = generic_file_llseek",
        applies: |c| {
            c.is(Arm::Plain, Attribute::Ret)
                && matches!(c.op, Some(Op::Lseek { .. }))
                && c.difference
                    .expected
                    .parse()
                    .is_ok_and(|position: i64| position > EXT4_LARGEST_FILE)
        },
    },
    Legitimate {
        id: "plain-ioctl",
        reason: "virtiofsd knows no FUSE_IOCTL, and FUSE can't tell where a file's blocks are",
        source: "fs/fuse/ioctl.c, fuse_send_ioctl: ret = -ENOTTY for -ENOSYS; \
                 fs/ioctl.c, ioctl_fiemap: -EOPNOTSUPP without i_op->fiemap",
        applies: |c| {
            let lacks = ["ENOTTY", "EOPNOTSUPP"];
            c.is(Arm::Plain, Attribute::Errno)
                && matches!(
                    c.op,
                    Some(Op::File(FileOp::Ioctl { .. } | FileOp::Lsattr { .. }))
                )
                && lacks
                    .iter()
                    .any(|errno| c.difference.actual.starts_with(errno))
        },
    },
    Legitimate {
        id: "covered-directory",
        reason: "readdir gives the covered directory's inode number, stat the mounted root's; \
                 a mount of the trace does not outlive the arm's own",
        source: "fs/ext4/dir.c, ext4_readdir: dir_emit(…, de->inode, …); \
                 fs/namei.c, __traverse_mounts",
        applies: |c| {
            c.covered
                && matches!(
                    c.difference.attribute,
                    Attribute::DIno | Attribute::Ino | Attribute::Mtime
                )
        },
    },
];

#[cfg(test)]
mod tests;
