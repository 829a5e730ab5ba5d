//! Words that stand for bits and kinds, both ways.

use crate::op::{Base, Ioctl, Locked, Means, Whence, XattrFlag};

/// Prefix of paths below an open file, before the slot's number.
pub(super) const SLOT_BASE: &str = "@fd";

/// Prefixes of paths.
pub(super) const BASES: [(&str, Base); 3] = [
    ("@lower", Base::Lower),
    ("@outside", Base::Outside),
    ("@root", Base::Root),
];

/// Names of open(2)'s flags on x86-64 (asm-generic/fcntl.h) after the access
/// mode; a name of several bits comes before those of its parts.
pub(super) const OPEN_FLAGS: [(&str, u32); 16] = [
    ("tmpfile", 0o20_200_000),
    ("sync", 0o4_010_000),
    ("creat", 0o100),
    ("excl", 0o200),
    ("noctty", 0o400),
    ("trunc", 0o1_000),
    ("append", 0o2_000),
    ("nonblock", 0o4_000),
    ("dsync", 0o10_000),
    ("direct", 0o40_000),
    ("largefile", 0o100_000),
    ("directory", 0o200_000),
    ("nofollow", 0o400_000),
    ("noatime", 0o1_000_000),
    ("cloexec", 0o2_000_000),
    ("path", 0o10_000_000),
];

/// The bits of a file's access mode (O_ACCMODE).
pub(super) const ACCESS_MODE: u32 = 3;
/// O_RDONLY, O_WRONLY, O_RDWR, in the order of their values.
pub(super) const ACCESS_MODES: [&str; 3] = ["rdonly", "wronly", "rdwr"];

/// Flags that make the mode count: O_CREAT, O_TMPFILE.
pub(super) fn creates(flags: u32) -> bool {
    flags & 0o100 != 0 || flags & 0o20_200_000 == 0o20_200_000
}

/// lseek(2)'s whence.
pub(super) const WHENCE: [(&str, Whence); 5] = [
    ("set", Whence::Set),
    ("cur", Whence::Cur),
    ("end", Whence::End),
    ("data", Whence::Data),
    ("hole", Whence::Hole),
];

/// Values of `tv_nsec` utimensat(2) takes as words (linux/stat.h).
pub(super) const TIMES: [(&str, u32); 2] = [("now", 0x3fff_ffff), ("omit", 0x3fff_fffe)];

/// setxattr(2)'s flags.
pub(super) const XATTR_FLAGS: [(&str, XattrFlag); 2] = [
    ("create", XattrFlag::Create),
    ("replace", XattrFlag::Replace),
];

/// fallocate(2)'s modes (linux/falloc.h).
pub(super) const FALLOCATE_MODES: [(&str, u32); 6] = [
    ("keep", 0x01),
    ("punch", 0x02),
    ("collapse", 0x08),
    ("zero", 0x10),
    ("insert", 0x20),
    ("unshare", 0x40),
];

/// flock(2)'s operations.
pub(super) const FLOCKS: [(&str, Locked); 3] = [
    ("sh", Locked::Shared),
    ("ex", Locked::Exclusive),
    ("un", Locked::Not),
];

/// fcntl(2)'s lock types.
pub(super) const LOCKS: [(&str, Locked); 3] = [
    ("rd", Locked::Shared),
    ("wr", Locked::Exclusive),
    ("un", Locked::Not),
];

/// Parts of `readv` and `writev` where their number is not given.
const PARTS: Means = Means::Vector { parts: 2 };

/// Reads by other means than pread(2).
pub(super) const READS: [(&str, Means); 4] = [
    ("readv", PARTS),
    ("dread", Means::Direct),
    ("aread", Means::Aio),
    ("uringread", Means::Uring),
];

/// Writes by other means than pwrite(2).
pub(super) const WRITES: [(&str, Means); 4] = [
    ("writev", PARTS),
    ("dwrite", Means::Direct),
    ("awrite", Means::Aio),
    ("uringwrite", Means::Uring),
];

/// ioctls with a word of their own.
pub(super) const IOCTLS: [(&str, Ioctl); 7] = [
    ("getversion", Ioctl::GetVersion),
    ("fsgetxattr", Ioctl::FsGetXattr),
    ("getfslabel", Ioctl::GetFsLabel),
    ("figetbsz", Ioctl::GetBlockSize),
    ("fiemap", Ioctl::Fiemap),
    ("fitrim", Ioctl::Fitrim),
    ("unknown", Ioctl::Unknown),
];

/// Every operation's word, in the order of the documentation.
pub(super) const OPS: &str = "creat mkdir mknod symlink link unlink rmdir rename stat lstat chmod chown utimens \
     truncate access readlink readdir write read readv writev dread dwrite aread awrite uringread uringwrite \
     mwrite mread fsync fdatasync open close pwrite pread fdread fdwrite ftruncate fstat fsyncfd lseek mmap \
     mstore mload msync munmap sync dropcaches wait mounttmpfs umount creds umask setxattr getxattr listxattr \
     removexattr fallocate copyrange clonerange deduperange splice chattr lsattr ioctl statfs linkfd fdpath \
     handle openhandle watch cached exec flock lock getlock lease bind register unregister rootdir abort repeat \
     eachalloc";
