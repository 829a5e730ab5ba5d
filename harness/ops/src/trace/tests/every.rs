//! No operation is left out: not of the words, not of the traces tested.

use std::collections::BTreeSet;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::lines;
use crate::op::{FileOp, IoOp, LockOp, MapOp, Means, MountOp, Op};
use crate::trace::words::OPS;

macro_rules! every {
    ($($op:pat => $word:literal,)*) => {
        const EVERY: &[&str] = &[$($word),*];

        /// The word of an operation. Without a wildcard on purpose: a new
        /// operation does not compile until it stands here, and then has to be
        /// in [`OPS`] and in [`lines::op`].
        fn word(op: &Op) -> &'static str {
            match op {
                $($op => $word,)*
            }
        }
    };
}

every! {
    Op::Creat { .. } => "creat",
    Op::Mkdir { .. } => "mkdir",
    Op::Mknod { .. } => "mknod",
    Op::Symlink { .. } => "symlink",
    Op::Link { .. } => "link",
    Op::Unlink { .. } => "unlink",
    Op::Rmdir { .. } => "rmdir",
    Op::Rename { .. } => "rename",
    Op::Stat { .. } => "stat",
    Op::Lstat { .. } => "lstat",
    Op::Chmod { .. } => "chmod",
    Op::Chown { .. } => "chown",
    Op::Utimens { .. } => "utimens",
    Op::Truncate { .. } => "truncate",
    Op::Access { .. } => "access",
    Op::Readlink { .. } => "readlink",
    Op::Readdir { .. } => "readdir",
    Op::Write { .. } => "write",
    Op::Read { .. } => "read",
    Op::MmapWrite { .. } => "mwrite",
    Op::MmapRead { .. } => "mread",
    Op::Fsync { .. } => "fsync",
    Op::Fdatasync { .. } => "fdatasync",
    Op::Open { .. } => "open",
    Op::Close { .. } => "close",
    Op::Pwrite { .. } => "pwrite",
    Op::Pread { .. } => "pread",
    Op::Ftruncate { .. } => "ftruncate",
    Op::Fstat { .. } => "fstat",
    Op::Fsyncfd { .. } => "fsyncfd",
    Op::Lseek { .. } => "lseek",
    Op::Sync => "sync",
    Op::DropCaches => "dropcaches",
    Op::Wait { .. } => "wait",
    Op::MountTmpfs { .. } => "mounttmpfs",
    Op::Umount { .. } => "umount",
    Op::Creds { .. } => "creds",
    Op::Umask { .. } => "umask",
    Op::File(FileOp::SetXattr { .. }) => "setxattr",
    Op::File(FileOp::GetXattr { .. }) => "getxattr",
    Op::File(FileOp::ListXattr { .. }) => "listxattr",
    Op::File(FileOp::RemoveXattr { .. }) => "removexattr",
    Op::File(FileOp::Fallocate { .. }) => "fallocate",
    Op::File(FileOp::CopyRange { .. }) => "copyrange",
    Op::File(FileOp::CloneRange { .. }) => "clonerange",
    Op::File(FileOp::DedupeRange { .. }) => "deduperange",
    Op::File(FileOp::Splice { .. }) => "splice",
    Op::File(FileOp::Chattr { .. }) => "chattr",
    Op::File(FileOp::Lsattr { .. }) => "lsattr",
    Op::File(FileOp::Ioctl { .. }) => "ioctl",
    Op::File(FileOp::Statfs { .. }) => "statfs",
    Op::File(FileOp::LinkFd { .. }) => "linkfd",
    Op::File(FileOp::FdPath { .. }) => "fdpath",
    Op::File(FileOp::Handle { .. }) => "handle",
    Op::File(FileOp::OpenHandle { .. }) => "openhandle",
    Op::File(FileOp::Watch { .. }) => "watch",
    Op::File(FileOp::Cached { .. }) => "cached",
    Op::File(FileOp::Exec { .. }) => "exec",
    Op::Io(IoOp::Read { by: Means::Vector { .. }, .. }) => "readv",
    Op::Io(IoOp::Read { by: Means::Direct, .. }) => "dread",
    Op::Io(IoOp::Read { by: Means::Aio, .. }) => "aread",
    Op::Io(IoOp::Read { by: Means::Uring, .. }) => "uringread",
    Op::Io(IoOp::Write { by: Means::Vector { .. }, .. }) => "writev",
    Op::Io(IoOp::Write { by: Means::Direct, .. }) => "dwrite",
    Op::Io(IoOp::Write { by: Means::Aio, .. }) => "awrite",
    Op::Io(IoOp::Write { by: Means::Uring, .. }) => "uringwrite",
    Op::Io(IoOp::FdRead { .. }) => "fdread",
    Op::Io(IoOp::FdWrite { .. }) => "fdwrite",
    Op::Map(MapOp::Map { .. }) => "mmap",
    Op::Map(MapOp::Store { .. }) => "mstore",
    Op::Map(MapOp::Load { .. }) => "mload",
    Op::Map(MapOp::Sync { .. }) => "msync",
    Op::Map(MapOp::Unmap { .. }) => "munmap",
    Op::Lock(LockOp::Flock { .. }) => "flock",
    Op::Lock(LockOp::Lock { .. }) => "lock",
    Op::Lock(LockOp::GetLock { .. }) => "getlock",
    Op::Lock(LockOp::Lease { .. }) => "lease",
    Op::Mount(MountOp::Bind { .. }) => "bind",
    Op::Mount(MountOp::Register { .. }) => "register",
    Op::Mount(MountOp::Unregister { .. }) => "unregister",
    Op::Mount(MountOp::RootDir { .. }) => "rootdir",
    Op::Mount(MountOp::Abort) => "abort",
    Op::Repeat { .. } => "repeat",
    Op::EachAlloc { .. } => "eachalloc",
}

/// So many that the rarest comes several times.
const SAMPLES: usize = 20_000;

#[test]
fn every_operation_has_its_word_and_is_tested() {
    let every: BTreeSet<&str> = EVERY.iter().copied().collect();
    assert_eq!(every, OPS.split_whitespace().collect());
    let mut runner = TestRunner::deterministic();
    let any = lines::op();
    let sampled: BTreeSet<&str> = (0..SAMPLES)
        .map(|_| {
            let op = any.new_tree(&mut runner).unwrap().current();
            let text = op.to_string();
            assert_eq!(text.split(' ').next(), Some(word(&op)), "{text}");
            word(&op)
        })
        .collect();
    assert_eq!(sampled, every);
}
