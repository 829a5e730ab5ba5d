//! One operation, run.
//!
//! Paths are handed to the kernel absolute, as a user's program would, so that
//! the mount's root and the stacking root are walked and revalidated each time.
//! No signal is ever delivered to a worker, so EINTR is an outcome like any
//! other and nothing is retried.

mod aio;
mod attrs;
mod copy;
mod data;
mod dir;
mod faults;
mod handles;
mod io;
mod locks;
mod maps;
mod mount;
mod names;
mod process;
mod program;
mod sigbus;
mod slots;
mod uring;
mod wrapper;
mod xattr;

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use handles::FileHandle;
use io::Queues;
use lookback_ops::{Base, FileOp, Op, Outcome, Path, StatView, Value, outcome};
use maps::Kept;
use nix::errno::Errno;
use nix::sys::stat::{FileStat, major, minor};

pub use attrs::{extents, inode_flags, make_removable};
pub use dir::{Listed, list, open_dir};
pub use sigbus::survive_sigbus;

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

/// Links to what the process has open (proc_pid_fd(5)).
const OPEN_FILES: &str = "/proc/self/fd";

impl Bases {
    fn of(&self, base: Base) -> &str {
        match base {
            Base::Arm => &self.arm,
            Base::Lower => &self.lower,
            Base::Outside => &self.outside,
            Base::Root => &self.root,
            // Of all paths alike; the descriptor's number is put behind it.
            Base::Slot(_) => OPEN_FILES,
        }
    }

    /// `path` as seen from the base it is below, if it is below one. The base
    /// itself is not told: on some arms two of them are one directory.
    fn relative<'a>(&self, path: &'a str) -> Option<&'a str> {
        // The root holds all the others.
        [&self.arm, &self.outside, &self.lower, &self.root]
            .into_iter()
            .find_map(|base| {
                let rest = path.strip_prefix(base.as_str())?;
                let below = rest.is_empty() || rest.starts_with(['/', ' ']);
                below.then(|| rest.trim_start_matches('/'))
            })
    }
}

/// What one worker works with.
#[derive(Debug)]
pub struct World {
    bases: Bases,
    slots: HashMap<u16, OwnedFd>,
    handles: HashMap<u16, FileHandle>,
    maps: HashMap<u16, Kept>,
    queues: Queues,
    board: &'static Board,
}

/// A step that failed; the name is empty where there is one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed {
    step: &'static str,
    errno: Errno,
}

/// What the operation needs is not there: on this arm, or in this guest.
const UNSUPPORTED: Failed = Failed {
    step: outcome::UNSUPPORTED,
    errno: Errno::EOPNOTSUPP,
};

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
            handles: HashMap::new(),
            maps: HashMap::new(),
            queues: Queues::default(),
            board,
        }
    }

    /// Run `op`.
    pub fn run(&mut self, op: &Op) -> Outcome {
        let done = match op {
            Op::Repeat { times, op } => return self.repeat(*times, op),
            Op::EachAlloc { cold, op } => return self.each_alloc(*cold, op),
            Op::File(op) => self.file(op),
            Op::Io(op) => self.io(op),
            Op::Map(op) => self.map(op),
            Op::Lock(op) => self.lock(op),
            Op::Mount(op) => self.mount(op),
            op => self
                .name(op)
                .or_else(|| self.attribute(op))
                .or_else(|| self.data(op))
                .or_else(|| self.slot(op))
                .unwrap_or_else(|| self.process(op)),
        };
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

    /// Operations of [`FileOp`].
    fn file(&mut self, op: &FileOp) -> Done {
        self.xattr(op)
            .or_else(|| self.copy(op))
            .or_else(|| self.attrs(op))
            .or_else(|| self.handle(op))
            .unwrap_or(Err(UNSUPPORTED))
    }

    fn text(&self, path: &Path) -> Result<String, Failed> {
        let mut text = self.bases.of(path.base).to_owned();
        if let Base::Slot(slot) = path.base {
            let fd = self.slots.get(&slot).ok_or(slots::EMPTY)?;
            text = format!("{text}/{}", fd.as_raw_fd());
        }
        if !path.rel.is_empty() {
            text = format!("{text}/{}", path.rel);
        }
        Ok(text)
    }

    /// The path as the kernel takes it; no path holds a NUL.
    fn path(&self, path: &Path) -> Result<CString, Failed> {
        CString::new(self.text(path)?).map_err(|_| Failed {
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
    let time = |seconds, nanoseconds: i64| (seconds, number(nanoseconds.cast_unsigned()));
    StatView {
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        nlink: stat.st_nlink,
        size: stat.st_size.cast_unsigned(),
        rdev: (number(major(stat.st_rdev)), number(minor(stat.st_rdev))),
        blksize: stat.st_blksize.cast_unsigned(),
        ino: stat.st_ino,
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
    }
}

#[cfg(test)]
mod tests;
