//! All of a vCPU, to be taken and put back.

use kvm_bindings::{
    Msrs, kvm_debugregs, kvm_lapic_state, kvm_mp_state, kvm_msr_entry, kvm_regs, kvm_sregs,
    kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::VcpuFd;

use crate::error::{Error, kvm};

/// `IA32_TSC_DEADLINE`: arms the timer of the local APIC, so that it comes
/// last.
const TSC_DEADLINE: u32 = 0x6e0;

/// All of a vCPU but its CPUID, which is made anew.
#[derive(Debug)]
pub(crate) struct CpuState {
    mp_state: kvm_mp_state,
    regs: kvm_regs,
    sregs: kvm_sregs,
    xsave: kvm_xsave,
    xcrs: kvm_xcrs,
    debugregs: kvm_debugregs,
    lapic: kvm_lapic_state,
    msrs: Vec<kvm_msr_entry>,
    events: kvm_vcpu_events,
    tsc_khz: u32,
}

impl CpuState {
    /// Takes the state of a vCPU that is out of `KVM_RUN` with nothing to be
    /// completed. `indices` are the MSRs that KVM says make it up.
    ///
    /// # Errors
    /// KVM's refusals.
    pub(crate) fn take(vcpu: &VcpuFd, indices: &[u32]) -> Result<Self, Error> {
        Ok(CpuState {
            // First: it settles pending INIT and SIPI signals.
            mp_state: vcpu.get_mp_state().map_err(kvm("KVM_GET_MP_STATE"))?,
            regs: vcpu.get_regs().map_err(kvm("KVM_GET_REGS"))?,
            sregs: vcpu.get_sregs().map_err(kvm("KVM_GET_SREGS"))?,
            xsave: vcpu.get_xsave().map_err(kvm("KVM_GET_XSAVE"))?,
            xcrs: vcpu.get_xcrs().map_err(kvm("KVM_GET_XCRS"))?,
            debugregs: vcpu.get_debug_regs().map_err(kvm("KVM_GET_DEBUGREGS"))?,
            lapic: vcpu.get_lapic().map_err(kvm("KVM_GET_LAPIC"))?,
            msrs: msrs(vcpu, indices)?,
            events: vcpu.get_vcpu_events().map_err(kvm("KVM_GET_VCPU_EVENTS"))?,
            tsc_khz: vcpu.get_tsc_khz().map_err(kvm("KVM_GET_TSC_KHZ"))?,
        })
    }

    /// Makes a vCPU with the same CPUID go on from this state.
    ///
    /// # Errors
    /// KVM's refusals, and an MSR it does not take back.
    pub(crate) fn put(&self, vcpu: &VcpuFd) -> Result<(), Error> {
        if vcpu.get_tsc_khz().map_err(kvm("KVM_GET_TSC_KHZ"))? != self.tsc_khz {
            vcpu.set_tsc_khz(self.tsc_khz)
                .map_err(kvm("KVM_SET_TSC_KHZ"))?;
        }
        vcpu.set_mp_state(self.mp_state)
            .map_err(kvm("KVM_SET_MP_STATE"))?;
        vcpu.set_regs(&self.regs).map_err(kvm("KVM_SET_REGS"))?;
        vcpu.set_sregs(&self.sregs).map_err(kvm("KVM_SET_SREGS"))?;
        // SAFETY: the area holds 4096 bytes, which is what KVM reads unless a
        // feature with a larger state (AMX) was asked for by arch_prctl(2),
        // which nothing here does; KVM_GET_XSAVE would have refused, too.
        unsafe { vcpu.set_xsave(&self.xsave) }.map_err(kvm("KVM_SET_XSAVE"))?;
        // A processor without XSAVE has none, and KVM refuses even that.
        if self.xcrs.nr_xcrs > 0 {
            vcpu.set_xcrs(&self.xcrs).map_err(kvm("KVM_SET_XCRS"))?;
        }
        vcpu.set_debug_regs(&self.debugregs)
            .map_err(kvm("KVM_SET_DEBUGREGS"))?;
        vcpu.set_lapic(&self.lapic).map_err(kvm("KVM_SET_LAPIC"))?;
        for msr in &self.msrs {
            put_msr(vcpu, *msr)?;
        }
        vcpu.set_vcpu_events(&self.events)
            .map_err(kvm("KVM_SET_VCPU_EVENTS"))
    }
}

/// Those of the MSRs that can be read; the list has some that depend on the
/// CPUID of the vCPU.
fn msrs(vcpu: &VcpuFd, indices: &[u32]) -> Result<Vec<kvm_msr_entry>, Error> {
    let mut taken = Vec::with_capacity(indices.len());
    for index in indices {
        taken.extend(get_msr(vcpu, *index)?);
    }
    taken.sort_by_key(|msr| msr.index == TSC_DEADLINE);
    Ok(taken)
}

fn one(msr: kvm_msr_entry) -> Result<Msrs, Error> {
    Msrs::from_entries(&[msr]).map_err(|error| Error::Cpuid(format!("{error:?}")))
}

fn get_msr(vcpu: &VcpuFd, index: u32) -> Result<Option<kvm_msr_entry>, Error> {
    let mut msrs = one(kvm_msr_entry {
        index,
        ..kvm_msr_entry::default()
    })?;
    let read = vcpu.get_msrs(&mut msrs).map_err(kvm("KVM_GET_MSRS"))?;
    Ok(msrs.as_slice().first().filter(|_| read == 1).copied())
}

/// Sets one; one that is refused must have the value already.
fn put_msr(vcpu: &VcpuFd, msr: kvm_msr_entry) -> Result<(), Error> {
    if vcpu.set_msrs(&one(msr)?).map_err(kvm("KVM_SET_MSRS"))? == 1 {
        return Ok(());
    }
    match get_msr(vcpu, msr.index)? {
        Some(present) if present.data == msr.data => Ok(()),
        _ => Err(Error::Msr { index: msr.index }),
    }
}
