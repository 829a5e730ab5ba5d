//! The boot parameters: what a boot loader tells the kernel
//! (arch/x86/include/uapi/asm/bootparam.h).

use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use vm_memory::{Bytes, GuestAddress, GuestMemory, GuestMemoryRegion};

use super::BootError;
use super::image::{Kernel, Ramdisk};
use crate::layout;
use crate::memory::Memory;

/// `E820_TYPE_RAM` and `E820_TYPE_RESERVED` (asm/e820/types.h).
const RAM: u32 = 1;
const RESERVED: u32 = 2;
/// A loader without a number of its own.
const LOADER_UNDEFINED: u8 = 0xff;
/// What setup headers are known by, for a vmlinux that brings none.
const BOOT_FLAG: u16 = 0xaa55;
const HEADER_MAGIC: u32 = u32::from_le_bytes(*b"HdrS");
/// Protocol 2.12, the first with a 64-bit entry.
const PROTOCOL: u16 = 0x020c;
const ALIGNMENT: u32 = 0x20_0000;

/// Writes them for a loaded kernel.
pub(super) fn write(memory: &Memory, kernel: &Kernel, ramdisk: Ramdisk) -> Result<(), BootError> {
    let mut params = boot_params::default();
    if let Some(header) = kernel.header {
        params.hdr = header;
    } else {
        params.hdr.boot_flag = BOOT_FLAG;
        params.hdr.header = HEADER_MAGIC;
        params.hdr.version = PROTOCOL;
        params.hdr.kernel_alignment = ALIGNMENT;
    }
    params.hdr.type_of_loader = LOADER_UNDEFINED;
    params.hdr.cmd_line_ptr =
        u32::try_from(layout::CMDLINE).map_err(|_| BootError::TooSmall("command line"))?;
    params.hdr.cmdline_size =
        u32::try_from(layout::CMDLINE_SIZE - 1).map_err(|_| BootError::TooSmall("command line"))?;
    params.hdr.ramdisk_image = ramdisk.address;
    params.hdr.ramdisk_size = ramdisk.size;
    let map = e820(memory);
    for (slot, entry) in params.e820_table.iter_mut().zip(&map) {
        *slot = *entry;
    }
    params.e820_entries = u8::try_from(map.len()).map_err(|_| BootError::TooSmall("memory map"))?;
    memory
        .write_obj(params, GuestAddress(layout::BOOT_PARAMS))
        .map_err(|_| BootError::TooSmall("boot parameters"))
}

/// The memory map: all of it is RAM but the last KiB of base memory, which
/// holds the MP table, and the PC's hole above.
fn e820(memory: &Memory) -> Vec<boot_e820_entry> {
    let entry = |start: u64, end: u64, type_| boot_e820_entry {
        addr: start,
        size: end - start,
        type_,
    };
    let mut map = vec![
        entry(0, layout::MP_TABLE, RAM),
        entry(layout::MP_TABLE, layout::BASE_END, RESERVED),
    ];
    for region in memory.iter() {
        let start = region.start_addr().0.max(layout::HIMEM);
        let end = region.start_addr().0 + region.len();
        if end > start {
            map.push(entry(start, end, RAM));
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[rstest]
    #[case::low(128, &[(HIMEM, 128 * MIB)])]
    #[case::up_to_the_hole(3072, &[(HIMEM, 3 * GIB)])]
    #[case::above(4096, &[(HIMEM, 3 * GIB), (4 * GIB, 5 * GIB)])]
    fn maps_memory(#[case] mib: u32, #[case] extended: &[(u64, u64)]) {
        let memory = crate::memory::allocate(mib).unwrap();
        let map: Vec<(u64, u64, u32)> = e820(&memory)
            .iter()
            .map(|entry| (entry.addr, entry.addr + entry.size, entry.type_))
            .collect();
        assert_eq!(map[0], (0, layout::MP_TABLE, RAM));
        assert_eq!(map[1], (layout::MP_TABLE, layout::BASE_END, RESERVED));
        let rest: Vec<(u64, u64)> = map[2..]
            .iter()
            .map(|(start, end, _)| (*start, *end))
            .collect();
        assert_eq!(rest, extended);
    }

    use layout::HIMEM;
}
