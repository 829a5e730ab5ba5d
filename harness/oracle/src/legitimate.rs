//! The legitimate differences: the only ones that are no finding.
//!
//! Each entry is justified by the kernel's own code, and each use of it is
//! counted in the verdict, so that an entry that forgives too much shows.

use lookback_ops::{FileOp, IoOp, Op, StatView, Whence, tree::Node};
use lookback_wire::control::{Arm, Phase};

use crate::difference::{Attribute, Difference, Stage};

/// A difference together with what it was found in.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The difference.
    pub difference: &'a Difference,
    /// The operation that gave it.
    pub op: Option<&'a Op>,
    /// The reference's and the arm's stat data, if it was found in some.
    pub stats: Option<(&'a StatView, &'a StatView)>,
    /// The two trees' nodes, if it was found in some.
    pub nodes: Option<(&'a Node, &'a Node)>,
    /// The extended attribute it was found in.
    pub xattr: Option<&'a str>,
    /// The trace left a file system mounted on the path or above it.
    pub covered: bool,
    /// The trace had an operation on the path run out of memory.
    pub starved: bool,
}

impl Candidate<'_> {
    fn is(&self, arm: Arm, attribute: Attribute) -> bool {
        self.difference.arm == arm && self.difference.attribute == attribute
    }

    fn both_directories(&self) -> bool {
        const S_IFDIR: u32 = 0o040_000;
        self.both_are(S_IFDIR)
    }

    fn both_are(&self, file_type: u32) -> bool {
        const S_IFMT: u32 = 0o170_000;
        self.stats
            .is_some_and(|(a, b)| a.mode & S_IFMT == file_type && b.mode & S_IFMT == file_type)
    }

    /// A time that reading or writing a FIFO takes. atime and mtime may have been
    /// set to any other before; ctime is the clock's, and the reference's the later.
    fn fifo_lags(&self) -> bool {
        const S_IFIFO: u32 = 0o010_000;
        self.both_are(S_IFIFO)
            && match self.difference.attribute {
                Attribute::Atime | Attribute::Mtime => true,
                Attribute::Ctime => self.stats.is_some_and(|(a, b)| b.ctime < a.ctime),
                _ => false,
            }
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

/// S_ISUID and S_ISGID (inode(7)).
const SET_ID: u32 = 0o6_000;

/// No position in an ext4 file is beyond this many bytes (2^32 blocks of 4 KiB).
const EXT4_LARGEST_FILE: i64 = 1 << 44;

/// st_blocks counts these.
const SECTOR: u64 = 512;
/// Bytes of an extent in a leaf, and of the header before them (struct
/// ext4_extent, struct ext4_extent_header, fs/ext4/ext4_extents.h).
const LEAF_ENTRY: u64 = 12;

/// Two files with blocks in the same places differ by no more than the leaves of
/// an extent tree: by one however few extents are left in it, by more only if
/// there are so many that they fill more, half full as a split leaves them.
fn leaves_differ(a: &Node, b: &Node) -> bool {
    let (Some(Ok(here)), Some(Ok(there))) = (&a.extents, &b.extents) else {
        return false;
    };
    let block = a.stat.blksize;
    let room = block.saturating_sub(LEAF_ENTRY) / LEAF_ENTRY / 2;
    if here.is_empty() || here != there || room == 0 {
        return false;
    }
    let bytes = a.blocks.abs_diff(b.blocks) * SECTOR;
    let leaves = u64::from(a.pieces.max(b.pieces)).div_ceil(room).max(1);
    bytes.is_multiple_of(block) && bytes / block <= leaves
}

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
            (c.is(Arm::Plain, Attribute::Nlink) || c.is(Arm::Plain, Attribute::Links))
                && c.both_directories()
                && c.stats.is_some_and(|(_, actual)| actual.nlink == 1)
        },
    },
    Legitimate {
        id: "plain-set-id",
        reason: "what a write or O_TRUNC takes of a file's set-id bits goes by who does it, which on \
                 the host is the server; the guest asks for no change of mode where OPEN truncates",
        source: "fs/attr.c, setattr_should_drop_sgid: in_group_or_capable; \
                 fs/fuse/dir.c, fuse_do_setattr: ATTR_OPEN with atomic_o_trunc",
        applies: |c| {
            c.is(Arm::Plain, Attribute::Mode)
                && c.stats.is_some_and(|(a, b)| {
                    b.mode & !SET_ID == a.mode & !SET_ID && b.mode & a.mode == a.mode
                })
        },
    },
    Legitimate {
        id: "plain-directory-position",
        reason: "a position in an ext4 directory may be so high that reading from there overflows, \
                 which comes before that it is a directory; FUSE's is one of a file's size",
        source: "fs/read_write.c, rw_verify_area; fs/ext4/dir.c, ext4_dir_llseek",
        applies: |c| {
            c.is(Arm::Plain, Attribute::Errno)
                && matches!(c.op, Some(Op::Io(IoOp::FdRead { .. })))
                && c.difference.expected == "EINVAL"
                && c.difference.actual == "EISDIR"
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
            let Some(Op::Lseek { off, whence, .. }) = c.op else {
                return false;
            };
            let expected = c.difference.expected.as_str();
            let counted = matches!(whence, Whence::Cur | Whence::End);
            match (expected, c.difference.actual.as_str()) {
                _ if c.is(Arm::Plain, Attribute::Ret) => expected
                    .parse()
                    .is_ok_and(|position: i64| position > EXT4_LARGEST_FILE),
                // Behind the last hash there is nothing, before a size's first byte.
                ("EINVAL", "0") => c.is(Arm::Plain, Attribute::Errno) && counted && *off > 0,
                ("0", "EINVAL") => c.is(Arm::Plain, Attribute::Errno) && counted && *off < 0,
                _ => false,
            }
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
                    Attribute::DIno | Attribute::Ino | Attribute::Mtime | Attribute::Links
                )
        },
    },
    Legitimate {
        id: "atime-without-memory",
        reason: "an access time that could not be logged for want of memory is the cached inode's \
                 alone, and lost with it; which allocation that is, differs between arms",
        source: "fs/inode.c, touch_atime: inode_update_time's error is dropped; \
                 fs/ext4/inode.c, ext4_dirty_inode",
        applies: |c| {
            c.starved
                && c.difference.attribute == Attribute::Atime
                && c.difference.arm != Arm::Plain
                && matches!(c.difference.stage, Stage::Tree(_))
        },
    },
    Legitimate {
        id: "fifo-times",
        reason: "a pipe has the inode it was opened by take the time it is read or written at; \
                 the one above takes no times, as in overlayfs, and the one below is not asked",
        source: "fs/pipe.c, pipe_write: file_update_time, pipe_read: file_accessed; \
                 fs/inode.c, IS_NOCMTIME and S_NOATIME in inode_needs_update_time and \
                 atime_needs_update",
        applies: |c| c.difference.arm.has_lower() && c.fifo_lags(),
    },
    Legitimate {
        id: "ext4-extent-tree",
        reason: "where a file's blocks lie on disk decides which extents merge, and with that \
                 whether they fit into the inode or take a block of their own",
        source: "fs/ext4/extents.c, ext4_can_extents_be_merged, ext4_ext_create_new_leaf; \
                 ext4_ext_rm_leaf keeps a leaf until it is empty",
        applies: |c| {
            c.difference.attribute == Attribute::Blocks
                && c.difference.arm != c.difference.reference
                && c.nodes.is_some_and(|(a, b)| leaves_differ(a, b))
        },
    },
    Legitimate {
        id: "uncovered",
        reason: "a mount of the trace does not outlive the arm's own, and what it covered shows again",
        source: "fs/namespace.c, umount_tree",
        applies: |c| {
            let unmounted = [Phase::Remounted, Phase::Lower].map(Stage::Tree);
            c.covered
                && c.difference.arm == c.difference.reference
                && unmounted.contains(&c.difference.stage)
        },
    },
    Legitimate {
        id: "plain-blocks",
        reason: "how much space a file takes, and where it has some, is for the server's file system \
                 to say, which the guest can't sync",
        source: "fs/fuse/dir.c, fuse_fillattr: stat->blocks = attr->blocks",
        applies: |c| c.is(Arm::Plain, Attribute::Blocks),
    },
    Legitimate {
        id: "plain-no-extents",
        reason: "FUSE can't tell where a file's blocks are",
        source: "fs/ioctl.c, ioctl_fiemap: -EOPNOTSUPP without i_op->fiemap",
        applies: |c| c.is(Arm::Plain, Attribute::Extents) && c.difference.actual == "EOPNOTSUPP",
    },
    Legitimate {
        id: "plain-no-flags",
        reason: "virtiofsd knows no FUSE_IOCTL",
        source: "fs/fuse/ioctl.c, fuse_send_ioctl: ret = -ENOTTY for -ENOSYS",
        applies: |c| c.is(Arm::Plain, Attribute::Flags) && c.difference.actual == "ENOTTY",
    },
    Legitimate {
        id: "plain-atime",
        reason: "what reading does to an access time is for the mount of the server's file system \
                 to say, by the host's clock",
        source: "fs/fuse/inode.c, fuse_iget: S_NOATIME; \
                 fs/inode.c, relatime_need_update, on the host",
        applies: |c| c.is(Arm::Plain, Attribute::Atime),
    },
];

#[cfg(test)]
mod tests;
