//! Puts a kernel into guest memory, ready to be entered in long mode
//! (Documentation/arch/x86/boot.rst, "64-bit boot protocol").

mod image;
mod mptable;
mod params;
pub(crate) mod tables;

use std::path::Path;

use linux_loader::loader::Cmdline;
use vm_memory::GuestAddress;

use crate::layout;
use crate::memory::Memory;

pub use image::ImageError;

/// Why no kernel is ready.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The kernel or the initramfs.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The command line.
    #[error("the kernel's command line: {0}")]
    Cmdline(linux_loader::cmdline::Error),
    /// Something does not fit.
    #[error("guest memory is too small for the {0}")]
    TooSmall(&'static str),
}

/// Loads everything; returns the address of the first instruction.
///
/// # Errors
/// What is unreadable, no kernel, or too large for the memory.
pub(crate) fn load(
    memory: &Memory,
    kernel: &Path,
    initramfs: &Path,
    cmdline: &Cmdline,
    cpus: u8,
) -> Result<u64, BootError> {
    let kernel = image::kernel(memory, kernel)?;
    let ramdisk = image::initramfs(memory, initramfs, &kernel)?;
    linux_loader::loader::load_cmdline(memory, GuestAddress(layout::CMDLINE), cmdline)
        .map_err(|_| BootError::TooSmall("command line"))?;
    params::write(memory, &kernel, ramdisk)?;
    mptable::write(memory, cpus)?;
    tables::write(memory)?;
    Ok(kernel.entry)
}
