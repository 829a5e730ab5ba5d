//! Reads and writes by other means than pread(2) and pwrite(2).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;

use lookback_ops::{IoOp, Means, Path};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::uio::{pread, preadv, pwrite, pwritev};
use nix::unistd;

use super::aio::Context;
use super::data::{load, store};
use super::uring::Ring;
use super::{At, Done, Failed, UNSUPPORTED, World};

/// What requests are submitted to. Made when first used, and kept: to unmake
/// one takes a while.
#[derive(Debug, Default)]
pub(super) struct Queues {
    aio: Option<Context>,
    ring: Option<Ring>,
}

impl World {
    pub(super) fn io(&mut self, op: &IoOp) -> Done {
        match op {
            IoOp::Read { by, path, off, len } => {
                self.by(*by, path, OFlag::O_RDONLY, |fd, queues| {
                    let done = load(*off, *len, |into, at| queues.read(*by, fd, into, at));
                    done.at(steps(*by).0)
                })
            }
            IoOp::Write {
                by,
                path,
                off,
                len,
                seed,
            } => self.by(*by, path, OFlag::O_WRONLY, |fd, queues| {
                let write = |bytes: &mut [u8], at| queues.write(*by, fd, bytes, at);
                store(*off, *len, *seed, write).at(steps(*by).1)
            }),
            IoOp::FdRead { slot, len } => {
                let fd = self.open_at(*slot)?;
                load(0, *len, |into, _| unistd::read(fd, into)).at("")
            }
            IoOp::FdWrite { slot, len, seed } => {
                let fd = self.open_at(*slot)?;
                store(0, *len, *seed, |bytes, _| unistd::write(fd, bytes)).at("")
            }
        }
    }

    /// Open as `by` wants it, `work`, close.
    fn by(
        &mut self,
        by: Means,
        path: &Path,
        access: OFlag,
        work: impl FnOnce(&OwnedFd, &mut Queues) -> Done,
    ) -> Done {
        self.queues.prepare(by)?;
        let flags = match by {
            Means::Direct | Means::Aio => access | OFlag::O_DIRECT,
            Means::Vector { .. } | Means::Uring => access,
        };
        let mut queues = std::mem::take(&mut self.queues);
        let done = self.with_open(path, flags, |fd| work(fd, &mut queues));
        self.queues = queues;
        done
    }
}

impl Queues {
    fn prepare(&mut self, by: Means) -> Result<(), Failed> {
        match by {
            Means::Aio if self.aio.is_none() => {
                self.aio = Some(made(Context::new(), "io_setup")?);
            }
            Means::Uring if self.ring.is_none() => {
                self.ring = Some(made(Ring::new(), "io_uring_setup")?);
            }
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, by: Means, fd: &OwnedFd, into: &mut [u8], at: i64) -> nix::Result<usize> {
        match by {
            Means::Vector { parts } => {
                let mut parts: Vec<_> = cut(into.len(), parts)
                    .scan(into, |rest, len| {
                        let (part, left) = std::mem::take(rest).split_at_mut(len);
                        *rest = left;
                        Some(IoSliceMut::new(part))
                    })
                    .collect();
                preadv(fd, &mut parts, at)
            }
            Means::Direct => pread(fd, into, at),
            Means::Aio => self.aio.as_ref().ok_or(Errno::ENOSYS)?.read(fd, into, at),
            Means::Uring => self.ring.as_mut().ok_or(Errno::ENOSYS)?.read(fd, into, at),
        }
    }

    fn write(&mut self, by: Means, fd: &OwnedFd, bytes: &mut [u8], at: i64) -> nix::Result<usize> {
        match by {
            Means::Vector { parts } => {
                let mut rest = &*bytes;
                let mut next = |len| {
                    let (part, left) = rest.split_at(len);
                    rest = left;
                    IoSlice::new(part)
                };
                let parts: Vec<_> = cut(bytes.len(), parts).map(&mut next).collect();
                pwritev(fd, &parts, at)
            }
            Means::Direct => pwrite(fd, bytes, at),
            Means::Aio => self.aio.as_ref().ok_or(Errno::ENOSYS)?.write(fd, bytes, at),
            Means::Uring => self
                .ring
                .as_mut()
                .ok_or(Errno::ENOSYS)?
                .write(fd, bytes, at),
        }
    }
}

/// A queue, or that this guest has none.
fn made<T>(queue: nix::Result<T>, step: &'static str) -> Result<T, Failed> {
    queue.map_err(|errno| match errno {
        Errno::ENOSYS | Errno::EPERM => UNSUPPORTED,
        errno => Failed { step, errno },
    })
}

/// The lengths of so many parts of `len` bytes: all alike, and the last takes
/// what is left.
fn cut(len: usize, parts: u16) -> impl Iterator<Item = usize> {
    let parts = usize::from(parts);
    let each = len / parts.max(1);
    (1..=parts).map(move |part| {
        if part < parts {
            each
        } else {
            len - each * (parts - 1)
        }
    })
}

/// What a read and a write are called.
fn steps(by: Means) -> (&'static str, &'static str) {
    match by {
        Means::Vector { .. } => ("preadv", "pwritev"),
        Means::Direct => ("pread", "pwrite"),
        Means::Aio => ("aio read", "aio write"),
        Means::Uring => ("uring read", "uring write"),
    }
}
