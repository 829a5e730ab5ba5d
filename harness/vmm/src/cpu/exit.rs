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
    text.push_str(&interrupts(vcpu));
    text
}

/// Offsets of the local APIC's in-service and request registers (SDM vol. 3,
/// table 11-1), and of the timer's.
const IN_SERVICE: usize = 0x100;
const REQUESTED: usize = 0x200;
const LVT_TIMER: usize = 0x320;
const TASK_PRIORITY: usize = 0x80;

/// What waits for the vCPU: of one that hangs, the other half of the story.
fn interrupts(vcpu: &VcpuFd) -> String {
    let (Ok(lapic), Ok(events), Ok(mp)) = (
        vcpu.get_lapic(),
        vcpu.get_vcpu_events(),
        vcpu.get_mp_state(),
    ) else {
        return String::new();
    };
    let byte = |offset: usize| lapic.regs[offset].to_le_bytes()[0];
    let vectors = |base: usize| -> Vec<usize> {
        (0..256)
            .filter(|vector| {
                byte(base + vector / 32 * 0x10 + vector % 32 / 8) >> (vector % 8) & 1 == 1
            })
            .collect()
    };
    format!(
        "\nmp_state={} irr={:?} isr={:?} tpr={:#x} lvtt={:02x}{:02x}{:02x} injected={} nr={} shadow={}",
        mp.mp_state,
        vectors(REQUESTED),
        vectors(IN_SERVICE),
        byte(TASK_PRIORITY),
        byte(LVT_TIMER + 2),
        byte(LVT_TIMER + 1),
        byte(LVT_TIMER),
        events.interrupt.injected,
        events.interrupt.nr,
        events.interrupt.shadow,
    )
}
