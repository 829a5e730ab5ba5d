//! Any trace at all.

use proptest::prelude::*;

use crate::op::{
    Base, FileOp, IoOp, Ioctl, Line, LockOp, Locked, MapOp, Means, MountOp, NodeKind, Op, Path,
    RenameFlags, Whence, XattrFlag,
};
use crate::trace::args::ARROW;

fn path() -> impl Strategy<Value = Path> {
    let name = prop_oneof![
        3 => "[a-z]{1,3}",
        1 => Just(ARROW.to_owned()),
        1 => any::<String>().prop_map(|s| s.replace(['/', '\0'], "-")),
    ]
    .prop_filter("a name", |n| !matches!(n.as_str(), "" | "." | ".."));
    let base = prop_oneof![
        Just(Base::Arm),
        Just(Base::Lower),
        Just(Base::Outside),
        Just(Base::Root),
        any::<u16>().prop_map(Base::Slot),
    ];
    (base, prop::collection::vec(name, 0..4)).prop_map(|(base, names)| Path {
        base,
        rel: names.join("/"),
    })
}

fn names_only() -> impl Strategy<Value = Op> {
    prop_oneof![
        (path(), any::<u32>()).prop_map(|(path, mode)| Op::Creat { path, mode }),
        (path(), any::<u32>()).prop_map(|(path, mode)| Op::Mkdir { path, mode }),
        (path(), kind(), any::<u32>()).prop_map(|(path, kind, mode)| Op::Mknod {
            path,
            kind,
            mode
        }),
        (any::<String>(), path()).prop_map(|(t, path)| Op::Symlink {
            target: t.replace('\0', ""),
            path
        }),
        (path(), path()).prop_map(|(old, new)| Op::Link { old, new }),
        path().prop_map(|path| Op::Unlink { path }),
        path().prop_map(|path| Op::Rmdir { path }),
        (path(), path(), any::<[bool; 3]>()).prop_map(
            |(old, new, [noreplace, exchange, whiteout])| {
                Op::Rename {
                    old,
                    new,
                    flags: RenameFlags {
                        noreplace,
                        exchange,
                        whiteout,
                    },
                }
            }
        ),
        path().prop_map(|path| Op::Stat { path }),
        path().prop_map(|path| Op::Lstat { path }),
        path().prop_map(|path| Op::Readlink { path }),
        path().prop_map(|path| Op::Readdir { path }),
        path().prop_map(|path| Op::MountTmpfs { path }),
        path().prop_map(|path| Op::Umount { path }),
        path().prop_map(|path| Op::Fsync { path }),
        path().prop_map(|path| Op::Fdatasync { path }),
    ]
}

fn attributes_and_data() -> impl Strategy<Value = Op> {
    let time = || {
        (
            any::<i64>(),
            prop_oneof![0u32..1_000_000_000, any::<u32>(), Just(0x3fff_fffe)],
        )
    };
    prop_oneof![
        (path(), any::<u32>()).prop_map(|(path, mode)| Op::Chmod { path, mode }),
        (path(), any::<Option<u32>>(), any::<Option<u32>>())
            .prop_map(|(path, uid, gid)| Op::Chown { path, uid, gid }),
        (path(), time(), time()).prop_map(|(path, atime, mtime)| Op::Utimens {
            path,
            atime,
            mtime
        }),
        (path(), any::<u64>()).prop_map(|(path, size)| Op::Truncate { path, size }),
        (path(), prop_oneof![0u32..8, any::<u32>()])
            .prop_map(|(path, mask)| Op::Access { path, mask }),
        (path(), any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(path, off, len, seed)| {
            Op::Write {
                path,
                off,
                len,
                seed,
            }
        }),
        (path(), any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(path, off, len, seed)| {
            Op::MmapWrite {
                path,
                off,
                len,
                seed,
            }
        }),
        (path(), any::<u64>(), any::<u32>()).prop_map(|(path, off, len)| Op::Read {
            path,
            off,
            len
        }),
        (path(), any::<u64>(), any::<u32>()).prop_map(|(path, off, len)| Op::MmapRead {
            path,
            off,
            len
        }),
    ]
}

fn slots_and_process() -> impl Strategy<Value = Op> {
    let slot = any::<u16>;
    let whence = prop_oneof![
        Just(Whence::Set),
        Just(Whence::Cur),
        Just(Whence::End),
        Just(Whence::Data),
        Just(Whence::Hole),
    ];
    prop_oneof![
        (slot(), path(), any::<u32>(), any::<u32>()).prop_map(|(slot, path, flags, mode)| {
            Op::Open {
                slot,
                path,
                flags,
                mode,
            }
        }),
        slot().prop_map(|slot| Op::Close { slot }),
        (slot(), any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(slot, off, len, seed)| {
            Op::Pwrite {
                slot,
                off,
                len,
                seed,
            }
        }),
        (slot(), any::<u64>(), any::<u32>()).prop_map(|(slot, off, len)| Op::Pread {
            slot,
            off,
            len
        }),
        (slot(), any::<u64>()).prop_map(|(slot, size)| Op::Ftruncate { slot, size }),
        slot().prop_map(|slot| Op::Fstat { slot }),
        slot().prop_map(|slot| Op::Fsyncfd { slot }),
        (slot(), any::<i64>(), whence).prop_map(|(slot, off, whence)| Op::Lseek {
            slot,
            off,
            whence
        }),
        Just(Op::Sync),
        Just(Op::DropCaches),
        any::<u32>().prop_map(|ms| Op::Wait { ms }),
        (any::<u32>(), any::<u32>()).prop_map(|(uid, gid)| Op::Creds { uid, gid }),
        any::<u32>().prop_map(|mask| Op::Umask { mask }),
    ]
}

fn kind() -> impl Strategy<Value = NodeKind> {
    prop_oneof![
        Just(NodeKind::Fifo),
        Just(NodeKind::Socket),
        any::<(u32, u32)>().prop_map(|(a, b)| NodeKind::Char(a, b)),
        any::<(u32, u32)>().prop_map(|(a, b)| NodeKind::Block(a, b)),
    ]
}

/// Any operation at all.
pub(super) fn op() -> impl Strategy<Value = Op> {
    let plain = || {
        prop_oneof![
            names_only().boxed(),
            attributes_and_data().boxed(),
            slots_and_process().boxed(),
            file().prop_map(Op::File).boxed(),
            io().prop_map(Op::Io).boxed(),
            map().prop_map(Op::Map).boxed(),
            lock().prop_map(Op::Lock).boxed(),
            mount().prop_map(Op::Mount).boxed(),
        ]
        .boxed()
    };
    let each = |op: Op, cold| Op::EachAlloc {
        cold,
        op: Box::new(op),
    };
    prop_oneof![
        8 => plain(),
        1 => (plain(), any::<bool>()).prop_map(move |(op, cold)| each(op, cold)),
        1 => (1u32.., plain(), any::<Option<bool>>()).prop_map(move |(times, op, wrapped)| {
            let op = match wrapped {
                Some(cold) => each(op, cold),
                None => op,
            };
            Op::Repeat {
                times,
                op: Box::new(op),
            }
        }),
    ]
}

pub(super) fn lines() -> impl Strategy<Value = Vec<Line>> {
    let worker = prop_oneof![Just(0), any::<u16>()];
    let expect = prop_oneof![3 => Just(None), 1 => (0..=crate::errno::MAX).prop_map(Some)];
    let line = (worker, op(), expect).prop_map(|(worker, op, expect)| Line { worker, op, expect });
    prop::collection::vec(line, 0..40)
}

fn file() -> impl Strategy<Value = FileOp> {
    let number = any::<u64>;
    let name = || any::<String>().prop_map(|s| s.replace('\0', ""));
    let flag = prop_oneof![
        Just(XattrFlag::Any),
        Just(XattrFlag::Create),
        Just(XattrFlag::Replace)
    ];
    let value = prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
        "hex:[0-9]{0,2}".prop_map(String::into_bytes),
    ];
    let ioctl = prop_oneof![
        Just(Ioctl::GetVersion),
        Just(Ioctl::FsGetXattr),
        Just(Ioctl::GetFsLabel),
        Just(Ioctl::GetBlockSize),
        Just(Ioctl::Fiemap),
        Just(Ioctl::Fitrim),
        Just(Ioctl::Unknown),
        any::<u32>().prop_map(Ioctl::Number),
    ];
    let by_path = prop_oneof![
        (path(), name(), value, flag).prop_map(|(path, name, value, flag)| FileOp::SetXattr {
            path,
            name,
            value,
            flag
        }),
        (path(), name()).prop_map(|(path, name)| FileOp::GetXattr { path, name }),
        path().prop_map(|path| FileOp::ListXattr { path }),
        (path(), name()).prop_map(|(path, name)| FileOp::RemoveXattr { path, name }),
        (path(), number(), number(), any::<u32>()).prop_map(|(path, off, len, mode)| {
            FileOp::Fallocate {
                path,
                off,
                len,
                mode,
            }
        }),
        (path(), path(), number(), number(), number(), 0..3).prop_map(
            |(from, to, from_off, to_off, len, which)| match which {
                0 => FileOp::CopyRange {
                    from,
                    to,
                    from_off,
                    to_off,
                    len,
                },
                1 => FileOp::CloneRange {
                    from,
                    to,
                    from_off,
                    to_off,
                    len,
                },
                _ => FileOp::DedupeRange {
                    from,
                    to,
                    from_off,
                    to_off,
                    len,
                },
            }
        ),
        (path(), path(), number(), number()).prop_map(|(from, to, off, len)| FileOp::Splice {
            from,
            to,
            off,
            len
        }),
        (path(), any::<u32>()).prop_map(|(path, flags)| FileOp::Chattr { path, flags }),
        path().prop_map(|path| FileOp::Lsattr { path }),
        (path(), ioctl).prop_map(|(path, what)| FileOp::Ioctl { path, what }),
    ];
    let slot = any::<u16>;
    prop_oneof![
        by_path.boxed(),
        path().prop_map(|path| FileOp::Statfs { path }),
        path().prop_map(|path| FileOp::Cached { path }),
        path().prop_map(|path| FileOp::Exec { path }),
        slot().prop_map(|slot| FileOp::FdPath { slot }),
        (slot(), path()).prop_map(|(slot, path)| FileOp::LinkFd { slot, path }),
        (slot(), path()).prop_map(|(slot, path)| FileOp::Handle { slot, path }),
        (slot(), path()).prop_map(|(slot, path)| FileOp::Watch { slot, path }),
        (slot(), slot()).prop_map(|(handle, slot)| FileOp::OpenHandle { handle, slot }),
    ]
}

fn io() -> impl Strategy<Value = IoOp> {
    let by = || {
        prop_oneof![
            any::<u16>().prop_map(|parts| Means::Vector { parts }),
            Just(Means::Direct),
            Just(Means::Aio),
            Just(Means::Uring),
        ]
    };
    let (slot, len, seed) = (any::<u16>, any::<u32>, any::<u64>);
    prop_oneof![
        (by(), path(), any::<u64>(), len()).prop_map(|(by, path, off, len)| IoOp::Read {
            by,
            path,
            off,
            len
        }),
        (by(), path(), any::<u64>(), len(), seed()).prop_map(|(by, path, off, len, seed)| {
            IoOp::Write {
                by,
                path,
                off,
                len,
                seed,
            }
        }),
        (slot(), len()).prop_map(|(slot, len)| IoOp::FdRead { slot, len }),
        (slot(), len(), seed()).prop_map(|(slot, len, seed)| IoOp::FdWrite { slot, len, seed }),
    ]
}

fn map() -> impl Strategy<Value = MapOp> {
    let (map, len) = (any::<u16>, any::<u32>);
    prop_oneof![
        (map(), map(), any::<u64>(), len(), any::<bool>()).prop_map(
            |(map, slot, off, len, read_only)| MapOp::Map {
                map,
                slot,
                off,
                len,
                read_only
            }
        ),
        (map(), len(), len(), any::<u64>()).prop_map(|(map, off, len, seed)| MapOp::Store {
            map,
            off,
            len,
            seed
        }),
        (map(), len(), len()).prop_map(|(map, off, len)| MapOp::Load { map, off, len }),
        map().prop_map(|map| MapOp::Sync { map }),
        map().prop_map(|map| MapOp::Unmap { map }),
    ]
}

fn lock() -> impl Strategy<Value = LockOp> {
    let parts = || {
        let lock = prop_oneof![
            Just(Locked::Shared),
            Just(Locked::Exclusive),
            Just(Locked::Not)
        ];
        (any::<u16>(), lock, any::<i64>(), any::<i64>())
    };
    prop_oneof![
        parts().prop_map(|(slot, lock, ..)| LockOp::Flock { slot, lock }),
        parts().prop_map(|(slot, lock, ..)| LockOp::Lease { slot, lock }),
        parts().prop_map(|(slot, lock, off, len)| LockOp::Lock {
            slot,
            lock,
            off,
            len
        }),
        parts().prop_map(|(slot, lock, off, len)| LockOp::GetLock {
            slot,
            lock,
            off,
            len
        }),
    ]
}

fn mount() -> impl Strategy<Value = MountOp> {
    prop_oneof![
        (path(), path(), any::<bool>()).prop_map(|(path, on, read_only)| MountOp::Bind {
            path,
            on,
            read_only
        }),
        (any::<u64>(), path()).prop_map(|(id, path)| MountOp::Register { id, path }),
        any::<u64>().prop_map(|id| MountOp::Unregister { id }),
        prop::collection::vec(path(), 1..4).prop_map(|paths| MountOp::RootDir { paths }),
        Just(MountOp::Abort),
    ]
}
