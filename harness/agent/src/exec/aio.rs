//! Linux's asynchronous I/O, one request at a time.
//!
//! The C library's aio(7) is threads and pread(2); these are the kernel's own
//! system calls (io_submit(2)), which the C library does not wrap.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

/// IOCB_CMD_PREAD (linux/aio_abi.h)
const PREAD: u16 = 0;
/// IOCB_CMD_PWRITE
const PWRITE: u16 = 1;

/// struct iocb (linux/aio_abi.h), little-endian.
#[repr(C)]
#[derive(Debug, Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_fd: u32,
}

/// struct io_event (linux/aio_abi.h)
#[repr(C)]
#[derive(Debug, Default)]
struct Event {
    data: u64,
    request: u64,
    result: i64,
    result2: i64,
}

/// An aio_context_t. The end of the process gives it back.
#[derive(Debug)]
pub(super) struct Context(libc::c_ulong);

impl Context {
    /// Ask for one, for a request at a time.
    ///
    /// # Errors
    /// Those of io_setup(2).
    pub fn new() -> nix::Result<Context> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes the context's number to `context`.
        let ret = unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) };
        Errno::result(ret).map(|_| Context(context))
    }

    /// pread(2)
    ///
    /// # Errors
    /// Those of io_submit(2), or the request's own.
    pub fn read(&self, fd: &OwnedFd, into: &mut [u8], off: i64) -> nix::Result<usize> {
        // SAFETY: `into` may be written to, and is not given up before the request has ended.
        unsafe { self.request(PREAD, fd, into.as_mut_ptr(), into.len(), off) }
    }

    /// pwrite(2)
    ///
    /// # Errors
    /// Those of io_submit(2), or the request's own.
    pub fn write(&self, fd: &OwnedFd, bytes: &mut [u8], off: i64) -> nix::Result<usize> {
        // SAFETY: `bytes` is not given up before the request has ended.
        unsafe { self.request(PWRITE, fd, bytes.as_mut_ptr(), bytes.len(), off) }
    }

    /// Submit a request and await its end.
    ///
    /// # Safety
    /// The memory must be there until this returns, to be written to for [`PREAD`].
    unsafe fn request(
        &self,
        opcode: u16,
        fd: &OwnedFd,
        memory: *mut u8,
        len: usize,
        offset: i64,
    ) -> nix::Result<usize> {
        let request = Iocb {
            opcode,
            fd: u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX),
            buffer: memory as u64,
            bytes: len as u64,
            offset,
            ..Iocb::default()
        };
        let requests = [&raw const request];
        // SAFETY: one pointer to a request, which the kernel copies.
        let ret = unsafe { libc::syscall(libc::SYS_io_submit, self.0, 1, requests.as_ptr()) };
        Errno::result(ret)?;
        let mut event = Event::default();
        loop {
            let forever: *mut libc::timespec = std::ptr::null_mut();
            // SAFETY: room for the one event there can be.
            let ret = unsafe {
                libc::syscall(
                    libc::SYS_io_getevents,
                    self.0,
                    1,
                    1,
                    &raw mut event,
                    forever,
                )
            };
            match Errno::result(ret) {
                // The memory is the kernel's until the request has ended.
                Err(Errno::EINTR) => {}
                Err(_) => std::process::abort(),
                Ok(_) => break,
            }
        }
        let errno = |_| Errno::from_raw(i32::try_from(-event.result).unwrap_or(libc::EIO));
        usize::try_from(event.result).map_err(errno)
    }
}
