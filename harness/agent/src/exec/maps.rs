//! Mappings kept across operations.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use lookback_ops::{MapOp, Value, pattern};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::mman::{
    MapFlags, MmapAdvise, MsFlags, ProtFlags, madvise, mmap, mmap_anonymous, msync, munmap,
};
use nix::sys::stat::{Mode, fstat};
use xxhash_rust::xxh3::xxh3_64;

use super::sigbus::{self, PAGE, SIGBUS};
use super::{At, Done, Failed, OPEN_FILES, World, nothing};

/// A file's range as shared memory.
#[derive(Debug)]
pub(super) struct Kept {
    /// Keeps the addresses.
    _room: Room,
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
        let room = Room::for_a(len)?;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        let at = Some(room.inside()?);
        // SAFETY: the addresses are the room's, where nothing is.
        let memory = unsafe { mmap(at, len, prot, flags, fd, off.cast_signed()) };
        let memory = memory.at("mmap")?;
        let link = format!("{OPEN_FILES}/{}", fd.as_raw_fd());
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let file = open(link.as_str(), flags, Mode::empty()).at("reopen")?;
        Ok(Kept {
            _room: room,
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

/// Addresses for a mapping and a page on either side of it: two of one file that
/// lie side by side would become one, and then the file system is not told of
/// the second (`vma_merge_new_range`, mm/vma.c).
#[derive(Debug)]
struct Room {
    start: NonNull<c_void>,
    len: NonZeroUsize,
}

impl Room {
    fn for_a(len: NonZeroUsize) -> Result<Room, Failed> {
        let page = usize::from(PAGE);
        let len = len.get().checked_next_multiple_of(page);
        let len = len.and_then(|len| len.checked_add(2 * page));
        let len = len
            .and_then(NonZeroUsize::new)
            .ok_or(Errno::ENOMEM)
            .at("mmap")?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start =
            unsafe { mmap_anonymous(None, len, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
        Ok(Room {
            start: start.at("mmap")?,
            len,
        })
    }

    /// Behind the first page.
    fn inside(&self) -> Result<NonZeroUsize, Failed> {
        let start = self.start.addr();
        let inside = start.checked_add(usize::from(PAGE));
        inside.ok_or(Errno::ENOMEM).at("mmap")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the addresses are ours, and `touch` let no pointer to them out.
        let _ = unsafe { munmap(self.start, self.len.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_file_stay_two() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8192).unwrap();
        let fd = OwnedFd::from(file.reopen().unwrap());
        let kept = [4096, 0].map(|off| Kept::of(&fd, off, 4096, false).unwrap());
        let mapped = std::fs::read_to_string("/proc/self/maps").unwrap();
        let name = file.path().to_str().unwrap();
        let count = mapped.lines().filter(|line| line.ends_with(name)).count();
        assert_eq!(count, kept.len(), "{mapped}");
    }
}
