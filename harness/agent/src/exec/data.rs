//! Operations on the contents of a file named by its path.

use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lookback_ops::{Op, Path, Value, pattern};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::{Mode, fstat};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{close, fdatasync, fsync};
use xxhash_rust::xxh3::Xxh3;

use super::{At, Done, Failed, World, nothing};

/// Most bytes one system call moves; longer ranges take several.
const CHUNK: usize = 1 << 20;
/// Page size of x86-64.
const PAGE: u16 = 4096;

impl World {
    pub(super) fn data(&self, op: &Op) -> Option<Done> {
        let with = |path, flags, work: &dyn Fn(&OwnedFd) -> Done| self.with_open(path, flags, work);
        Some(match op {
            Op::Write {
                path,
                off,
                len,
                seed,
            } => with(path, OFlag::O_WRONLY, &|fd| {
                write(fd, *off, *len, *seed).at("pwrite")
            }),
            Op::Read { path, off, len } => with(path, OFlag::O_RDONLY, &|fd| {
                read(fd, *off, *len).at("pread")
            }),
            Op::MmapWrite {
                path,
                off,
                len,
                seed,
            } => with(path, OFlag::O_RDWR, &|fd| {
                Mapped::of(fd, *off, *len, true)?.store(*seed)
            }),
            Op::MmapRead { path, off, len } => with(path, OFlag::O_RDONLY, &|fd| {
                Mapped::of(fd, *off, *len, false)?.load()
            }),
            Op::Fsync { path } => with(path, OFlag::O_RDONLY, &|fd| {
                fsync(fd).at("fsync").map(nothing)
            }),
            Op::Fdatasync { path } => with(path, OFlag::O_RDONLY, &|fd| {
                fdatasync(fd).at("fdatasync").map(nothing)
            }),
            _ => return None,
        })
    }

    /// Open, `work`, close.
    pub(super) fn with_open(
        &self,
        path: &Path,
        flags: OFlag,
        work: impl FnOnce(&OwnedFd) -> Done,
    ) -> Done {
        let path = self.path(path)?;
        let fd = open_at_once(&path, flags).at("open")?;
        let done = work(&fd)?;
        close(fd.into_raw_fd()).at("close")?;
        Ok(done)
    }
}

/// Open without waiting for the other end of a fifo.
fn open_at_once(path: &CStr, flags: OFlag) -> nix::Result<OwnedFd> {
    open(
        path,
        flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// Store the pattern of `seed`.
pub(super) fn write(fd: impl AsFd, off: u64, len: u32, seed: u64) -> nix::Result<(i64, Value)> {
    let mut bytes = vec![0; (len as usize).min(CHUNK)];
    let mut done = 0;
    loop {
        let wanted = (u64::from(len) - done).min(CHUNK as u64);
        let chunk = &mut bytes[..usize::try_from(wanted).unwrap_or(CHUNK)];
        let at = off.wrapping_add(done);
        pattern::fill(seed, at, chunk);
        match pwrite(fd.as_fd(), chunk, at.cast_signed()) {
            Ok(n) => done += n as u64,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        if done == u64::from(len) || wanted == 0 || !done.is_multiple_of(CHUNK as u64) {
            break;
        }
    }
    Ok((done.cast_signed(), Value::None))
}

/// Load and digest.
pub(super) fn read(fd: impl AsFd, off: u64, len: u32) -> nix::Result<(i64, Value)> {
    let mut bytes = vec![0; (len as usize).min(CHUNK)];
    let (mut done, mut digest) = (0, Xxh3::new());
    loop {
        let wanted = (u64::from(len) - done).min(CHUNK as u64);
        let chunk = &mut bytes[..usize::try_from(wanted).unwrap_or(CHUNK)];
        match pread(fd.as_fd(), chunk, off.wrapping_add(done).cast_signed()) {
            Ok(0) => break,
            Ok(n) => {
                digest.update(&chunk[..n]);
                done += n as u64;
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        if done == u64::from(len) {
            break;
        }
    }
    Ok((
        done.cast_signed(),
        Value::Data {
            len: done,
            digest: digest.digest(),
        },
    ))
}

/// A range of a file, cut at its end, as shared memory; unmapped when dropped.
struct Mapped {
    /// The mapping and its length; `None` where the range is empty.
    memory: Option<(std::ptr::NonNull<libc::c_void>, NonZeroUsize)>,
    /// Bytes before the range in its first page.
    lead: usize,
    len: usize,
    off: u64,
}

impl Mapped {
    fn of(fd: &OwnedFd, off: u64, len: u32, write: bool) -> Result<Mapped, Failed> {
        let size = fstat(fd).at("fstat")?.st_size.cast_unsigned();
        let len = u64::from(len).min(size.saturating_sub(off));
        let start = off - off % u64::from(PAGE);
        let in_range = |n: u64| {
            usize::try_from(n).map_err(|_| Failed {
                step: "mmap",
                errno: Errno::EOVERFLOW,
            })
        };
        let (lead, len) = (in_range(off - start)?, in_range(len)?);
        let memory = match NonZeroUsize::new(len).and_then(|n| n.checked_add(lead)) {
            None => None,
            Some(whole) => {
                let mut prot = ProtFlags::PROT_READ;
                prot.set(ProtFlags::PROT_WRITE, write);
                // SAFETY: a new mapping at an address of the kernel's choice.
                let memory = unsafe {
                    mmap(
                        None,
                        whole,
                        prot,
                        MapFlags::MAP_SHARED,
                        fd,
                        start.cast_signed(),
                    )
                };
                Some((memory.at("mmap")?, whole))
            }
        };
        Ok(Mapped {
            memory,
            lead,
            len,
            off,
        })
    }

    /// Run `work` on the range's first byte; what it faults on reads as zero
    /// and comes out as EFAULT.
    fn touch(&self, work: impl FnOnce(*mut u8)) -> Result<(), Failed> {
        let Some((memory, whole)) = self.memory else {
            return Ok(());
        };
        let start = memory.as_ptr().cast::<u8>();
        TOUCHED.store(start as usize, Ordering::SeqCst);
        TOUCHED_END.store(start as usize + whole.get(), Ordering::SeqCst);
        FAULTED.store(false, Ordering::SeqCst);
        // SAFETY: `lead` is less than the mapping's length.
        work(unsafe { start.add(self.lead) });
        TOUCHED_END.store(0, Ordering::SeqCst);
        if FAULTED.load(Ordering::SeqCst) {
            return Err(Failed {
                step: "SIGBUS",
                errno: Errno::EFAULT,
            });
        }
        Ok(())
    }

    fn store(mut self, seed: u64) -> Done {
        let mut bytes = vec![0; self.len];
        pattern::fill(seed, self.off, &mut bytes);
        self.touch(|to| {
            // SAFETY: `to` has `len` writable bytes; `bytes` is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, self.len) }
        })?;
        self.unmap()?;
        Ok((i64::try_from(self.len).unwrap_or(i64::MAX), Value::None))
    }

    fn load(mut self) -> Done {
        let mut bytes = vec![0_u8; self.len];
        self.touch(|from| {
            // SAFETY: `from` has `len` readable bytes; `bytes` is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), self.len) }
        })?;
        self.unmap()?;
        let mut digest = Xxh3::new();
        digest.update(&bytes);
        let len = self.len as u64;
        Ok((
            len.cast_signed(),
            Value::Data {
                len,
                digest: digest.digest(),
            },
        ))
    }

    fn unmap(&mut self) -> Result<(), Failed> {
        let Some((memory, whole)) = self.memory.take() else {
            return Ok(());
        };
        // SAFETY: the mapping is ours, and `touch` let no pointer to it out.
        unsafe { munmap(memory, whole.get()) }.at("munmap")
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // Only a failed operation leaves it mapped, and has its errno already.
        let _ = self.unmap();
    }
}

/// Mapping being touched, for the signal handler.
static TOUCHED: AtomicUsize = AtomicUsize::new(0);
/// Its end; zero outside [`Mapped::touch`].
static TOUCHED_END: AtomicUsize = AtomicUsize::new(0);
/// A page of it could not be brought in.
static FAULTED: AtomicBool = AtomicBool::new(false);

/// Turn a fault in a mapped file (no space, an I/O error) into an outcome.
///
/// # Errors
/// Those of sigaction(2).
pub fn survive_sigbus() -> nix::Result<()> {
    let handler = SigHandler::SigAction(on_sigbus);
    let action = SigAction::new(handler, SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handler uses atomics and mmap(2) alone.
    unsafe { sigaction(Signal::SIGBUS, &action) }.map(drop)
}

extern "C" fn on_sigbus(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo of SIGBUS.
    let at = unsafe { (*info).si_addr() } as usize;
    let (start, end) = (
        TOUCHED.load(Ordering::SeqCst),
        TOUCHED_END.load(Ordering::SeqCst),
    );
    if !(start..end).contains(&at) {
        // Not ours: let it kill the worker when the instruction runs again.
        // SAFETY: signal(2) is async-signal-safe.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        return;
    }
    FAULTED.store(true, Ordering::SeqCst);
    let page = usize::from(PAGE);
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
    );
    // SAFETY: the page lies in a mapping of ours that nothing refers to by reference.
    unsafe {
        libc::mmap(
            (at - at % page) as *mut libc::c_void,
            page,
            prot,
            flags,
            -1,
            0,
        )
    };
}
