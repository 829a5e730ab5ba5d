//! Guest memory: one memfd, shared with vhost-user backends.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{Whence, lseek};
use vm_memory::mmap::FromRangesError;
use vm_memory::{
    Bytes, FileOffset, GuestAddress, GuestMemory, GuestMemoryError, GuestMemoryRegion,
    GuestRegionMmap, MemoryRegionAddress,
};

/// Guest memory as devices see it; a clone is the same memory.
pub type Memory = vm_memory::GuestMemoryMmap<()>;

/// Where low memory ends at the latest: the start of the window of devices,
/// which reaches up to [`HIGH_START`].
pub const LOW_END: u64 = 0xc000_0000;

/// Where the memory goes on that does not fit below [`LOW_END`].
pub const HIGH_START: u64 = 1 << 32;

/// Why there is no guest memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A machine without memory.
    #[error("guest memory of 0 MiB")]
    Empty,
    /// More than this process can address.
    #[error("guest memory of {0} bytes does not fit into the address space")]
    TooLarge(u64),
    /// A system call failed.
    #[error("guest memory: {call}: {source}")]
    System {
        /// Which.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It can't be mapped.
    #[error("guest memory can't be mapped: {0}")]
    Map(#[from] FromRangesError),
    /// Memory to be copied is not of a file, so it is not from [`allocate`].
    #[error("guest memory at {0:#x} is not of a file")]
    NotOfAFile(u64),
    /// Memory can't be read.
    #[error("guest memory can't be copied: {0}")]
    Copy(#[from] GuestMemoryError),
}

fn system(call: &'static str) -> impl Fn(Errno) -> MemoryError {
    move |errno| MemoryError::System {
        call,
        source: errno.into(),
    }
}

/// Memory of `mib` MiB, all zero: from address 0 up to [`LOW_END`], what is
/// left from [`HIGH_START`] on. Pages are taken from the host when they are
/// first written.
///
/// # Errors
/// There is no such memory to be had.
pub fn allocate(mib: u32) -> Result<Memory, MemoryError> {
    let size = u64::from(mib) << 20;
    if size == 0 {
        return Err(MemoryError::Empty);
    }
    let low = size.min(LOW_END);
    let ranges = [(0, low), (HIGH_START, size - low)];
    map(&ranges[..if low < size { 2 } else { 1 }])
}

/// A new memory with the layout and the content of `memory`. What was never
/// written takes no memory in the copy either. Nobody may write to `memory`
/// meanwhile.
///
/// # Errors
/// There is no such memory to be had, or `memory` is not from [`allocate`].
pub fn copy(memory: &Memory) -> Result<Memory, MemoryError> {
    let ranges: Vec<_> = memory
        .iter()
        .map(|region| (region.start_addr().0, region.len()))
        .collect();
    let copy = map(&ranges)?;
    for (from, to) in memory.iter().zip(copy.iter()) {
        copy_region(from, to)?;
    }
    Ok(copy)
}

/// One memfd with these ranges of guest addresses, one behind the other.
fn map(ranges: &[(u64, u64)]) -> Result<Memory, MemoryError> {
    let size: u64 = ranges.iter().map(|(_, len)| len).sum();
    let file = Arc::new(memfd(size)?);
    let mut offset = 0;
    let mut regions = Vec::new();
    for &(start, len) in ranges {
        let len_here = usize::try_from(len).map_err(|_| MemoryError::TooLarge(size))?;
        let part = FileOffset::from_arc(Arc::clone(&file), offset);
        regions.push((GuestAddress(start), len_here, Some(part)));
        offset += len;
    }
    Ok(Memory::from_ranges_with_files(regions)?)
}

/// A memfd whose size is final: a backend that gets it can't take pages away
/// from under the mapping.
fn memfd(size: u64) -> Result<File, MemoryError> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create("guest-memory", flags).map_err(system("memfd_create"))?);
    file.set_len(size).map_err(|source| MemoryError::System {
        call: "ftruncate",
        source,
    })?;
    let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(system("F_ADD_SEALS"))?;
    Ok(file)
}

/// Copies the parts of a region that its file holds data for. Written with
/// write(2), from the mapping: the kernel need not clear the pages first, and
/// no page of the copy is mapped for it.
fn copy_region(from: &GuestRegionMmap, to: &GuestRegionMmap) -> Result<(), MemoryError> {
    let not_of_a_file = || MemoryError::NotOfAFile(from.start_addr().0);
    let source = from.file_offset().ok_or_else(not_of_a_file)?;
    let target = to.file_offset().ok_or_else(not_of_a_file)?;
    let end = source.start() + from.len();
    let mut at = source.start();
    while let Some(data) = next(source.file(), at, Whence::SeekData)? {
        if data >= end {
            break;
        }
        let hole = next(source.file(), data, Whence::SeekHole)?.map_or(end, |hole| hole.min(end));
        let offset = data - source.start();
        let mut file = target.file();
        file.seek(SeekFrom::Start(target.start() + offset))
            .map_err(|source| MemoryError::System {
                call: "lseek",
                source,
            })?;
        let len = usize::try_from(hole - data).map_err(|_| MemoryError::TooLarge(hole - data))?;
        from.write_all_volatile_to(MemoryRegionAddress(offset), &mut file, len)?;
        at = hole;
    }
    Ok(())
}

/// Where data or a hole begins at `at` or behind it, if anywhere.
fn next(file: &File, at: u64, what: Whence) -> Result<Option<u64>, MemoryError> {
    let at = i64::try_from(at).map_err(|_| MemoryError::TooLarge(at))?;
    match lseek(file, at, what) {
        Ok(offset) => Ok(u64::try_from(offset).ok()),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(system("lseek")(errno)),
    }
}

#[cfg(test)]
mod tests;
