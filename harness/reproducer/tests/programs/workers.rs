//! Workers that are processes.

use std::process::Command;

use lookback_ops::Value;
use lookback_reproducer::Input;
use lookback_wire::control::Workers;

use crate::made::{Made, gave, parsed, told};

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
