//! Operations on open files kept across operations.

use std::os::fd::{IntoRawFd, OwnedFd};

use lookback_ops::{Op, Value, Whence};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use nix::unistd;

use super::data::{read, write};
use super::{At, Done, Failed, World, nothing, view};

impl World {
    pub(super) fn slot(&mut self, op: &Op) -> Option<Done> {
        Some(match op {
            Op::Open {
                slot,
                path,
                flags,
                mode,
            } => self.open_slot(*slot, path, *flags, *mode),
            Op::Close { slot } => match self.slots.remove(slot) {
                Some(fd) => unistd::close(fd.into_raw_fd()).at("").map(nothing),
                None => Err(EMPTY),
            },
            Op::Pwrite {
                slot,
                off,
                len,
                seed,
            } => self
                .open_at(*slot)
                .and_then(|fd| write(fd, *off, *len, *seed).at("")),
            Op::Pread { slot, off, len } => self
                .open_at(*slot)
                .and_then(|fd| read(fd, *off, *len).at("")),
            Op::Ftruncate { slot, size } => self.open_at(*slot).and_then(|fd| {
                unistd::ftruncate(fd, size.cast_signed())
                    .at("")
                    .map(nothing)
            }),
            Op::Fstat { slot } => self.open_at(*slot).and_then(|fd| {
                let stat = fstat(fd).at("")?;
                Ok((0, Value::Stat(view(&stat))))
            }),
            Op::Fsyncfd { slot } => self
                .open_at(*slot)
                .and_then(|fd| unistd::fsync(fd).at("").map(nothing)),
            Op::Lseek { slot, off, whence } => self.open_at(*slot).and_then(|fd| {
                let at = unistd::lseek(fd, *off, seek(*whence)).at("")?;
                Ok((at, Value::None))
            }),
            _ => return None,
        })
    }

    fn open_slot(&mut self, slot: u16, path: &lookback_ops::Path, flags: u32, mode: u32) -> Done {
        let path = self.path(path)?;
        if let Some(old) = self.slots.remove(&slot) {
            unistd::close(old.into_raw_fd()).at("close")?;
        }
        let flags = OFlag::from_bits_retain(flags.cast_signed());
        let fd = open(path.as_c_str(), flags, Mode::from_bits_retain(mode)).at("")?;
        self.slots.insert(slot, fd);
        // The number is the process's affair, not the file system's.
        Ok((0, Value::None))
    }

    pub(super) fn open_at(&self, slot: u16) -> Result<&OwnedFd, Failed> {
        self.slots.get(&slot).ok_or(EMPTY)
    }
}

/// Nothing is open in the slot.
pub(super) const EMPTY: Failed = Failed {
    step: "slot",
    errno: Errno::EBADF,
};

fn seek(whence: Whence) -> unistd::Whence {
    match whence {
        Whence::Set => unistd::Whence::SeekSet,
        Whence::Cur => unistd::Whence::SeekCur,
        Whence::End => unistd::Whence::SeekEnd,
        Whence::Data => unistd::Whence::SeekData,
        Whence::Hole => unistd::Whence::SeekHole,
    }
}
