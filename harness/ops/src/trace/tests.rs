use proptest::prelude::*;
use rstest::rstest;

use super::args::ARROW;
use super::{parse, print};
use crate::op::{Base, Line, NodeKind, Op, Path, RenameFlags, Whence};

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

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let op = prop_oneof![names_only(), attributes_and_data(), slots_and_process()];
    let worker = prop_oneof![Just(0), any::<u16>()];
    let expect = prop_oneof![3 => Just(None), 1 => (0..=crate::errno::MAX).prop_map(Some)];
    let line = (worker, op, expect).prop_map(|(worker, op, expect)| Line { worker, op, expect });
    prop::collection::vec(line, 0..40)
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
