//! The kernel and its initramfs.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use linux_loader::loader::bootparam::setup_header;
use linux_loader::loader::{BzImage, Elf, KernelLoader};
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryRegion};

use crate::layout;
use crate::memory::Memory;

/// Offset of the 64-bit entry point from the protected-mode kernel's load
/// address (boot.rst, "64-bit boot protocol").
const ENTRY_64: u64 = 0x200;
/// `XLF_KERNEL_64`: the bzImage has that entry point.
const XLF_KERNEL_64: u16 = 1;
/// The highest address an initramfs may have where the kernel does not say.
const INITRD_MAX: u64 = 0x7fff_ffff;
const PAGE: u64 = 4096;

/// Why a kernel or an initramfs can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no kernel, or does not fit.
    #[error("cannot load {}: {reason}", path.display())]
    Load {
        /// The kernel.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// There is no room for it.
    #[error(
        "{} has {size} bytes, which do not fit between the kernel's end at {kernel_end:#x} and \
         {end:#x}",
        path.display()
    )]
    NoRoom {
        /// The initramfs.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// Where the kernel ends, its memory for unpacking included.
        kernel_end: u64,
        /// Where memory for an initramfs ends.
        end: u64,
    },
}

/// A kernel in guest memory.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Its first instruction.
    pub(super) entry: u64,
    /// The first byte behind it and what it needs to unpack itself.
    pub(super) end: u64,
    /// Of a bzImage.
    pub(super) header: Option<setup_header>,
}

/// An initramfs in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ramdisk {
    pub(super) address: u32,
    pub(super) size: u32,
}

/// Loads a vmlinux or a bzImage, whichever it is.
pub(super) fn kernel(memory: &Memory, path: &Path) -> Result<Kernel, ImageError> {
    let read = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let refuse = |reason: String| ImageError::Load {
        path: path.to_owned(),
        reason,
    };
    let mut file = File::open(path).map_err(read)?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(read)?;
    file.rewind().map_err(read)?;
    let himem = GuestAddress(layout::HIMEM);
    if magic == *b"\x7fELF" {
        let loaded = Elf::load(memory, None, &mut file, Some(himem))
            .map_err(|error| refuse(error.to_string()))?;
        return Ok(Kernel {
            entry: loaded.kernel_load.0,
            end: loaded.kernel_end,
            header: None,
        });
    }
    let loaded = BzImage::load(memory, Some(himem), &mut file, Some(himem))
        .map_err(|error| refuse(error.to_string()))?;
    let Some(header) = loaded.setup_header else {
        return Err(refuse("it has no setup header".to_owned()));
    };
    let (flags, preferred, init_size) = (header.xloadflags, header.pref_address, header.init_size);
    if flags & XLF_KERNEL_64 == 0 {
        return Err(refuse("it has no 64-bit entry point".to_owned()));
    }
    // It unpacks itself to where it prefers to be.
    let unpacked = preferred.saturating_add(u64::from(init_size));
    Ok(Kernel {
        entry: loaded.kernel_load.0 + ENTRY_64,
        end: loaded.kernel_end.max(unpacked),
        header: Some(header),
    })
}

/// Loads the initramfs as high as it may be.
pub(super) fn initramfs(
    memory: &Memory,
    path: &Path,
    kernel: &Kernel,
) -> Result<Ramdisk, ImageError> {
    let read = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let low = memory
        .iter()
        .next()
        .map_or(0, |region| region.start_addr().0 + region.len());
    let highest = kernel
        .header
        .map_or(INITRD_MAX, |header| u64::from(header.initrd_addr_max));
    let end = low.min(highest.saturating_add(1));
    let no_room = || ImageError::NoRoom {
        path: path.to_owned(),
        size,
        kernel_end: kernel.end,
        end,
    };
    let address = end.checked_sub(size).ok_or_else(no_room)? & !(PAGE - 1);
    if address < kernel.end {
        return Err(no_room());
    }
    let length = usize::try_from(size).map_err(|_| no_room())?;
    memory
        .read_exact_volatile_from(GuestAddress(address), &mut file, length)
        .map_err(|error| read(io::Error::other(error)))?;
    Ok(Ramdisk {
        address: u32::try_from(address).map_err(|_| no_room())?,
        size: u32::try_from(size).map_err(|_| no_room())?,
    })
}
