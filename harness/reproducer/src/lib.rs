//! Turns a trace into a standalone C program to mail to a list.
//!
//! The program takes libc and a directory, does the system calls of the trace
//! in the trace's order, and says of each what it gave. Where the reference's
//! outcomes are known it compares: it ends with 0 if all is as expected, 1 if
//! something differs (the first is told again at the end), 2 for a bad usage,
//! 77 if it can't be shown on this machine.
//!
//! Nothing here does I/O.
//!
//! ```
//! use lookback_ops::trace;
//! use lookback_reproducer::{Input, c_program};
//!
//! let trace = trace::parse("creat a 0644\nrename a b\n")?;
//! let program = c_program(&Input { title: "rename loses the name", trace: &trace, ..Input::default() })?;
//! assert!(program.contains(r#"do_rename(arm("a"), arm("b"), 0)"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]

mod calls;
mod error;
mod expect;
mod literal;
mod needs;
mod parts;
mod program;
mod tree;
mod when;

use lookback_ops::{Line, Outcome};
use lookback_wire::control::Workers;

pub use error::{Error, Unable};
pub use program::c_program;
pub use tree::{Must, TreeCheck};
pub use when::{OpTime, Stamp, When};

/// What a program is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    /// What it shows, in a line.
    pub title: &'a str,
    /// Lines for its head: kernel, seed, signature, the command that reruns it.
    pub about: &'a [String],
    /// Done first, in the directory below the file system under test. Each
    /// line must work, or fail as it says it must.
    pub setup: &'a [Line],
    /// The operations.
    pub trace: &'a [Line],
    /// How workers run beside each other.
    pub workers: Workers,
    /// What the reference gave, by index in `trace`; `None` where nothing is
    /// expected. Empty if nothing is expected at all, as after a crash.
    pub expected: &'a [Option<Outcome>],
    /// Times in what operations give, to be compared besides what is always.
    pub times: &'a [OpTime],
    /// What must hold of the tree afterwards.
    pub trees: &'a [TreeCheck],
    /// Also compare what is each file system's own affair (`st_blksize`, the
    /// size and link count of directories, `statfs`, extents, attribute
    /// flags): the program then runs on the reference's file system alone.
    pub own_affairs: bool,
}
