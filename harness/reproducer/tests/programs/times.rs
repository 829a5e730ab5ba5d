//! Times told by the line that took them.

use lookback_ops::{Outcome, Value};
use lookback_reproducer::{Error, Input, Must, OpTime, Stamp, TreeCheck, When, c_program};
use lookback_wire::control::{Phase, Workers};
use rstest::rstest;

use crate::made::{Made, looked_at, parsed};
use Stamp::{Atime, Ctime, Mtime};
use When::{Line, Set};

/// Lines 1 to 5.
const LINES: &str = "creat f\nwrite f len=5\nread f len=5\nchmod f 0600\ncreat g";

fn a_time(stamp: Stamp, line: usize) -> Must {
    Must::HaveTime(stamp, Line(line))
}

#[rstest]
#[case("f", Mtime, 2)]
#[case("f", Atime, 3)]
#[case("f", Ctime, 4)]
#[case::of_the_last("g", Ctime, 5)]
#[case::of_a_directory("", Mtime, 5)]
fn a_time_in_a_tree_is_its_line_s(#[case] path: &str, #[case] stamp: Stamp, #[case] line: usize) {
    let (status, said) = looked_at(LINES, path, &a_time(stamp, line));
    assert_eq!(status, Some(0), "{said}");
    for (wrong, expected) in [
        (0, "before line 1".to_owned()),
        (line - 1, format!("of line {}", line - 1)),
        (line + 1, format!("of line {}", line + 1)),
    ] {
        if wrong > 5 {
            continue;
        }
        let (status, said) = looked_at(LINES, path, &a_time(stamp, wrong));
        assert_eq!(status, Some(1), "{said}");
        let differs = said
            .lines()
            .find(|text| text.starts_with("DIFFERS"))
            .unwrap();
        let expected = format!(": expected the time {expected} (");
        let saw = format!("), saw that of line {line} (");
        assert!(
            differs.contains(&expected) && differs.contains(&saw),
            "{said}"
        );
    }
}

/// What the setup has done lies before the first line, and each line of it has
/// a time of its own, too: else reading `s` in line 1 would set its atime.
#[rstest]
#[case(Ctime, 0, 1)]
#[case(Atime, 0, 1)]
fn a_time_of_the_setup_is_before_the_first_line(
    #[case] stamp: Stamp,
    #[case] right: usize,
    #[case] wrong: usize,
) {
    let setup = parsed("creat s\nwrite s len=1\nread s len=1");
    let trace = parsed("read s len=1\ncreat f");
    for (line, expected) in [(right, 0), (wrong, 1)] {
        let trees = [TreeCheck {
            phase: Phase::Warm,
            path: "s".into(),
            must: a_time(stamp, line),
        }];
        let (status, said) = Made::of(&Input {
            setup: &setup,
            trace: &trace,
            trees: &trees,
            ..Input::default()
        })
        .run();
        assert_eq!(status, expected, "{said}");
        assert!(
            expected == 0 || said.contains("saw that before line 1 ("),
            "{said}"
        );
    }
}

/// What a program says that does `text` and looks at a time its line `index` gave.
fn told_by(text: &str, index: usize, stamp: Stamp, when: When, workers: Workers) -> (i32, String) {
    let trace = parsed(text);
    let times = [OpTime { index, stamp, when }];
    Made::of(&Input {
        trace: &trace,
        times: &times,
        workers,
        ..Input::default()
    })
    .run()
}

const STATS: &str = "creat f\nopen 1 f rdonly\nchmod f 0600\nfstat 1\nstat f\nchmod f 0644";

#[rstest]
#[case(3, Ctime, 3, 1)]
#[case(3, Ctime, 3, 4)]
#[case(4, Mtime, 1, 5)]
#[case(4, Mtime, 1, 0)]
#[case(4, Atime, 1, 2)]
fn a_time_an_operation_tells_is_its_line_s(
    #[case] index: usize,
    #[case] stamp: Stamp,
    #[case] right: usize,
    #[case] wrong: usize,
) {
    let told = |line| told_by(STATS, index, stamp, Line(line), Workers::InTurn);
    let (status, said) = told(right);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(&format!(": {}\n", name(stamp))), "{said}");
    let (status, said) = told(wrong);
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains(&format!("saw that of line {right} (")),
        "{said}"
    );
}

fn name(stamp: Stamp) -> &'static str {
    match stamp {
        Atime => "atime",
        Mtime => "mtime",
        Ctime => "ctime",
    }
}

#[rstest]
#[case(Atime, (7, 8))]
#[case(Mtime, (9, 5))]
fn a_time_that_was_set_is_compared_exactly(#[case] stamp: Stamp, #[case] set: (i64, u32)) {
    let text = "creat f\nutimens f atime=7:8 mtime=9:5\nstat f";
    let right = Set(set.0, set.1);
    for (when, expected) in [(right, 0), (Set(set.0, 1), 1), (Line(2), 1)] {
        let (status, said) = told_by(text, 2, stamp, when, Workers::InTurn);
        assert_eq!(status, expected, "{said}");
        let (status, said) = looked_at(text, "f", &Must::HaveTime(stamp, when));
        assert_eq!(status, Some(expected), "{said}");
    }
}

#[test]
fn a_time_set_by_the_trace_is_shown_once() {
    let trace = parsed("creat f\nutimens f atime=7:8 mtime=9:5\nstat f");
    let mut stat = crate::made::stat();
    stat.mtime = (9, 5);
    let value = Value::Stat(stat);
    let expected = [
        None,
        None,
        Some(Outcome {
            ret: 0,
            errno: 0,
            step: String::new(),
            value,
        }),
    ];
    let times = [OpTime {
        index: 2,
        stamp: Mtime,
        when: Set(9, 5),
    }];
    let text = c_program(&Input {
        trace: &trace,
        expected: &expected,
        times: &times,
        ..Input::default()
    })
    .unwrap();
    assert_eq!(text.matches("mtime 9.000000005").count(), 1, "{text}");
    assert!(!text.contains("begin_line"), "{text}");
}

#[test]
fn what_is_yet_to_come_is_no_line_s() {
    let text = "creat f\nutimens f atime=omit mtime=9000000000:0\nstat f\ncreat g";
    let (status, said) = told_by(text, 2, Mtime, Line(3), Workers::InTurn);
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("saw that after line 3 (9000000000."),
        "{said}"
    );
    let (status, said) = looked_at(text, "f", &a_time(Mtime, 4));
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("saw that after line 4 (9000000000."),
        "{said}"
    );
}

/// A line that takes longer than a tick ends before the next begins.
#[test]
fn a_line_s_time_is_as_long_as_it_takes() {
    let text = "creat f\nrepeat 20 write f len=1m\nwait 30ms\nchmod f 0600";
    for (stamp, right) in [(Mtime, 2), (Ctime, 4)] {
        let (status, said) = looked_at(text, "f", &a_time(stamp, right));
        assert_eq!(status, Some(0), "{said}");
        let (status, said) = looked_at(text, "f", &a_time(stamp, 3));
        assert_eq!(status, Some(1), "{said}");
    }
}

#[test]
fn workers_in_turn_know_each_other_s_lines() {
    let text = "creat f\np1: chmod f 0600\np2: creat g\np1: stat f\nstat g\np2: chmod g 0600";
    for (index, right) in [(3, 2), (4, 3)] {
        let told = |line| told_by(text, index, Ctime, Line(line), Workers::InTurn);
        let (status, said) = told(right);
        assert_eq!(status, 0, "{said}");
        let (status, said) = told(1);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("expected the time of line 1 ("), "{said}");
        assert!(
            said.contains(&format!("saw that of line {right} (")),
            "{said}"
        );
    }
    // And so does who looks at the tree when they have ended.
    let (status, said) = looked_at(text, "g", &a_time(Ctime, 6));
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = looked_at(text, "g", &a_time(Ctime, 5));
    assert_eq!(status, Some(1), "{said}");
}

#[test]
fn one_worker_apart_has_lines_too() {
    let text = "creat f\nopen 1 f rdwr\nchmod f 0600\ncreat g";
    for (line, expected) in [(3, 0), (2, 1)] {
        let (status, said) = looked_at(text, "f", &a_time(Ctime, line));
        assert_eq!(status, Some(expected), "{said}");
    }
}

#[test]
fn a_stat_that_fails_has_no_time() {
    let (status, said) = told_by("creat f\nstat g", 1, Ctime, Line(1), Workers::InTurn);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("stat g: ctime: expected 0, saw -2"), "{said}");
}

#[rstest]
#[case::at_once("creat f\np1: creat g", 1, Workers::Apart, Some(Error::AtOnce))]
#[case::free("creat f\np1: creat g", 1, Workers::Free, Some(Error::AtOnce))]
#[case::alone("creat f\ncreat g", 1, Workers::Apart, None)]
#[case::no_line("creat f\ncreat g", 3, Workers::InTurn, Some(Error::NoLine { line: 3, lines: 2 }))]
fn a_line_has_a_time_where_it_runs_alone(
    #[case] text: &str,
    #[case] line: usize,
    #[case] workers: Workers,
    #[case] error: Option<Error>,
) {
    let trace = parsed(text);
    let trees = [TreeCheck {
        phase: Phase::Warm,
        path: "f".into(),
        must: a_time(Ctime, line),
    }];
    let made = c_program(&Input {
        trace: &trace,
        trees: &trees,
        workers,
        ..Input::default()
    });
    assert_eq!(made.err(), error);
}

/// It costs a tick each.
#[test]
fn lines_wait_only_where_a_line_s_time_is_asked_for() {
    let trace = parsed(LINES);
    let text = c_program(&Input {
        trace: &trace,
        ..Input::default()
    })
    .unwrap();
    assert!(
        !text.contains("begin_line") && !text.contains("tick"),
        "{text}"
    );
}
