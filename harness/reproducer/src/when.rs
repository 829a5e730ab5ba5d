//! Times that are the clock's, told by the line that took them.

use lookback_wire::control::Workers;

use crate::Input;
use crate::error::Error;
use crate::expect::time;
use crate::literal::string;
use crate::tree::{Must, TreeCheck};

/// A time of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// st_atime
    Atime,
    /// st_mtime
    Mtime,
    /// st_ctime
    Ctime,
}

impl Stamp {
    /// As `tell_stat` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stamp::Atime => "atime",
            Stamp::Mtime => "mtime",
            Stamp::Ctime => "ctime",
        }
    }
}

/// Which time it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// One the trace set: seconds and nanoseconds.
    Set(i64, u32),
    /// The clock's while this line of the trace ran, from 1; 0 for before the
    /// first. Only where lines run one after the other.
    Line(usize),
}

/// A time in the stat data an operation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpTime {
    /// The operation's index in the trace.
    pub index: usize,
    /// Which of its times.
    pub stamp: Stamp,
    /// Whose it must be.
    pub when: When,
}

impl When {
    /// The function that compares the time with this, and its arguments between the line's
    /// and the call.
    pub(crate) fn comparison(self, stamp: Stamp) -> (&'static str, Vec<String>) {
        let name = stamp.name();
        match self {
            When::Set(sec, nsec) => {
                let word = time(name, (sec, nsec));
                ("expect_stat", vec![string(word.as_bytes())])
            }
            When::Line(line) => {
                let name = string(name.as_bytes());
                ("expect_line", vec![name, line.to_string()])
            }
        }
    }
}

/// What of a program is about times.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Each line waits for a time of its own.
    pub by_line: bool,
    /// What it compares with an access time is decided by `relatime`.
    pub reads: bool,
}

impl Clock {
    /// That of the program for `input`.
    pub fn of(input: &Input<'_>) -> Result<Clock, Error> {
        let in_tree = |check: &TreeCheck| match check.must {
            Must::HaveTime(stamp, when) => Some((stamp, when)),
            _ => None,
        };
        let of_trees = input.trees.iter().filter_map(in_tree);
        let of_operations = input.times.iter().map(|time| (time.stamp, time.when));
        let mut clock = Clock {
            by_line: false,
            reads: false,
        };
        for (stamp, when) in of_trees.chain(of_operations) {
            clock.reads |= stamp == Stamp::Atime;
            if let When::Line(line) = when {
                clock.by_line = true;
                let lines = input.trace.len();
                if line > lines {
                    return Err(Error::NoLine { line, lines });
                }
            }
        }
        let first = input.trace.first().map(|line| line.worker);
        let several = input.trace.iter().any(|line| Some(line.worker) != first);
        if clock.by_line && several && input.workers != Workers::InTurn {
            return Err(Error::AtOnce);
        }
        Ok(clock)
    }
}
