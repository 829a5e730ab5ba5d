//! A guest: its run's directory, its life, the conversation with its agent.

pub mod events;
pub mod exec;
pub mod folder;
pub mod host;
pub mod interrupt;
pub mod journal;
pub mod line;
pub mod session;

use std::{fs, path::PathBuf};

use lookback_kernel::KernelFiles;

/// The file to boot. An uncompressed kernel saves the second or more that
/// unpacking takes under translation. But it is entered by PVH, whose C code
/// (arch/x86/platform/pvh/enlighten.c) runs before KASAN has mapped its shadow:
/// such a kernel faults in kasan_check_range() and says nothing.
pub fn image(kernel: &KernelFiles) -> PathBuf {
    let kasan = kernel
        .config
        .as_ref()
        .and_then(|path| fs::read_to_string(path).ok())
        .is_some_and(|text| text.lines().any(|line| line == "CONFIG_KASAN=y"));
    let (vmlinux, bzimage) = (kernel.vmlinux.as_ref(), kernel.bzimage.as_ref());
    let image = if kasan {
        bzimage.or(vmlinux)
    } else {
        vmlinux.or(bzimage)
    };
    image.map_or_else(|| PathBuf::from(&kernel.name), PathBuf::clone)
}
