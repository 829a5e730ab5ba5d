//! One operation, run.
//!
//! Paths are handed to the kernel absolute, as a user's program would, so that
//! the mount's root and the stacking root are walked and revalidated each time.
//! No signal is ever delivered to a worker, so EINTR is an outcome like any
//! other and nothing is retried.

mod data;
mod dir;
mod names;
mod process;
mod slots;

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use lookback_ops::{Base, Op, Outcome, Path, StatView, Value};
use nix::errno::Errno;
use nix::sys::stat::{FileStat, major, minor};

pub use data::survive_sigbus;
pub use dir::{Listed, list, open_dir};

use crate::board::Board;

/// Where each [`Base`] is for one arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bases {
    /// [`Base::Arm`]
    pub arm: String,
    /// [`Base::Lower`]
    pub lower: String,
    /// [`Base::Outside`]
    pub outside: String,
    /// [`Base::Root`]
    pub root: String,
    /// What is mounted there.
    pub mount: Mount,
}

/// The file system of an arm's mount, for operations on the mount itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// No FUSE.
    Local,
    /// A virtiofs share.
    Virtiofs {
        /// Its tag.
        tag: &'static str,
    },
    /// Served over /dev/fuse.
    Fuse,
}

impl Bases {
    fn of(&self, base: Base) -> &str {
        match base {
            Base::Arm => &self.arm,
            Base::Lower => &self.lower,
            Base::Outside => &self.outside,
            Base::Root => &self.root,
        }
    }
}

/// What one worker works with.
#[derive(Debug)]
pub struct World {
    bases: Bases,
    slots: HashMap<u16, OwnedFd>,
    board: &'static Board,
}

/// A step that failed; the name is empty where there is one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed {
    step: &'static str,
    errno: Errno,
}

/// Return value and the rest.
type Done = Result<(i64, Value), Failed>;

/// Names the step a system call stands for.
trait At<T> {
    fn at(self, step: &'static str) -> Result<T, Failed>;
}

impl<T> At<T> for nix::Result<T> {
    fn at(self, step: &'static str) -> Result<T, Failed> {
        self.map_err(|errno| Failed { step, errno })
    }
}

impl World {
    /// A worker's world: nothing open.
    pub fn new(bases: Bases, board: &'static Board) -> World {
        World {
            bases,
            slots: HashMap::new(),
            board,
        }
    }

    /// Run `op`.
    pub fn run(&mut self, op: &Op) -> Outcome {
        let done = self
            .name(op)
            .or_else(|| self.attribute(op))
            .or_else(|| self.data(op))
            .or_else(|| self.slot(op))
            .unwrap_or_else(|| self.process(op));
        match done {
            Ok((ret, value)) => Outcome {
                ret,
                errno: 0,
                step: String::new(),
                value,
            },
            Err(Failed { step, errno }) => Outcome {
                ret: -1,
                errno: errno as i32,
                step: step.into(),
                value: Value::None,
            },
        }
    }

    fn text(&self, path: &Path) -> String {
        let base = self.bases.of(path.base);
        if path.rel.is_empty() {
            base.to_owned()
        } else {
            format!("{base}/{}", path.rel)
        }
    }

    /// The path as the kernel takes it; no path holds a NUL.
    fn path(&self, path: &Path) -> Result<CString, Failed> {
        CString::new(self.text(path)).map_err(|_| Failed {
            step: "path",
            errno: Errno::EINVAL,
        })
    }
}

/// Success with nothing to tell.
fn nothing((): ()) -> (i64, Value) {
    (0, Value::None)
}

/// The part of a stat that is compared.
pub fn view(stat: &FileStat) -> StatView {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    StatView {
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        nlink: stat.st_nlink,
        size: stat.st_size.cast_unsigned(),
        rdev: (number(major(stat.st_rdev)), number(minor(stat.st_rdev))),
        blksize: stat.st_blksize.cast_unsigned(),
        ino: stat.st_ino,
        mtime: (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(u32::MAX),
        ),
    }
}

#[cfg(test)]
mod tests;
