//! A program, made and run, and outcomes to expect.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

use lookback_ops::{Line, Outcome, StatView, Value, pattern, trace};
use lookback_reproducer::{Input, Must, TreeCheck, c_program};
use lookback_wire::control::Phase;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

/// A program, compiled, and a directory for it.
pub struct Made {
    pub dir: TempDir,
}

impl Made {
    pub fn of(input: &Input<'_>) -> Made {
        Made::of_text(&c_program(input).unwrap())
    }

    /// That of a program changed after it was made.
    pub fn of_text(text: &str) -> Made {
        let made = Made::checked(text);
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
    pub fn checked(text: &str) -> Made {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("reproducer.c");
        std::fs::write(&source, text).unwrap();
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

    pub fn command(&self) -> Command {
        let mut command = Command::new(self.dir.path().join("reproducer"));
        command.current_dir(self.dir.path().join("arm"));
        command
    }

    pub fn run(&self) -> (i32, String) {
        told(&self.command().output().unwrap())
    }
}

/// What a program says that does `text` and looks at `path` then. Without root
/// one that takes it must say so: the status is then `None`.
pub fn looked_at(text: &str, path: &str, must: &Must) -> (Option<i32>, String) {
    let trace = parsed(text);
    let trees = [TreeCheck {
        phase: Phase::Warm,
        path: path.into(),
        must: must.clone(),
    }];
    let (status, said) = Made::of(&Input {
        trace: &trace,
        trees: &trees,
        ..Input::default()
    })
    .run();
    let refused = status == 77 && said.contains("it takes root");
    assert!(is_root() || !refused || said.lines().count() == 1, "{said}");
    ((is_root() || !refused).then_some(status), said)
}

/// Exit status, and everything said.
pub fn told(output: &Output) -> (i32, String) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let status = output.status.code().unwrap();
    (status, String::from_utf8_lossy(&said).into_owned())
}

pub fn parsed(text: &str) -> Vec<Line> {
    trace::parse(text).unwrap()
}

pub fn gave(ret: i64, value: Value) -> Outcome {
    Outcome {
        ret,
        errno: 0,
        step: String::new(),
        value,
    }
}

pub fn failed(errno: i32, step: &str) -> Outcome {
    Outcome {
        ret: -1,
        errno,
        step: step.into(),
        value: Value::None,
    }
}

pub fn is_root() -> bool {
    tempfile::tempdir()
        .unwrap()
        .path()
        .metadata()
        .unwrap()
        .uid()
        == 0
}

pub fn digest(seed: u64, off: u64, len: usize) -> u64 {
    let mut bytes = vec![0; len];
    pattern::fill(seed, off, &mut bytes);
    xxh3_64(&bytes)
}

pub fn data(len: u64, digest: u64) -> Outcome {
    gave(len.cast_signed(), Value::Data { len, digest })
}

/// What lstat says of `creat f 0644`, `write f len=100`.
pub fn stat() -> StatView {
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

pub const FILE: &str = "creat f 0644\nwrite f len=100 seed=3\nutimens f atime=1:0 mtime=5:7\n";
