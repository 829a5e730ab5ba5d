//! Operations on ranges of files: holes, copies in the kernel.

use std::os::fd::{AsRawFd, OwnedFd};

use lookback_ops::{FileOp, Path, Value};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, copy_file_range, fcntl, splice};
use nix::sys::stat::fstat;
use nix::unistd::pipe;

use super::{At, Done, Failed, World, nothing};
use crate::guest;

/// What a pipe holds (F_GETPIPE_SZ of a new one).
const PIPE: u64 = 64 << 10;
/// FILE_DEDUPE_RANGE_DIFFERS (linux/fs.h)
const DIFFERS: i32 = 1;

/// struct file_clone_range (linux/fs.h)
#[repr(C)]
#[derive(Debug)]
struct CloneRange {
    from: i64,
    from_off: u64,
    len: u64,
    to_off: u64,
}

/// struct file_dedupe_range (linux/fs.h) with one target.
#[repr(C)]
#[derive(Debug)]
struct DedupeRange {
    from_off: u64,
    len: u64,
    targets: u16,
    reserved1: u16,
    reserved2: u32,
    // struct file_dedupe_range_info
    to: i64,
    to_off: u64,
    deduped: u64,
    status: i32,
    reserved: u32,
}

mod call {
    use super::{CloneRange, DedupeRange};

    nix::ioctl_write_ptr!(clone_range, 0x94, 13, CloneRange);
    // The number tells the length without targets.
    const DEDUPE: u64 =
        nix::request_code_readwrite!(0x94, 54, std::mem::offset_of!(DedupeRange, to));
    nix::ioctl_readwrite_bad!(dedupe_range, DEDUPE, DedupeRange);
}

impl World {
    pub(super) fn copy(&self, op: &FileOp) -> Option<Done> {
        Some(match op {
            FileOp::Fallocate {
                path,
                off,
                len,
                mode,
            } => self.with_open(path, OFlag::O_RDWR, |fd| fallocate(fd, *off, *len, *mode)),
            FileOp::CopyRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => self.between(from, to, |from, to| {
                copy_range(from, to, *from_off, *to_off, *len)
            }),
            FileOp::CloneRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => self.between(from, to, |from, to| {
                clone_range(from, to, *from_off, *to_off, *len)
            }),
            FileOp::DedupeRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => self.between(from, to, |from, to| {
                dedupe_range(from, to, *from_off, *to_off, *len)
            }),
            FileOp::Splice { from, to, off, len } => {
                self.between(from, to, |from, to| through_a_pipe(from, to, *off, *len))
            }
            _ => return None,
        })
    }

    fn between(
        &self,
        from: &Path,
        to: &Path,
        work: impl FnOnce(&OwnedFd, &OwnedFd) -> Done,
    ) -> Done {
        self.with_open(from, OFlag::O_RDONLY, |from| {
            self.with_open(to, OFlag::O_WRONLY, |to| {
                leave_atime(from, to)?;
                work(from, to)
            })
        })
    }
}

/// Of one file that is read and written by the same line, atime stays as it is.
/// It would be a tick of the clock later than mtime, or the same, as it happens,
/// and that decides whether the next line that reads sets it
/// (`relatime_need_update`, fs/inode.c).
fn leave_atime(from: &OwnedFd, to: &OwnedFd) -> Result<(), Failed> {
    let [a, b] = [fstat(from).at("fstat")?, fstat(to).at("fstat")?];
    if (a.st_dev, a.st_ino) != (b.st_dev, b.st_ino) {
        return Ok(());
    }
    let flags = OFlag::from_bits_retain(fcntl(from, FcntlArg::F_GETFL).at("fcntl")?);
    let set = || fcntl(from, FcntlArg::F_SETFL(flags | OFlag::O_NOATIME));
    guest::as_root(set).at("fcntl").map(drop)
}

/// fallocate(2) itself: nix refuses modes it has no name for.
fn fallocate(fd: &OwnedFd, off: u64, len: u64, mode: u32) -> Done {
    let (fd, mode) = (fd.as_raw_fd(), mode.cast_signed());
    // SAFETY: numbers alone, and the descriptor is open.
    let ret = unsafe { libc::fallocate(fd, mode, off.cast_signed(), len.cast_signed()) };
    Errno::result(ret).at("fallocate").map(|_| nothing(()))
}

fn copy_range(from: &OwnedFd, to: &OwnedFd, from_off: u64, to_off: u64, len: u64) -> Done {
    let (mut source, mut target) = (from_off.cast_signed(), to_off.cast_signed());
    let mut done = 0;
    loop {
        let wanted = usize::try_from(len - done).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut source), to, Some(&mut target), wanted) {
            Ok(0) => break,
            Ok(n) => done += n as u64,
            Err(errno) if done == 0 => return Err(errno).at("copy_file_range"),
            Err(_) => break,
        }
        if done >= len {
            break;
        }
    }
    Ok((done.cast_signed(), Value::None))
}

fn clone_range(from: &OwnedFd, to: &OwnedFd, from_off: u64, to_off: u64, len: u64) -> Done {
    let range = CloneRange {
        from: from.as_raw_fd().into(),
        from_off,
        len,
        to_off,
    };
    // SAFETY: the kernel reads `range`, which has the layout the number names.
    unsafe { call::clone_range(to.as_raw_fd(), &raw const range) }
        .at("clone")
        .map(|_| nothing(()))
}

fn dedupe_range(from: &OwnedFd, to: &OwnedFd, from_off: u64, to_off: u64, len: u64) -> Done {
    let mut range = DedupeRange {
        from_off,
        len,
        targets: 1,
        reserved1: 0,
        reserved2: 0,
        to: to.as_raw_fd().into(),
        to_off,
        deduped: 0,
        status: 0,
        reserved: 0,
    };
    // SAFETY: `range` has the layout the number names, and room for its one target.
    unsafe { call::dedupe_range(from.as_raw_fd(), &raw mut range) }.at("ioctl")?;
    let deduped = range.deduped.cast_signed();
    match range.status {
        0 => Ok((deduped, Value::None)),
        DIFFERS => Ok((deduped, Value::Text("differs".into()))),
        errno => Err(Errno::from_raw(-errno)).at("dedupe"),
    }
}

fn through_a_pipe(from: &OwnedFd, to: &OwnedFd, off: u64, len: u64) -> Done {
    let (out, into) = pipe().at("pipe")?;
    let (mut source, mut target) = (off.cast_signed(), off.cast_signed());
    let none = SpliceFFlags::empty();
    let mut done = 0;
    while done < len {
        let wanted = usize::try_from((len - done).min(PIPE)).unwrap_or(0);
        let mut held = match splice(from, Some(&mut source), &into, None, wanted, none) {
            Ok(0) => break,
            Ok(n) => n,
            Err(errno) if done == 0 => return Err(errno).at("splice in"),
            Err(_) => break,
        };
        while held > 0 {
            match splice(&out, None, to, Some(&mut target), held, none) {
                Ok(n) if n > 0 => {
                    held -= n;
                    done += n as u64;
                }
                Err(errno) if done == 0 => return Err(errno).at("splice out"),
                _ => return Ok((done.cast_signed(), Value::None)),
            }
        }
    }
    Ok((done.cast_signed(), Value::None))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_what_is_written_too_keeps_its_atime() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        let write = |name| OwnedFd::from(File::create(at(name)).unwrap());
        let (one, other) = (write("one"), write("other"));
        std::fs::hard_link(at("one"), at("link")).unwrap();
        let leaves = |to: &OwnedFd| {
            let from = OwnedFd::from(File::open(at("link")).unwrap());
            leave_atime(&from, to).unwrap();
            fcntl(&from, FcntlArg::F_GETFL).unwrap() & libc::O_NOATIME != 0
        };
        assert!(leaves(&one));
        assert!(!leaves(&other));
    }
}
