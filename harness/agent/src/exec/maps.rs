//! Mappings kept across operations.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use lookback_ops::{MapOp, Value, pattern};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::mman::{MapFlags, MmapAdvise, MsFlags, ProtFlags, madvise, mmap, msync, munmap};
use nix::sys::stat::{Mode, fstat};
use xxhash_rust::xxh3::xxh3_64;

use super::sigbus::{self, PAGE, SIGBUS};
use super::{At, Done, Failed, OPEN_FILES, World, nothing};

/// A file's range as shared memory; unmapped when dropped.
#[derive(Debug)]
pub(super) struct Kept {
    memory: NonNull<c_void>,
    len: NonZeroUsize,
    /// Where it starts in the file.
    off: u64,
    read_only: bool,
    /// The file, to ask for its size. Opened with O_PATH: closing it neither
    /// flushes nor gives up the process's locks.
    file: OwnedFd,
}

/// No such mapping.
const NONE: Failed = Failed {
    step: "mapping",
    errno: Errno::EBADF,
};
/// A store to one that is to read.
const READ_ONLY: Failed = Failed {
    step: "mapping",
    errno: Errno::EACCES,
};
/// Beyond the end of the mapping.
const BEYOND: Failed = Failed {
    step: "range",
    errno: Errno::ERANGE,
};

impl World {
    pub(super) fn map(&mut self, op: &MapOp) -> Done {
        match op {
            MapOp::Map {
                map,
                slot,
                off,
                len,
                read_only,
            } => {
                self.maps.remove(map);
                let new = Kept::of(self.open_at(*slot)?, *off, *len, *read_only)?;
                self.maps.insert(*map, new);
                Ok(nothing(()))
            }
            MapOp::Store {
                map,
                off,
                len,
                seed,
            } => self.kept(*map)?.store(*off, *len, *seed),
            MapOp::Load { map, off, len } => self.kept(*map)?.load(*off, *len),
            MapOp::Sync { map } => self.kept(*map)?.sync(),
            MapOp::Unmap { map } => {
                // munmap(2) of a mapping that is there never fails.
                self.maps.remove(map).ok_or(NONE)?;
                Ok(nothing(()))
            }
        }
    }

    fn kept(&self, map: u16) -> Result<&Kept, Failed> {
        self.maps.get(&map).ok_or(NONE)
    }
}

impl Kept {
    fn of(fd: &OwnedFd, off: u64, len: u32, read_only: bool) -> Result<Kept, Failed> {
        // The kernel's own answer to a length of 0.
        let len = NonZeroUsize::new(len as usize)
            .ok_or(Errno::EINVAL)
            .at("mmap")?;
        let mut prot = ProtFlags::PROT_READ;
        prot.set(ProtFlags::PROT_WRITE, !read_only);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let memory = unsafe { mmap(None, len, prot, MapFlags::MAP_SHARED, fd, off.cast_signed()) };
        let memory = memory.at("mmap")?;
        let link = format!("{OPEN_FILES}/{}", fd.as_raw_fd());
        let file = match open(
            link.as_str(),
            OFlag::O_PATH | OFlag::O_CLOEXEC,
            Mode::empty(),
        ) {
            Ok(file) => file,
            Err(errno) => {
                // SAFETY: nobody knows of the mapping yet.
                let _ = unsafe { munmap(memory, len.get()) };
                return Err(errno).at("reopen");
            }
        };
        Ok(Kept {
            memory,
            len,
            off,
            read_only,
            file,
        })
    }

    fn store(&self, off: u32, len: u32, seed: u64) -> Done {
        if self.read_only {
            return Err(READ_ONLY);
        }
        let (off, len) = self.range(off, len)?;
        self.advise(off, len, MmapAdvise::MADV_DONTNEED, "madvise")?;
        self.bring_in(off, len, MmapAdvise::MADV_POPULATE_WRITE)?;
        let len = self.before_the_end(off, len)?;
        let mut bytes = vec![0; len];
        pattern::fill(seed, self.off + off as u64, &mut bytes);
        self.touch(off, |to| {
            // SAFETY: `to` has `len` writable bytes; `bytes` is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, len) }
        })?;
        Ok((i64::try_from(len).unwrap_or(i64::MAX), Value::None))
    }

    fn load(&self, off: u32, len: u32) -> Done {
        let (off, len) = self.range(off, len)?;
        self.bring_in(off, len, MmapAdvise::MADV_POPULATE_READ)?;
        let len = self.before_the_end(off, len)?;
        let mut bytes = vec![0_u8; len];
        self.touch(off, |from| {
            // SAFETY: `from` has `len` readable bytes; `bytes` is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len) }
        })?;
        let (len, digest) = (len as u64, xxh3_64(&bytes));
        Ok((len.cast_signed(), Value::Data { len, digest }))
    }

    fn sync(&self) -> Done {
        // SAFETY: the mapping is ours.
        unsafe { msync(self.memory, self.len.get(), MsFlags::MS_SYNC) }
            .at("")
            .map(nothing)
    }

    /// A range of the mapping.
    fn range(&self, off: u32, len: u32) -> Result<(usize, usize), Failed> {
        let (off, len) = (off as usize, len as usize);
        if off + len > self.len.get() {
            return Err(BEYOND);
        }
        Ok((off, len))
    }

    /// How much of a range lies before the end of the file, whose last page
    /// goes on behind it: what is stored there is kept for a while, or not.
    fn before_the_end(&self, off: usize, len: usize) -> Result<usize, Failed> {
        let size = fstat(&self.file).at("fstat")?.st_size.cast_unsigned();
        let left = size.saturating_sub(self.off + off as u64);
        Ok(len.min(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    /// Fault the pages of a range in as a load or a store would, but without
    /// the signal, whose handler could go on only with another page in their
    /// place.
    fn bring_in(&self, off: usize, len: usize, how: MmapAdvise) -> Result<(), Failed> {
        self.advise(off, len, how, "populate")
            .map_err(|failed| match failed.errno {
                Errno::EFAULT => SIGBUS,
                _ => failed,
            })
    }

    fn advise(
        &self,
        off: usize,
        len: usize,
        how: MmapAdvise,
        step: &'static str,
    ) -> Result<(), Failed> {
        let lead = off % usize::from(PAGE);
        // SAFETY: within the mapping.
        let start = unsafe { self.memory.byte_add(off - lead) };
        // SAFETY: the range is the mapping's, and only its pages are let go or brought in.
        unsafe { madvise(start, lead + len, how) }.at(step)
    }

    /// Run `work` on the byte at `off`. It faults only where another worker has
    /// cut the file meanwhile, and then the page is the file's no more.
    fn touch(&self, off: usize, work: impl FnOnce(*mut u8)) -> Result<(), Failed> {
        let start = self.memory.as_ptr().cast::<u8>();
        // SAFETY: within the mapping.
        let first = unsafe { start.add(off) };
        sigbus::touch(start, self.len.get(), || work(first))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and `touch` let no pointer to it out.
        let _ = unsafe { munmap(self.memory, self.len.get()) };
    }
}
