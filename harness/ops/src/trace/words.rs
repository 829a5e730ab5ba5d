//! Words that stand for bits and kinds, both ways.

use crate::op::{Base, Whence};

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

/// Every operation's word, in the order of the documentation.
pub(super) const OPS: &str = "creat mkdir mknod symlink link unlink rmdir rename stat lstat chmod chown utimens \
     truncate access readlink readdir write read mwrite mread fsync fdatasync open close pwrite pread ftruncate \
     fstat fsyncfd lseek sync dropcaches wait mounttmpfs umount creds umask";
