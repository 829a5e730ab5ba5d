//! What operations gave.

use lookback_ops::outcome::Entry;
use lookback_ops::{Outcome, StatView, Value};
use lookback_reproducer::Input;
use rstest::rstest;
use xxhash_rust::xxh3::xxh3_64;

use crate::made::{FILE, Made, data, digest, failed, gave, is_root, parsed, stat};

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
