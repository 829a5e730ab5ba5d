//! Programs, compiled and run on a directory of this machine.
//!
//! That they find what the agent finds is the agent's to test. Here is what it
//! takes to say that something differs, and to say so.

#![allow(clippy::unwrap_used)]

use std::os::unix::{fs::MetadataExt, process::CommandExt};
use std::process::{Command, Output};

use lookback_ops::outcome::Entry;
use lookback_ops::{Line, Outcome, StatView, Value, fsstress, pattern, trace};
use lookback_reproducer::{Error, Input, Must, TreeCheck, Unable, c_program};
use lookback_wire::control::{Phase, Workers};
use rstest::rstest;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// Somebody who is not root.
const NOBODY: u32 = 65534;

/// A program, compiled, and a directory for it.
struct Made {
    dir: TempDir,
}

impl Made {
    fn of(input: &Input<'_>) -> Made {
        let made = Made::checked(input);
        let at = |name: &str| made.dir.path().join(name);
        std::fs::create_dir(at("arm")).unwrap();
        let cc = Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-O2", "-o"])
            .args([at("reproducer"), at("reproducer.c")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&cc.stderr);
        assert!(cc.status.success(), "{said}");
        made
    }

    /// Not compiled yet, but no compiler there is has anything to say.
    fn checked(input: &Input<'_>) -> Made {
        let text = c_program(input).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("reproducer.c");
        std::fs::write(&source, &text).unwrap();
        for compiler in ["cc", "clang"] {
            let checked = Command::new(compiler)
                .args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
                .arg(&source)
                .output();
            match checked {
                Ok(checked) => {
                    let said = String::from_utf8_lossy(&checked.stderr);
                    assert!(checked.status.success(), "{compiler}: {said}\n{text}");
                }
                // clang is not everywhere.
                Err(e) => assert!(compiler == "clang", "{compiler}: {e}"),
            }
        }
        Made { dir }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.dir.path().join("reproducer"));
        command.current_dir(self.dir.path().join("arm"));
        command
    }

    fn run(&self) -> (i32, String) {
        told(&self.command().output().unwrap())
    }
}

/// Exit status, and everything said.
fn told(output: &Output) -> (i32, String) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let status = output.status.code().unwrap();
    (status, String::from_utf8_lossy(&said).into_owned())
}

fn parsed(text: &str) -> Vec<Line> {
    trace::parse(text).unwrap()
}

fn gave(ret: i64, value: Value) -> Outcome {
    Outcome {
        ret,
        errno: 0,
        step: String::new(),
        value,
    }
}

fn failed(errno: i32, step: &str) -> Outcome {
    Outcome {
        ret: -1,
        errno,
        step: step.into(),
        value: Value::None,
    }
}

/// Run `text`, of whose last line `expected` is expected.
fn expect_of_last(text: &str, expected: Outcome) -> (i32, String) {
    let trace = parsed(text);
    let mut all = vec![None; trace.len() - 1];
    all.push(Some(expected));
    Made::of(&Input {
        trace: &trace,
        expected: &all,
        own_affairs: true,
        ..Input::default()
    })
    .run()
}

fn is_root() -> bool {
    tempfile::tempdir()
        .unwrap()
        .path()
        .metadata()
        .unwrap()
        .uid()
        == 0
}

/// What lstat says of `creat f 0644`, `write f len=100`.
fn stat() -> StatView {
    StatView {
        mode: 0o100_644,
        uid: 0,
        gid: 0,
        nlink: 1,
        size: 100,
        rdev: (0, 0),
        blksize: 4096,
        ino: 0,
        atime: (1, 0),
        mtime: (5, 7),
        ctime: (5, 7),
    }
}

const FILE: &str = "creat f 0644\nwrite f len=100 seed=3\nutimens f atime=1:0 mtime=5:7\n";

fn digest(seed: u64, off: u64, len: usize) -> u64 {
    let mut bytes = vec![0; len];
    pattern::fill(seed, off, &mut bytes);
    xxh3_64(&bytes)
}

fn data(len: u64, digest: u64) -> Outcome {
    gave(len.cast_signed(), Value::Data { len, digest })
}

fn listing(entries: &[(&str, u8, bool)]) -> Outcome {
    let entry = |(name, d_type, ino_agrees): &(&str, u8, bool)| Entry {
        name: (*name).into(),
        d_type: *d_type,
        ino_agrees: *ino_agrees,
    };
    gave(0, Value::Entries(entries.iter().map(entry).collect()))
}

/// Each compared field, once as it is and once otherwise.
#[rstest]
#[case::errno(
    "creat f\ncreat f",
    failed(17, "open"),
    failed(2, "open"),
    "expected -2 (No such file or directory), saw -17 (File exists) at open"
)]
#[case::step(
    "creat f\ncreat f",
    failed(17, "open"),
    failed(17, "close"),
    "expected to fail at `close`, failed at `open`"
)]
#[case::success(
    "creat f",
    gave(0, Value::None),
    failed(17, "open"),
    "expected -17 (File exists), saw 0"
)]
#[case::failure(
    "unlink f",
    failed(2, ""),
    gave(0, Value::None),
    "expected 0, saw -2 (No such file or directory)"
)]
#[case::ret(
    "creat f\nwrite f len=7",
    gave(7, Value::None),
    gave(8, Value::None),
    "expected 8, saw 7"
)]
#[case::length(
    "creat f\nwrite f len=7\nread f len=9",
    data(7, digest(0, 0, 7)),
    data(9, 0),
    "expected 9, saw 7"
)]
#[case::content(
    "creat f\nwrite f len=7\nread f len=9",
    data(7, digest(0, 0, 7)),
    data(7, 1),
    "content: expected XXH3 0000000000000001"
)]
#[case::target("symlink t l\nreadlink l", gave(1, Value::Link("t".into())), gave(1, Value::Link("u".into())), "expected `u`, saw `t`")]
#[case::target_length("symlink t l\nreadlink l", gave(1, Value::Link("t".into())), gave(2, Value::Link("t".into())), "expected 2, saw 1")]
#[case::name("creat a\nmkdir b\nreaddir .", listing(&[("a", 8, true), ("b", 4, true)]), listing(&[("a", 8, true), ("c", 4, true)]), "expected `c dir`, saw `b dir`")]
#[case::name_more("creat a\nreaddir .", listing(&[("a", 8, true)]), listing(&[]), "expected ``, saw `a reg`")]
#[case::name_less("creat a\nreaddir .", listing(&[("a", 8, true)]), listing(&[("a", 8, true), ("b", 8, true)]), "expected `b reg`, saw ``")]
#[case::d_type("creat a\nreaddir .", listing(&[("a", 8, true)]), listing(&[("a", 0, true)]), "expected `a unknown`, saw `a reg`")]
#[case::d_ino("creat a\nreaddir .", listing(&[("a", 8, true)]), listing(&[("a", 8, false)]), "expected `a reg d_ino is not st_ino`, saw `a reg`")]
#[case::names("creat f\nsetxattr f user.b x\nsetxattr f user.a x\nlistxattr f", gave(14, Value::Names(vec!["user.a".into(), "user.b".into()])), gave(14, Value::Names(vec!["user.a".into(), "user.c".into()])), "expected `user.c`, saw `user.b`")]
#[case::xattr(
    "creat f\nsetxattr f user.a xyz\ngetxattr f user.a",
    data(3, xxh3_64(b"xyz")),
    data(3, xxh3_64(b"xyy")),
    "content"
)]
#[case::text("creat f\nopen 1 f rdwr\ngetlock 1 rd off=0 len=0", gave(0, Value::Text("un".into())), gave(0, Value::Text("rd off=0 len=0".into())), "expected `rd off=0 len=0`, saw `un`")]
fn a_difference_shows(
    #[case] text: &str,
    #[case] right: Outcome,
    #[case] wrong: Outcome,
    #[case] shown: &str,
) {
    let (status, said) = expect_of_last(text, right);
    assert_eq!(status, 0, "{said}");
    assert!(said.ends_with("all as expected\n"), "{said}");
    let (status, said) = expect_of_last(text, wrong);
    assert_eq!(status, 1, "{said}");
    let differs = said.lines().find(|line| line.starts_with("DIFFERS"));
    assert!(differs.unwrap().contains(shown), "{said}");
    assert!(said.contains("1 differences, the first: "), "{said}");
}

#[rstest]
#[case::kind(StatView { mode: 0o040_644, ..stat() }, "mode: expected 0040644, saw 0100644")]
#[case::mode(StatView { mode: 0o100_600, ..stat() }, "mode: expected 0100600, saw 0100644")]
#[case::uid(StatView { uid: 1, ..stat() }, "uid: expected 1, saw 0")]
#[case::gid(StatView { gid: 1, ..stat() }, "gid: expected 1, saw 0")]
#[case::nlink(StatView { nlink: 2, ..stat() }, "nlink: expected 2, saw 1")]
#[case::size(StatView { size: 99, ..stat() }, "size: expected 99, saw 100")]
#[case::rdev(StatView { rdev: (1, 3), ..stat() }, "rdev: expected 1:3, saw 0:0")]
#[case::blksize(StatView { blksize: 1, ..stat() }, "blksize: expected 1, saw 4096")]
#[case::nothing(stat(), "")]
// Not one that the trace set: the clock's.
#[case::mtime_of_the_clock(StatView { mtime: (9, 0), ..stat() }, "")]
fn a_stat_difference_shows(#[case] expected: StatView, #[case] shown: &str) {
    if !is_root() {
        return;
    }
    let (status, said) = expect_of_last(&format!("{FILE}lstat f"), gave(0, Value::Stat(expected)));
    assert_eq!(status, i32::from(!shown.is_empty()), "{said}");
    assert!(said.contains(shown), "{said}");
}

#[test]
fn a_time_that_the_trace_set_is_compared() {
    let set_twice = format!("{FILE}utimens f atime=omit mtime=9:0\nlstat f");
    let (status, said) = expect_of_last(&set_twice, gave(0, Value::Stat(stat())));
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("mtime: expected 5.000000007, saw 9.000000000"),
        "{said}"
    );
}

#[test]
fn a_file_systems_own_affairs_are_left_to_it() {
    let text = "mkdir d\nstat d\nstatfs .\nlsattr d";
    let mut directory = stat();
    (
        directory.mode,
        directory.size,
        directory.nlink,
        directory.blksize,
    ) = (0o040_755, 1, 77, 3);
    let own = |text: &str| Some(gave(0, Value::Text(text.into())));
    let expected = [
        Some(gave(0, Value::None)),
        Some(gave(0, Value::Stat(directory))),
        own("bsize=1"),
        own("i"),
    ];
    let trace = parsed(text);
    let input = Input {
        trace: &trace,
        expected: &expected,
        ..Input::default()
    };
    let (status, said) = Made::of(&input).run();
    assert_eq!(status, 0, "{said}");
    let (status, said) = Made::of(&Input {
        own_affairs: true,
        ..input
    })
    .run();
    assert_eq!((status, said.matches("DIFFERS").count()), (1, 5), "{said}");
}

const TREE: &str = "creat f 0640\nwrite f len=100 seed=3\nlink f g\nsymlink t l\nmkdir d\n\
                    setxattr f user.a xyz\nchown f 3:4\nutimens f atime=1:0 mtime=5:7\nmknod d/c char:1:3 0600";

#[rstest]
#[case("f", Must::HaveMode(0o100_640), Must::HaveMode(0o100_644))]
#[case("f", Must::HaveUid(3), Must::HaveUid(0))]
#[case("f", Must::HaveGid(4), Must::HaveGid(0))]
#[case("f", Must::HaveNlink(2), Must::HaveNlink(1))]
#[case("f", Must::HaveSize(100), Must::HaveSize(0))]
#[case("d/c", Must::HaveRdev(1, 3), Must::HaveRdev(3, 1))]
#[case("f", Must::HaveBlksize(4096), Must::HaveBlksize(512))]
#[case("f", Must::HaveMtime(5, 7), Must::HaveMtime(5, 0))]
#[case(
    "f",
    Must::HaveContent(100, digest(3, 0, 100)),
    Must::HaveContent(99, digest(3, 0, 99))
)]
#[case(
    "f",
    Must::HaveContent(100, digest(3, 0, 100)),
    Must::HaveContent(100, 1)
)]
#[case("l", Must::HaveTarget("t".into()), Must::HaveTarget("f".into()))]
#[case("f", Must::BeLinkOf("g".into(), true), Must::BeLinkOf("d".into(), true))]
#[case("f", Must::BeLinkOf("l".into(), false), Must::BeLinkOf("g".into(), false))]
#[case("f", Must::HaveXattr("user.a".into(), 3, xxh3_64(b"xyz")), Must::HaveXattr("user.b".into(), 3, 0))]
#[case("f", Must::HaveXattrs(vec!["user.a".into()]), Must::HaveXattrs(vec![]))]
#[case("d/c", Must::BeListed(libc::DT_CHR), Must::BeListed(libc::DT_REG))]
#[case("d", Must::BeListed(libc::DT_DIR), Must::BeListed(libc::DT_UNKNOWN))]
#[case("x", Must::BeAbsent, Must::BeListed(libc::DT_REG))]
#[case("x", Must::BeAbsent, Must::HaveSize(0))]
#[case("f", Must::HaveSize(100), Must::BeAbsent)]
fn a_tree_difference_shows(#[case] path: &str, #[case] right: Must, #[case] wrong: Must) {
    if !is_root() {
        return;
    }
    for (must, expected) in [(right, 0), (wrong, 1)] {
        for phase in [Phase::Warm, Phase::Lower] {
            let trace = parsed(TREE);
            let trees = [TreeCheck {
                phase,
                path: path.into(),
                must: must.clone(),
            }];
            let text = c_program(&Input {
                trace: &trace,
                trees: &trees,
                ..Input::default()
            })
            .unwrap();
            if phase == Phase::Lower {
                assert!(text.contains("lower(\"") && text.contains("drop_caches();"));
                continue;
            }
            let (status, said) = Made::of(&Input {
                trace: &trace,
                trees: &trees,
                ..Input::default()
            })
            .run();
            assert_eq!(status, expected, "{must:?}: {said}");
        }
    }
}

#[test]
fn what_a_worker_leaves_open_is_gone_when_the_tree_is_looked_at() {
    let trace = parsed("creat f\nlink f g\nopen 1 f rdwr\ncreds 5:5\nunlink f");
    let trees = [TreeCheck {
        phase: Phase::Warm,
        path: "g".into(),
        must: Must::HaveNlink(2),
    }];
    let expected = vec![None; 5];
    let text = c_program(&Input {
        trace: &trace,
        trees: &trees,
        expected: &expected,
        ..Input::default()
    })
    .unwrap();
    assert!(text.contains("static void worker_0(void)"), "{text}");
}

/// XXH3 is another algorithm at each of these lengths.
#[test]
fn bytes_of_any_length_are_digested_as_everywhere() {
    let lens = (0..=260).chain([
        511, 512, 513, 1023, 1024, 1025, 1088, 4095, 4096, 9999, 2_100_000,
    ]);
    let (mut text, mut expected) = (
        String::from("creat f\nwrite f len=3m seed=9\n"),
        vec![None, None],
    );
    for len in lens {
        text.push_str(&format!("read f off=7 len={len}\n"));
        expected.push(Some(data(len as u64, digest(9, 7, len))));
    }
    let trace = parsed(&text);
    let (status, said) = Made::of(&Input {
        trace: &trace,
        expected: &expected,
        ..Input::default()
    })
    .run();
    assert_eq!(status, 0, "{said}");
}

#[test]
fn workers_take_turns() {
    let mut text = String::new();
    for i in 0..300 {
        text.push_str(&format!(
            "p{}: creat f{i}\np{}: unlink f{i}\n",
            i % 3,
            (i + 1) % 3
        ));
    }
    let trace = parsed(&text);
    let expected = vec![Some(gave(0, Value::None)); trace.len()];
    let mut input = Input {
        trace: &trace,
        expected: &expected,
        ..Input::default()
    };
    let (status, said) = Made::of(&input).run();
    assert_eq!((status, said.lines().count()), (0, 601), "{said}");
    // At once, they find each other's files or not.
    input.workers = Workers::Free;
    let (status, said) = Made::of(&input).run();
    assert_eq!(status, 0, "{said}");
    assert!(
        said.ends_with("no difference: if the bug is there, the kernel log says so\n"),
        "{said}"
    );
}

#[test]
fn a_worker_that_dies_is_told_and_waited_for_by_nobody() {
    // RLIMIT_FSIZE: SIGXFSZ ends who writes beyond it.
    let trace = parsed("creat f\np1: truncate f 4k\nwrite f off=8k len=1\np1: stat f");
    let made = Made::of(&Input {
        trace: &trace,
        ..Input::default()
    });
    let limited = Command::new("sh")
        .args(["-c", "ulimit -f 8; exec ../reproducer"])
        .current_dir(made.dir.path().join("arm"))
        .output()
        .unwrap();
    let (status, said) = told(&limited);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("expected exit 0, saw signal 25"), "{said}");
}

#[test]
fn nothing_is_expected_after_a_crash() {
    let trace = parsed("creat f\ncreat f -> EEXIST\nmkdir f");
    let input = Input {
        trace: &trace,
        ..Input::default()
    };
    let (status, said) = Made::of(&input).run();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("ran       1 creat f 0644: 0\n"), "{said}");
    assert!(
        said.contains("ok        2 creat f 0644 -> EEXIST\n"),
        "{said}"
    );
    assert!(
        said.contains("ran       3 mkdir f 0755: -17 (File exists)\n"),
        "{said}"
    );
    let wrong = parsed("creat f -> EEXIST");
    let (status, said) = Made::of(&Input {
        trace: &wrong,
        ..input
    })
    .run();
    assert_eq!(status, 1, "{said}");
}

#[test]
fn what_is_missing_is_named() {
    let trace = parsed("stat d/f\nstat f");
    let setup = parsed("mkdir d\nopen 1 d rdonly|directory\ncreat @fd1/f 0600");
    let made = Made::of(&Input {
        setup: &setup,
        trace: &trace,
        ..Input::default()
    });
    let (status, said) = made.run();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("ran       1 stat d/f: 0\n"), "{said}");
    let (status, said) = made.run();
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("must be an empty directory"), "{said}");
    let (status, said) = told(&made.command().arg("--help").output().unwrap());
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("usage: "), "{said}");
    let (status, said) = told(&made.command().arg("/no/where").output().unwrap());
    assert_eq!(status, 2, "{said}");

    let setup = parsed("rmdir d");
    let (status, said) = Made::of(&Input {
        setup: &setup,
        trace: &trace,
        ..Input::default()
    })
    .run();
    assert_eq!(status, 77, "{said}");
    assert!(said.contains("setup: rmdir d: No such file"), "{said}");

    if !is_root() {
        return;
    }
    let trace = parsed("chown d 1:1");
    let made = Made::of(&Input {
        trace: &trace,
        ..Input::default()
    });
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(made.dir.path(), open).unwrap();
    let (status, said) = told(&made.command().uid(NOBODY).output().unwrap());
    assert_eq!(status, 77, "{said}");
    assert!(said.contains("root"), "{said}");
}

#[rstest]
#[case("stat @root/f", Unable::Root)]
#[case("register 1 .", Unable::Register)]
#[case("unregister 1", Unable::Register)]
#[case("rootdir .", Unable::RootDir)]
#[case("abort", Unable::Abort)]
#[case("eachalloc stat f", Unable::EachAlloc)]
#[case("repeat 2 abort", Unable::Abort)]
fn what_is_the_benchs_alone_has_no_program(#[case] text: &str, #[case] why: Unable) {
    let trace = parsed(text);
    let made = c_program(&Input {
        trace: &trace,
        ..Input::default()
    });
    let line = text.to_owned();
    assert_eq!(made, Err(Error::Operation { line, why }));
}

/// One operation a line, on every kind of path.
const EVERY: &str = "creat f
mkdir d
mknod p fifo
mknod s socket
mknod c char:1:3
mknod b block:7:1
symlink t l
link f g
unlink f
rmdir d
rename a b noreplace
rename a @outside/b
stat f
lstat @lower/f
chmod f 0600
chown f 1:-
utimens f atime=now mtime=1:2
truncate f 5000000000
access f rwx
readlink l
readdir .
write f len=1
read f len=1
mwrite f len=1
mread f len=1
readv f len=1 parts=2
writev f len=1 parts=2
dread f len=1
dwrite f len=1
aread f len=1
awrite f len=1
uringread f len=1
uringwrite f len=1
fsync f
fdatasync f
open 1 f rdwr|creat|tmpfile|sync|direct|noatime|path|0x8000 0600
close 1
pwrite 1 len=1
pread 1 len=1
fdread 1 len=1
fdwrite 1 len=1
ftruncate 1 5
fstat 1
fsyncfd 1
lseek 1 -9223372036854775808 data
mmap 1 1 len=1
mstore 1 len=1
mload 1 len=1
msync 1
munmap 1
sync
dropcaches
wait 1ms
mounttmpfs d
umount d
bind d e ro
creds 1000:4294967295
umask 077
setxattr f user.a hex:00ff replace
getxattr f user.a
listxattr f
removexattr f user.a
fallocate f len=1 punch|keep|zero|collapse|insert|unshare
copyrange f g len=1
clonerange @fd1/f @fd2/g len=1
deduperange f g len=1
splice f g len=1
chattr f ia
lsattr f
ioctl f getversion
ioctl f fsgetxattr
ioctl f getfslabel
ioctl f figetbsz
ioctl f fiemap
ioctl f fitrim
ioctl f unknown
ioctl f 0x1234
statfs f
linkfd 1 f
fdpath 1
handle 1 f
openhandle 1 2
watch 1 f
cached f
exec f
flock 1 sh
lock 1 wr off=1 len=1
getlock 1 rd off=1 len=1
lease 1 wr
repeat 3 stat @fd1/f
";

/// Alone, so that each brings the headers and functions it needs and no other.
#[test]
fn every_operation_compiles_alone() {
    let mut all = String::new();
    for line in EVERY.lines() {
        let trace = parsed(line);
        let input = Input {
            trace: &trace,
            ..Input::default()
        };
        Made::checked(&input);
        all.push_str(&c_program(&input).unwrap());
    }
    // A part that no line here needs is one that was never compiled.
    let parts = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/c")).unwrap();
    for part in parts {
        let text = std::fs::read_to_string(part.unwrap().path()).unwrap();
        for name in text.lines().filter_map(|line| line.strip_prefix("//@ do_")) {
            let name = name.split(' ').next().unwrap();
            // Of trees alone.
            if !["entry", "same"].contains(&name) {
                assert!(all.contains(&format!(" do_{name}(")), "{name}");
            }
        }
    }
}

#[test]
fn a_generated_trace_compiles() {
    for (seed, names) in [(7, fsstress::Names::Own), (8, fsstress::Names::Shared)] {
        let trace = fsstress::generate(seed, 300, 3, names, &fsstress::Mix::default());
        let (status, said) = Made::of(&Input {
            trace: &trace,
            ..Input::default()
        })
        .run();
        assert_eq!(status, 0, "{said}");
    }
}
