//! The probe's machine: one CPU in long mode, a few pages, one port.

use std::num::NonZeroUsize;
use std::os::raw::c_void;
use std::ptr::NonNull;
use std::time::Instant;

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};
use lookback_vmm::segment;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::guest;

/// CR0: protection, FPU, native FPU errors, write protection, paging.
const CR0: u64 = 0x8001_0033;
/// CR4: PAE, FXSAVE, SIMD exceptions.
const CR4: u64 = 0x0620;
/// CR4: XSAVE.
const CR4_OSXSAVE: u64 = 1 << 18;
/// EFER: long mode enabled and active.
const EFER: u64 = 0x500;
/// Three pages that KVM on Intel wants for itself, above guest memory.
const TSS: usize = 0xfffb_d000;
/// XCR0 components a kernel enables without asking: x87, SSE, AVX, AVX-512,
/// protection keys.
const COMPONENTS: u64 = 0x2e7;

/// Runs the guest until it answers; `Err` says what went wrong.
pub(super) fn run(kvm: &Kvm, deadline: Instant) -> Result<(), String> {
    let failed = |what: &'static str| move |error| format!("{what}: {error}");
    let cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(failed("KVM_GET_SUPPORTED_CPUID"))?;
    let components = components(&cpuid);
    let memory = Memory::new(&guest::memory(components))?;
    let vm = kvm.create_vm().map_err(failed("KVM_CREATE_VM"))?;
    vm.set_tss_address(TSS)
        .map_err(failed("KVM_SET_TSS_ADDR"))?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: guest::MEMORY as u64,
        userspace_addr: memory.address.as_ptr() as u64,
    };
    // SAFETY: the region is `memory`'s own mapping, which outlives the VM: it
    // was created before it and is dropped after it.
    unsafe { vm.set_user_memory_region(region) }.map_err(failed("KVM_SET_USER_MEMORY_REGION"))?;
    let mut vcpu = vm.create_vcpu(0).map_err(failed("KVM_CREATE_VCPU"))?;
    vcpu.set_cpuid2(&cpuid).map_err(failed("KVM_SET_CPUID2"))?;
    start(&vcpu, components.is_some()).map_err(failed("setting the registers"))?;
    answer(&mut vcpu, components, deadline)
}

/// The XCR0 bits to use, `None` without XSAVE (SDM vol. 1, 13.2).
fn components(cpuid: &CpuId) -> Option<u64> {
    let leaf = |function| {
        cpuid
            .as_slice()
            .iter()
            .find(move |entry| entry.function == function && entry.index == 0)
    };
    if leaf(1)?.ecx & 1 << 26 == 0 {
        return None;
    }
    let state = leaf(0xd)?;
    let offered = u64::from(state.eax) | u64::from(state.edx) << 32;
    // All components KVM offers must fit the area.
    (state.ecx <= guest::XSAVE_MAX).then_some(offered & COMPONENTS)
}

fn start(vcpu: &VcpuFd, xsave: bool) -> Result<(), kvm_ioctls::Error> {
    let mut sregs = vcpu.get_sregs()?;
    let data = segment::data(guest::DATA_SELECTOR);
    sregs.cs = segment::code(guest::CODE_SELECTOR);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.gdt.base = guest::GDT;
    sregs.gdt.limit = guest::GDT_LIMIT;
    sregs.idt.base = guest::IDT;
    sregs.idt.limit = guest::IDT_LIMIT;
    sregs.cr0 = CR0;
    sregs.cr3 = guest::PML4;
    sregs.cr4 = if xsave { CR4 | CR4_OSXSAVE } else { CR4 };
    sregs.efer = EFER;
    vcpu.set_sregs(&sregs)?;
    vcpu.set_regs(&kvm_regs {
        rip: guest::CODE,
        rsp: guest::STACK,
        rflags: 2,
        ..kvm_regs::default()
    })
}

fn answer(vcpu: &mut VcpuFd, components: Option<u64>, deadline: Instant) -> Result<(), String> {
    loop {
        if Instant::now() > deadline {
            let at = vcpu.get_regs().map_or_else(
                |error| format!("nobody knows where: {error}"),
                |regs| guest::instruction_at(components, regs.rip),
            );
            return Err(format!(
                "some milliseconds of work did not end within a second; it was at {at}"
            ));
        }
        let problem = match vcpu.run() {
            Ok(VcpuExit::IoOut(guest::PORT, [guest::FINE])) => return Ok(()),
            Ok(VcpuExit::IoOut(guest::PORT, [guest::WRONG])) => {
                return Err("an int3 did not reach its handler once".to_owned());
            }
            Ok(VcpuExit::Intr) => continue,
            // The registers are reset: they tell no place.
            Ok(VcpuExit::Shutdown) => return Err("a triple fault (KVM_EXIT_SHUTDOWN)".to_owned()),
            Ok(VcpuExit::InternalError) => "KVM_EXIT_INTERNAL_ERROR".to_owned(),
            Ok(other) => format!("unexpected exit {other:?}"),
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => continue,
            Err(error) => format!("KVM_RUN: {error}"),
        };
        return Err(match vcpu.get_regs() {
            Ok(regs) => format!(
                "{problem} at {}",
                guest::instruction_at(components, regs.rip)
            ),
            Err(_) => problem,
        });
    }
}

/// Guest memory: an anonymous mapping.
#[derive(Debug)]
struct Memory {
    address: NonNull<c_void>,
}

impl Memory {
    fn new(content: &[u8]) -> Result<Self, String> {
        let length = NonZeroUsize::new(content.len()).ok_or("no guest memory")?;
        let (access, flags) = (
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE,
        );
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe { mmap_anonymous(None, length, access, flags) }
            .map_err(|error| format!("mapping guest memory: {error}"))?;
        // SAFETY: the mapping is writable, as long as `content`, and new, so that
        // nothing overlaps it.
        unsafe {
            address
                .cast::<u8>()
                .copy_from_nonoverlapping(NonNull::from(content).cast::<u8>(), content.len());
        }
        Ok(Memory { address })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, of that length, which nobody uses any
        // more: the VM that did is dropped.
        if let Err(error) = unsafe { munmap(self.address, guest::MEMORY) } {
            tracing::warn!("cannot unmap the probe's memory: {error}");
        }
    }
}
