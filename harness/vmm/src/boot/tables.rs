//! Descriptor and page tables for the first instructions in long mode.

use kvm_bindings::kvm_segment;
use vm_memory::{Bytes, GuestAddress};

use super::BootError;
use crate::layout::{GDT, PD, PDPT, PML4};
use crate::memory::Memory;
use crate::segment::{code, data, task};

/// Selectors as boot.rst demands them: `__BOOT_CS` and `__BOOT_DS`.
pub(crate) const CODE_SELECTOR: u16 = 0x10;
/// Data, of every data segment register.
pub(crate) const DATA_SELECTOR: u16 = 0x18;
/// Task state.
pub(crate) const TASK_SELECTOR: u16 = 0x20;
/// Last byte of the table: null, unused, code, data, and a task state of two
/// slots.
pub(crate) const GDT_LIMIT: u16 = 6 * 8 - 1;

/// Present and writable; and a page of 2 MiB (SDM vol. 3, 4.5).
const TABLE: u64 = 0x3;
const LARGE_PAGE: u64 = 0x83;
const LARGE_PAGE_SIZE: u64 = 2 << 20;
const ENTRIES: u64 = 512;

/// Writes the tables: flat segments, and the first GiB mapped onto itself.
pub(super) fn write(memory: &Memory) -> Result<(), BootError> {
    let put = |address: u64, value: u64| {
        memory
            .write_obj(value, GuestAddress(address))
            .map_err(|_| BootError::TooSmall("boot tables"))
    };
    for (selector, segment) in [
        (CODE_SELECTOR, code(CODE_SELECTOR)),
        (DATA_SELECTOR, data(DATA_SELECTOR)),
        (TASK_SELECTOR, task(TASK_SELECTOR)),
    ] {
        put(GDT + u64::from(selector), descriptor(&segment))?;
    }
    put(PML4, PDPT | TABLE)?;
    put(PDPT, PD | TABLE)?;
    for index in 0..ENTRIES {
        put(PD + index * 8, (index * LARGE_PAGE_SIZE) | LARGE_PAGE)?;
    }
    Ok(())
}

/// The table's form of a segment (SDM vol. 3, 3.4.5).
fn descriptor(segment: &kvm_segment) -> u64 {
    let limit = if segment.g == 1 {
        u64::from(segment.limit) >> 12
    } else {
        u64::from(segment.limit)
    };
    (limit & 0xffff)
        | (segment.base & 0xff_ffff) << 16
        | u64::from(segment.type_) << 40
        | u64::from(segment.s) << 44
        | u64::from(segment.dpl) << 45
        | u64::from(segment.present) << 47
        | (limit >> 16 & 0xf) << 48
        | u64::from(segment.l) << 53
        | u64::from(segment.db) << 54
        | u64::from(segment.g) << 55
        | (segment.base >> 24 & 0xff) << 56
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_of_the_manual() {
        assert_eq!(descriptor(&code(CODE_SELECTOR)), 0x00af_9b00_0000_ffff);
        assert_eq!(descriptor(&data(DATA_SELECTOR)), 0x00cf_9300_0000_ffff);
        assert_eq!(descriptor(&task(TASK_SELECTOR)), 0x0000_8b00_0000_0067);
    }

    #[test]
    fn the_first_gib_is_mapped_onto_itself() {
        let memory = crate::memory::allocate(2).unwrap();
        write(&memory).unwrap();
        let entry = |address| memory.read_obj::<u64>(GuestAddress(address)).unwrap();
        assert_eq!(entry(PML4) & !0xfff, PDPT);
        assert_eq!(entry(PDPT) & !0xfff, PD);
        for index in [0, 1, 255, 511] {
            assert_eq!(entry(PD + 8 * index), index << 21 | 0x83);
        }
        assert_eq!(entry(PD + 8 * 512), 0);
    }
}
