//! Registers of a vCPU at the first instruction of a kernel
//! (Documentation/arch/x86/boot.rst, "64-bit boot protocol").

use kvm_bindings::{CpuId, Msrs, kvm_lapic_state, kvm_msr_entry, kvm_regs};
use kvm_ioctls::VcpuFd;

use super::cpuid;
use crate::boot::tables;
use crate::error::{Error, kvm};
use crate::layout;
use crate::segment;

/// CR0: protection, extension type, FPU errors, write protection, paging.
const CR0: u64 = 0x8001_0031;
/// CR4: PAE.
const CR4: u64 = 0x20;
/// EFER: long mode enabled and active.
const EFER: u64 = 0x500;

/// `MSR_MTRRdefType` (SDM vol. 3, 12.11.2.1): MTRRs on, all memory write-back,
/// as firmware would leave it.
const MTRR_DEF_TYPE: u32 = 0x2ff;
const MTRR_WRITE_BACK: u64 = 1 << 11 | 6;
/// `IA32_MISC_ENABLE`: fast strings.
const MISC_ENABLE: u32 = 0x1a0;
const FAST_STRINGS: u64 = 1;

/// Offsets of the local vector table (SDM vol. 3, table 11-1) and its delivery
/// modes.
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const DELIVER_EXT_INT: u32 = 0x700;
const DELIVER_NMI: u32 = 0x400;

/// What every vCPU needs, running or waiting to be started by another.
///
/// # Errors
/// KVM's refusals.
pub(crate) fn prepare(
    vcpu: &VcpuFd,
    supported: &CpuId,
    id: u8,
    cpus: u8,
    deadline_timer: bool,
) -> Result<(), Error> {
    let leaves = cpuid::of_vcpu(supported, id, cpus, deadline_timer)
        .map_err(|error| Error::Cpuid(format!("{error:?}")))?;
    vcpu.set_cpuid2(&leaves).map_err(kvm("KVM_SET_CPUID2"))?;
    let entry = |index, data| kvm_msr_entry {
        index,
        data,
        ..kvm_msr_entry::default()
    };
    let msrs = Msrs::from_entries(&[
        entry(MTRR_DEF_TYPE, MTRR_WRITE_BACK),
        entry(MISC_ENABLE, FAST_STRINGS),
    ])
    .map_err(|error| Error::Cpuid(format!("{error:?}")))?;
    let taken = vcpu.set_msrs(&msrs).map_err(kvm("KVM_SET_MSRS"))?;
    if taken != msrs.as_slice().len() {
        let index = msrs.as_slice()[taken].index;
        return Err(Error::Msr { index });
    }
    let mut lapic = vcpu.get_lapic().map_err(kvm("KVM_GET_LAPIC"))?;
    set_register(&mut lapic, LVT_LINT0, DELIVER_EXT_INT);
    set_register(&mut lapic, LVT_LINT1, DELIVER_NMI);
    vcpu.set_lapic(&lapic).map_err(kvm("KVM_SET_LAPIC"))
}

fn set_register(lapic: &mut kvm_lapic_state, offset: usize, value: u32) {
    for (slot, byte) in lapic.regs[offset..offset + 4]
        .iter_mut()
        .zip(value.to_le_bytes())
    {
        *slot = std::ffi::c_char::from_le_bytes([byte]);
    }
}

/// What the boot CPU starts with: long mode, the tables of
/// [`tables`], the boot parameters in RSI.
///
/// # Errors
/// KVM's refusals.
pub(crate) fn boot_registers(vcpu: &VcpuFd, entry: u64) -> Result<(), Error> {
    let mut sregs = vcpu.get_sregs().map_err(kvm("KVM_GET_SREGS"))?;
    let data = segment::data(tables::DATA_SELECTOR);
    sregs.cs = segment::code(tables::CODE_SELECTOR);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = segment::task(tables::TASK_SELECTOR);
    sregs.gdt.base = layout::GDT;
    sregs.gdt.limit = tables::GDT_LIMIT;
    sregs.idt.base = layout::IDT;
    sregs.idt.limit = 0;
    sregs.cr0 = CR0;
    sregs.cr3 = layout::PML4;
    sregs.cr4 = CR4;
    sregs.efer = EFER;
    vcpu.set_sregs(&sregs).map_err(kvm("KVM_SET_SREGS"))?;
    vcpu.set_regs(&kvm_regs {
        rip: entry,
        rsp: layout::STACK,
        rbp: layout::STACK,
        rsi: layout::BOOT_PARAMS,
        rflags: 2,
        ..kvm_regs::default()
    })
    .map_err(kvm("KVM_SET_REGS"))
}
