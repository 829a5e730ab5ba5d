//! Operations on the contents of a file named by its path.

use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};

use lookback_ops::{Op, Path, Value, pattern};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::{Mode, fstat};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{close, fdatasync, fsync};
use xxhash_rust::xxh3::Xxh3;

use super::sigbus::{self, PAGE};
use super::{At, Done, Failed, World, nothing};

/// Most bytes one system call moves; longer ranges take several.
const CHUNK: usize = 1 << 20;

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
    store(off, len, seed, |bytes, at| pwrite(fd.as_fd(), bytes, at))
}

/// Load and digest.
pub(super) fn read(fd: impl AsFd, off: u64, len: u32) -> nix::Result<(i64, Value)> {
    load(off, len, |bytes, at| pread(fd.as_fd(), bytes, at))
}

/// Hand the pattern of `seed` to `call`, with the offset it belongs at, until
/// all is taken or less than was offered.
pub(super) fn store(
    off: u64,
    len: u32,
    seed: u64,
    mut call: impl FnMut(&mut [u8], i64) -> nix::Result<usize>,
) -> nix::Result<(i64, Value)> {
    let done = in_chunks(off, len, |chunk, at| {
        pattern::fill(seed, at, chunk);
        call(chunk, at.cast_signed())
    })?;
    Ok((done.cast_signed(), Value::None))
}

/// Have `call` fill memory from the offset it is given, until all is there or
/// less than was asked for; digest it.
pub(super) fn load(
    off: u64,
    len: u32,
    mut call: impl FnMut(&mut [u8], i64) -> nix::Result<usize>,
) -> nix::Result<(i64, Value)> {
    let mut digest = Xxh3::new();
    let len = in_chunks(off, len, |chunk, at| {
        let n = call(chunk, at.cast_signed())?;
        digest.update(&chunk[..n.min(chunk.len())]);
        Ok(n)
    })?;
    let digest = digest.digest();
    Ok((len.cast_signed(), Value::Data { len, digest }))
}

/// Move `len` bytes from `off` on in pieces of [`CHUNK`]; bytes moved. Memory
/// starts on a page, as O_DIRECT may ask for.
fn in_chunks(
    off: u64,
    len: u32,
    mut one: impl FnMut(&mut [u8], u64) -> nix::Result<usize>,
) -> nix::Result<u64> {
    let page = usize::from(PAGE);
    let mut memory = vec![0; (len as usize).min(CHUNK) + page];
    let lead = memory.as_ptr().align_offset(page).min(page);
    let memory = &mut memory[lead..];
    let mut done = 0;
    loop {
        let wanted = usize::try_from(u64::from(len) - done).unwrap_or(CHUNK);
        let wanted = wanted.min(CHUNK);
        match one(&mut memory[..wanted], off.wrapping_add(done)) {
            Ok(n) => {
                done += n as u64;
                if n < wanted || done >= u64::from(len) {
                    return Ok(done);
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done),
        }
    }
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

    /// Run `work` on the range's first byte.
    fn touch(&self, work: impl FnOnce(*mut u8)) -> Result<(), Failed> {
        let Some((memory, whole)) = self.memory else {
            return Ok(());
        };
        let start = memory.as_ptr().cast::<u8>();
        // SAFETY: `lead` is less than the mapping's length.
        let first = unsafe { start.add(self.lead) };
        sigbus::touch(start, whole.get(), || work(first))
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
