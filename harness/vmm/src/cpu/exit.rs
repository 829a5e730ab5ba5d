//! How a vCPU's run ends, and the last words of one that failed.

use std::fmt::Write;

use kvm_ioctls::VcpuFd;

/// How a vCPU's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to.
    Stopped,
    /// The guest is beyond help by its own doing: a triple fault, and what is
    /// known of the place.
    TripleFault(String),
    /// The guest asked KVM for a reset or a power-off.
    Reset,
    /// KVM can't go on; what it says, and the registers.
    Failed(String),
}

/// `KVM_SYSTEM_EVENT_CRASH` (linux/kvm.h).
const EVENT_CRASH: u32 = 3;

/// What a `KVM_EXIT_SYSTEM_EVENT` means.
pub(super) fn system_event(kind: u32) -> Ended {
    if kind == EVENT_CRASH {
        Ended::TripleFault("the guest reported a crash to KVM".to_owned())
    } else {
        Ended::Reset
    }
}

/// `reason` and where the vCPU stands.
pub(super) fn describe(vcpu: &VcpuFd, reason: &str) -> String {
    let mut text = reason.to_owned();
    match (vcpu.get_regs(), vcpu.get_sregs()) {
        (Ok(regs), Ok(sregs)) => {
            // Writing to a String does not fail.
            let _ = write!(
                text,
                " at rip={:016x} cs={:04x} rflags={:08x}\n\
                 rax={:016x} rbx={:016x} rcx={:016x} rdx={:016x}\n\
                 rsi={:016x} rdi={:016x} rbp={:016x} rsp={:016x}\n\
                 r8 ={:016x} r9 ={:016x} r10={:016x} r11={:016x}\n\
                 r12={:016x} r13={:016x} r14={:016x} r15={:016x}\n\
                 cr0={:08x} cr2={:016x} cr3={:016x} cr4={:08x} efer={:x}",
                regs.rip,
                sregs.cs.selector,
                regs.rflags,
                regs.rax,
                regs.rbx,
                regs.rcx,
                regs.rdx,
                regs.rsi,
                regs.rdi,
                regs.rbp,
                regs.rsp,
                regs.r8,
                regs.r9,
                regs.r10,
                regs.r11,
                regs.r12,
                regs.r13,
                regs.r14,
                regs.r15,
                sregs.cr0,
                sregs.cr2,
                sregs.cr3,
                sregs.cr4,
                sregs.efer,
            );
        }
        (Err(error), _) | (_, Err(error)) => {
            let _ = write!(text, " (its registers can't be read: {error})");
        }
    }
    text
}
