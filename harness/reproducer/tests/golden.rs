//! The text of one program.

#![allow(clippy::unwrap_used)]

use lookback_ops::{Outcome, StatView, Value, trace};
use lookback_reproducer::{Input, Must, Stamp, TreeCheck, When, c_program};
use lookback_wire::control::Phase;

/// Written anew where this is set: read the difference before it is kept.
const UPDATE: &str = "UPDATE_GOLDEN";

fn outcome(errno: i32, value: Value) -> Option<Outcome> {
    Some(Outcome {
        ret: if errno == 0 { 0 } else { -1 },
        errno,
        step: String::new(),
        value,
    })
}

#[test]
fn a_program_reads_as_the_trace_does() {
    let text = "creat a 0644\nlink a b\nrename a c\nrename a b\nlstat b\nutimens c atime=omit mtime=5:0\n\
                creat d 0600\nrename c d\nunlink b\nreaddir .";
    let stat = StatView {
        mode: 0o100_644,
        uid: 0,
        gid: 0,
        nlink: 2,
        size: 0,
        rdev: (0, 0),
        blksize: 4096,
        ino: 12,
        atime: (0, 0),
        mtime: (1, 0),
        ctime: (0, 0),
    };
    let none = || outcome(0, Value::None);
    let expected = vec![
        none(),
        none(),
        none(),
        outcome(2, Value::None),
        outcome(0, Value::Stat(stat)),
        none(),
        none(),
        none(),
        none(),
        None,
    ];
    let check = |path: &str, must| TreeCheck {
        phase: Phase::Dropped,
        path: path.into(),
        must,
    };
    let trees = [
        check("d", Must::HaveNlink(1)),
        check("d", Must::HaveTime(Stamp::Mtime, When::Set(5, 0))),
        check("c", Must::BeAbsent),
    ];
    let about = [
        "kernel     Linux 6.12.63, patched".to_owned(),
        "signature  tree:nlink:dropped:backed".to_owned(),
        "seed       7".to_owned(),
    ];
    let trace = trace::parse(text).unwrap();
    let setup = trace::parse("mkdir e 0755\n").unwrap();
    let program = c_program(&Input {
        title: "rename.over-a-link: nlink after drop_caches",
        about: &about,
        setup: &setup,
        trace: &trace,
        expected: &expected,
        trees: &trees,
        ..Input::default()
    })
    .unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rename.c");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, &program).unwrap();
    }
    assert_eq!(program, std::fs::read_to_string(path).unwrap());
}
