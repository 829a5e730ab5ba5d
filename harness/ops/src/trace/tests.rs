mod every;
mod lines;

use lines::lines;
use proptest::prelude::*;
use rstest::rstest;

use super::{parse, print};
use crate::op::{
    Base, FileOp, IoOp, Ioctl, LockOp, Locked, MapOp, Means, MountOp, NodeKind, Op, Path,
    RenameFlags, Whence, XattrFlag,
};

fn arm(rel: &str) -> Path {
    Path {
        base: Base::Arm,
        rel: rel.into(),
    }
}

fn one(text: &str) -> Op {
    let lines = parse(text).unwrap();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].op.clone()
}

#[rstest]
#[case("creat a", Op::Creat { path: arm("a"), mode: 0o644 })]
#[case("mkdir d  # a comment", Op::Mkdir { path: arm("d"), mode: 0o755 })]
#[case("mknod c char:1:3 0600", Op::Mknod { path: arm("c"), kind: NodeKind::Char(1, 3), mode: 0o600 })]
#[case("symlink ../x l", Op::Symlink { target: "../x".into(), path: arm("l") })]
#[case("stat .", Op::Stat { path: arm("") })]
#[case("stat @lower", Op::Stat { path: Path { base: Base::Lower, rel: String::new() } })]
#[case(r#"stat "a b\n\u{e9}\"""#, Op::Stat { path: arm("a b\né\"") })]
#[case(r#"stat @outside/"a b""#, Op::Stat { path: Path { base: Base::Outside, rel: "a b".into() } })]
#[case(r#"stat "@lower""#, Op::Stat { path: arm("@lower") })]
#[case("rename a b noreplace|whiteout", Op::Rename {
    old: arm("a"), new: arm("b"),
    flags: RenameFlags { noreplace: true, exchange: false, whiteout: true },
})]
#[case("write f len=4k off=1m", Op::Write { path: arm("f"), off: 1 << 20, len: 4096, seed: 0 })]
#[case("open 3 f rdwr|creat", Op::Open { slot: 3, path: arm("f"), flags: 0o102, mode: 0o644 })]
#[case("open 3 f 0x80000000", Op::Open { slot: 3, path: arm("f"), flags: 0x8000_0000, mode: 0 })]
#[case("chown f 1000:-", Op::Chown { path: arm("f"), uid: Some(1000), gid: None })]
#[case("utimens f atime=now mtime=-5:7", Op::Utimens { path: arm("f"), atime: (0, 0x3fff_ffff), mtime: (-5, 7) })]
#[case("access f rw", Op::Access { path: arm("f"), mask: 6 })]
#[case("wait 2s", Op::Wait { ms: 2000 })]
#[case("lseek 1 -5 end", Op::Lseek { slot: 1, off: -5, whence: Whence::End })]
#[case("stat @root/bad", Op::Stat { path: Path { base: Base::Root, rel: "bad".into() } })]
#[case("stat @fd3/f", Op::Stat { path: Path { base: Base::Slot(3), rel: "f".into() } })]
#[case("setxattr f user.a text replace", Op::File(FileOp::SetXattr {
    path: arm("f"), name: "user.a".into(), value: b"text".to_vec(), flag: XattrFlag::Replace,
}))]
#[case("setxattr f user.a hex:00fF", Op::File(FileOp::SetXattr {
    path: arm("f"), name: "user.a".into(), value: vec![0, 255], flag: XattrFlag::Any,
}))]
#[case("setxattr f user.a \"\"", Op::File(FileOp::SetXattr {
    path: arm("f"), name: "user.a".into(), value: vec![], flag: XattrFlag::Any,
}))]
#[case("fallocate f len=4k off=8k punch|keep", Op::File(FileOp::Fallocate {
    path: arm("f"), off: 8192, len: 4096, mode: 3,
}))]
#[case("copyrange a b len=1", Op::File(FileOp::CopyRange {
    from: arm("a"), to: arm("b"), from_off: 0, to_off: 0, len: 1,
}))]
#[case("clonerange a b doff=4k len=1", Op::File(FileOp::CloneRange {
    from: arm("a"), to: arm("b"), from_off: 0, to_off: 4096, len: 1,
}))]
#[case("deduperange a b soff=4k len=1", Op::File(FileOp::DedupeRange {
    from: arm("a"), to: arm("b"), from_off: 4096, to_off: 0, len: 1,
}))]
#[case("readv f len=9", Op::Io(IoOp::Read { by: Means::Vector { parts: 2 }, path: arm("f"), off: 0, len: 9 }))]
#[case("writev f parts=7 len=9 seed=1", Op::Io(IoOp::Write {
    by: Means::Vector { parts: 7 }, path: arm("f"), off: 0, len: 9, seed: 1,
}))]
#[case("dread f off=4k len=4k", Op::Io(IoOp::Read { by: Means::Direct, path: arm("f"), off: 4096, len: 4096 }))]
#[case("awrite f len=4k seed=3", Op::Io(IoOp::Write {
    by: Means::Aio, path: arm("f"), off: 0, len: 4096, seed: 3,
}))]
#[case("uringread f len=4", Op::Io(IoOp::Read { by: Means::Uring, path: arm("f"), off: 0, len: 4 }))]
#[case("fdwrite 3 seed=9 len=4", Op::Io(IoOp::FdWrite { slot: 3, len: 4, seed: 9 }))]
#[case("mmap 1 3 off=4k len=8k ro", Op::Map(MapOp::Map { map: 1, slot: 3, off: 4096, len: 8192, read_only: true }))]
#[case("mstore 1 len=4 seed=5", Op::Map(MapOp::Store { map: 1, off: 0, len: 4, seed: 5 }))]
#[case("chattr f ia", Op::File(FileOp::Chattr { path: arm("f"), flags: 0x30 }))]
#[case("ioctl f fiemap", Op::File(FileOp::Ioctl { path: arm("f"), what: Ioctl::Fiemap }))]
#[case("ioctl f 0x5401", Op::File(FileOp::Ioctl { path: arm("f"), what: Ioctl::Number(0x5401) }))]
#[case("openhandle 1 2", Op::File(FileOp::OpenHandle { handle: 1, slot: 2 }))]
#[case("getlock 1 wr len=-1", Op::Lock(LockOp::GetLock { slot: 1, lock: Locked::Exclusive, off: 0, len: -1 }))]
#[case("bind d e ro", Op::Mount(MountOp::Bind { path: arm("d"), on: arm("e"), read_only: true }))]
#[case("rootdir d d", Op::Mount(MountOp::RootDir { paths: vec![arm("d"), arm("d")] }))]
#[case("repeat 9 eachalloc cold stat f", Op::Repeat { times: 9, op: Box::new(Op::EachAlloc {
    cold: true, op: Box::new(Op::Stat { path: arm("f") }),
}) })]
fn reads(#[case] text: &str, #[case] op: Op) {
    assert_eq!(one(text), op);
    assert_eq!(one(&op.to_string()), op, "as printed: {op}");
}

#[test]
fn workers_comments_and_blank_lines() {
    let lines = parse("# a\n\n  creat a\np1: creat b\n2: creat c # d\n").unwrap();
    assert_eq!(
        lines.iter().map(|l| l.worker).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(
        print(&lines),
        "creat a 0644\np1: creat b 0644\np2: creat c 0644\n"
    );
}

#[rstest]
#[case("stat a -> EIO", Some(5))]
#[case("stat a -> ok # as always", Some(0))]
#[case("creat a -> ENOTSUP", Some(95))]
#[case("write a len=1 -> 524", Some(524))]
#[case("stat \"->\"", None)]
#[case("symlink \"->\" a -> EEXIST", Some(17))]
fn expects(#[case] text: &str, #[case] expect: Option<i32>) {
    let lines = parse(text).unwrap();
    assert_eq!(lines[0].expect, expect);
    assert_eq!(parse(&print(&lines)).unwrap(), lines, "{}", print(&lines));
}

#[rstest]
#[case("frob a", 1, "an operation (creat", "`frob`")]
#[case("  rename a", 11, "a path", "the end of the line")]
#[case("creat a 0648", 9, "an octal mode", "`0648`")]
#[case("creat a 0644 b", 14, "the end of the line", "`b`")]
#[case("creat /a", 7, "a relative path", "`/a`")]
#[case("creat a/../b", 7, "a relative path", "`a/../b`")]
#[case("creat a//b", 7, "a relative path", "`a//b`")]
#[case("write f len", 9, "len=BYTES", "`len`")]
#[case("read f len=1 off", 14, "the end of the line", "`off`")]
#[case("stat @fd/f", 6, "a path, `@lower/", "`@fd/f`")]
#[case("stat @fd70000", 6, "a path, `@lower/", "`@fd70000`")]
#[case("setxattr f a hex:0", 14, "hex: and pairs", "`hex:0`")]
#[case("setxattr f a hex:+1", 14, "hex: and pairs", "`hex:+1`")]
#[case("setxattr f a b update", 16, "create or replace", "`update`")]
#[case("fallocate f len=1 drop", 19, "keep, punch", "`drop`")]
#[case("clonerange a", 13, "a path", "the end of the line")]
#[case(
    "deduperange a b off=1 len=1",
    17,
    "soff=NUMBER, doff=NUMBER, len=NUMBER",
    "`off=1`"
)]
#[case(
    "readv f len=1 parts=70000",
    15,
    "a number of at most 16 bits",
    "`parts=70000`"
)]
#[case(
    "dwrite f len=1 parts=2",
    16,
    "off=NUMBER, len=NUMBER, seed=NUMBER",
    "`parts=2`"
)]
#[case("uringread f off=1", 18, "len=BYTES", "the end of the line")]
#[case("fdread 1 off=1 len=1", 10, "len=NUMBER", "`off=1`")]
#[case("fdwrite f len=1", 9, "a slot number", "`f`")]
#[case("mmap 1 f len=1", 8, "a slot number", "`f`")]
#[case("mmap f 1 len=1", 6, "the number of a mapping", "`f`")]
#[case("mmap 1 1 len=1 rw", 16, "ro", "`rw`")]
#[case("mstore 1 off=5g len=1", 10, "a number of at most 32 bits", "`off=5g`")]
#[case("munmap", 7, "the number of a mapping", "the end of the line")]
#[case("chattr f q", 10, "letters of chattr", "`q`")]
#[case("ioctl f tcgets", 9, "an ioctl (getversion", "`tcgets`")]
#[case("lock 1 sh", 8, "rd, wr or un", "`sh`")]
#[case("flock 1 rd", 9, "sh, ex or un", "`rd`")]
#[case("bind a b rw", 10, "ro", "`rw`")]
#[case("repeat 0 sync", 1, "a number of runs", "`repeat`")]
#[case(
    "repeat 2 repeat 2 sync",
    10,
    "an operation that is no `repeat`",
    "`repeat`"
)]
#[case(
    "eachalloc repeat 2 sync",
    11,
    "an operation that is no wrapper",
    "`repeat`"
)]
#[case("eachalloc cold", 15, "an operation", "the end of the line")]
#[case("stat a ->", 10, "`ok` or the name", "the end of the line")]
#[case("stat a -> EVIL", 11, "`ok` or the name", "`EVIL`")]
#[case("stat a -> \"EIO\"", 11, "`ok` or the name", "`\"EIO\"`")]
#[case("stat a -> EIO ok", 15, "the end of the line", "`ok`")]
#[case("stat -> EIO", 12, "a path", "the end of the line")]
#[case("creat @lowera", 7, "a path, `@lower/", "`@lowera`")]
#[case("creat @x/a", 7, "a path, `@lower/", "`@x/a`")]
#[case("creat \"a", 9, "a closing quote", "the end of the line")]
#[case("creat \"a\"b", 10, "a space after", "`b`")]
#[case("creat \"\\q\"", 8, "one of", "`\\q`")]
#[case("creat \"\\u{0}\"", 7, "text without a NUL", "`\"\\0\"`")]
#[case("write f off=1", 14, "len=BYTES", "the end of the line")]
#[case(
    "write f len=1 len=2",
    15,
    "off=NUMBER, len=NUMBER, seed=NUMBER",
    "`len=2`"
)]
#[case("write f len=5g", 9, "a number of at most 32 bits", "`len=5g`")]
#[case("read f len=1 seed=3", 14, "off=NUMBER, len=NUMBER", "`seed=3`")]
#[case("open 70000 f rdwr", 6, "a slot number", "`70000`")]
#[case("open 1 f rdwr|crate", 10, "flags joined by |", "`rdwr|crate`")]
#[case("rename a b swap", 12, "noreplace, exchange", "`swap`")]
#[case("mknod p pipe", 9, "fifo, socket", "`pipe`")]
#[case("chown f 1000", 9, "UID:GID", "`1000`")]
#[case("wait 50", 6, "a time", "`50`")]
#[case("lseek 1 0 middle", 11, "set, cur", "`middle`")]
#[case("p1 creat a", 1, "an operation", "`p1`")]
#[case("access f q", 10, "letters", "`q`")]
#[case("utimens f atime=1", 18, "mtime=", "the end of the line")]
fn refuses(#[case] text: &str, #[case] column: usize, #[case] expected: &str, #[case] found: &str) {
    let error = parse(&format!("creat ok\n{text}\n")).unwrap_err();
    assert_eq!((error.line, error.column), (2, column), "{error}");
    assert!(error.expected.starts_with(expected), "{error}");
    assert_eq!(error.found, found, "{error}");
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(lines in lines()) {
        let text = print(&lines);
        prop_assert_eq!(parse(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?, lines);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        if let Ok(lines) = parse(&text) {
            prop_assert_eq!(parse(&print(&lines)).unwrap(), lines);
        }
    }
}
