//! What trees must be like.

use lookback_reproducer::{Input, Must, Stamp, TreeCheck, When, c_program};
use lookback_wire::control::Phase;
use rstest::rstest;
use xxhash_rust::xxh3::xxh3_64;

use crate::made::{Made, digest, is_root, parsed};

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
#[case(
    "f",
    Must::HaveTime(Stamp::Mtime, When::Set(5, 7)),
    Must::HaveTime(Stamp::Mtime, When::Set(5, 0))
)]
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
#[case("f", Must::HaveXattr("user.a".into(), Ok((3, xxh3_64(b"xyz")))), Must::HaveXattr("user.b".into(), Ok((3, 0))))]
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
