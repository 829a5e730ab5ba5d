//! io_uring(7), one request at a time.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use io_uring::{IoUring, opcode, squeue, types::Fd};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};

/// Room for requests: one is enough, and two is the kernel's least.
const ENTRIES: u32 = 2;

/// A ring of the worker's own.
pub(super) struct Ring(IoUring);

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ring").field(&self.0.as_raw_fd()).finish()
    }
}

impl Ring {
    /// Ask for one.
    ///
    /// # Errors
    /// Those of io_uring_setup(2).
    pub fn new() -> nix::Result<Ring> {
        IoUring::new(ENTRIES).map(Ring).map_err(errno)
    }

    /// IORING_OP_READ
    ///
    /// # Errors
    /// The request's own.
    pub fn read(&mut self, fd: &OwnedFd, into: &mut [u8], off: i64) -> nix::Result<usize> {
        must_not_wait(fd, PollFlags::POLLIN)?;
        let read = opcode::Read::new(Fd(fd.as_raw_fd()), into.as_mut_ptr(), length(into));
        // SAFETY: `into` may be written to, and is not given up before the request has ended.
        unsafe { self.request(&read.offset(off.cast_unsigned()).build()) }
    }

    /// IORING_OP_WRITE
    ///
    /// # Errors
    /// The request's own.
    pub fn write(&mut self, fd: &OwnedFd, bytes: &mut [u8], off: i64) -> nix::Result<usize> {
        must_not_wait(fd, PollFlags::POLLOUT)?;
        let write = opcode::Write::new(Fd(fd.as_raw_fd()), bytes.as_ptr(), length(bytes));
        // SAFETY: `bytes` is not given up before the request has ended.
        unsafe { self.request(&write.offset(off.cast_unsigned()).build()) }
    }

    /// Submit a request and await its end.
    ///
    /// # Safety
    /// What the request points to must be there until this returns.
    unsafe fn request(&mut self, entry: &squeue::Entry) -> nix::Result<usize> {
        // SAFETY: the caller's.
        unsafe { self.0.submission().push(entry) }.map_err(|_| Errno::EBUSY)?;
        loop {
            match self.0.submit_and_wait(1).map_err(errno) {
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                // The memory is the kernel's until the request has ended.
                Err(_) => std::process::abort(),
                Ok(_) => {}
            }
            if let Some(event) = self.0.completion().next() {
                let failed = |_| Errno::from_raw(-event.result());
                return usize::try_from(event.result()).map_err(failed);
            }
        }
    }
}

/// EAGAIN where read(2) and write(2) of a file opened with O_NONBLOCK have it:
/// io_uring would wait for whoever is at a fifo's other end (`io_rw_init_file`
/// lets it, `io_arm_poll_handler` does it; io_uring/rw.c and poll.c).
fn must_not_wait(fd: &OwnedFd, until: PollFlags) -> nix::Result<()> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    let mut fds = [PollFd::new(fd.as_fd(), until)];
    if kind != SFlag::S_IFREG && poll(&mut fds, PollTimeout::ZERO)? == 0 {
        return Err(Errno::EAGAIN);
    }
    Ok(())
}

fn length(memory: &[u8]) -> u32 {
    u32::try_from(memory.len()).unwrap_or(u32::MAX)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
