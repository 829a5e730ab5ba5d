//! Operations on ranges of files: holes, copies in the kernel.

use std::os::fd::OwnedFd;

use lookback_ops::{FileOp, Path, Value};
use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, copy_file_range, splice};
use nix::unistd::pipe;

use super::{At, Done, World, nothing};

/// What a pipe holds (F_GETPIPE_SZ of a new one).
const PIPE: u64 = 64 << 10;

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
            self.with_open(to, OFlag::O_WRONLY, |to| work(from, to))
        })
    }
}

/// fallocate(2) itself: nix refuses modes it has no name for.
fn fallocate(fd: &OwnedFd, off: u64, len: u64, mode: u32) -> Done {
    use std::os::fd::AsRawFd;

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
