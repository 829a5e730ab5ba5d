//! What CPUID says: all that KVM can do, and a topology of cores in one package.

use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

/// CPUID.1:ECX bits.
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;
/// CPUID.1:EDX: several logical processors in a package.
const HTT: u32 = 1 << 28;

/// Level types of leaf 0xb (SDM vol. 2, CPUID).
const LEVEL_SMT: u32 = 1;
const LEVEL_CORE: u32 = 2;

const TOPOLOGY: u32 = 0xb;
const TOPOLOGY_V2: u32 = 0x1f;

/// The CPUID of the vCPU `id` of `cpus`; its APIC has the same number.
pub(super) fn of_vcpu(
    supported: &CpuId,
    id: u8,
    cpus: u8,
    deadline_timer: bool,
) -> Result<CpuId, vmm_sys_util::fam::Error> {
    let (apic, count) = (u32::from(id), u32::from(cpus));
    // Bits of the APIC's number that tell a core.
    let bits = count.next_power_of_two().trailing_zeros();
    let highest = supported
        .as_slice()
        .iter()
        .find(|entry| entry.function == 0)
        .map_or(0, |entry| entry.eax);
    let mut entries: Vec<kvm_cpuid_entry2> = supported
        .as_slice()
        .iter()
        .filter(|entry| !matches!(entry.function, TOPOLOGY | TOPOLOGY_V2))
        .copied()
        .collect();
    for entry in &mut entries {
        match entry.function {
            1 => {
                entry.ebx = entry.ebx & 0xffff | apic << 24 | count << 16;
                entry.ecx |= HYPERVISOR;
                if deadline_timer {
                    entry.ecx |= TSC_DEADLINE;
                }
                entry.edx = if cpus > 1 {
                    entry.edx | HTT
                } else {
                    entry.edx & !HTT
                };
            }
            // Cores of a package, on Intel.
            4 if entry.eax & 0x1f != 0 => {
                entry.eax = entry.eax & 0x03ff_ffff | ((1 << bits) - 1) << 26;
            }
            // The same on AMD.
            0x8000_0008 => entry.ecx = bits << 12 | (count - 1),
            0x8000_001e => {
                entry.eax = apic;
                entry.ebx = apic;
                entry.ecx = 0;
            }
            _ => {}
        }
    }
    if highest >= TOPOLOGY {
        for (index, shift, processors, level) in [
            (0, 0, 1, LEVEL_SMT),
            (1, bits, count, LEVEL_CORE),
            (2, 0, 0, 0),
        ] {
            entries.push(kvm_cpuid_entry2 {
                function: TOPOLOGY,
                index,
                flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                eax: shift,
                ebx: processors,
                ecx: level << 8 | index,
                edx: apic,
                ..kvm_cpuid_entry2::default()
            });
        }
    }
    CpuId::from_entries(&entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn supported(highest: u32) -> CpuId {
        let entry = |function, index, eax| kvm_cpuid_entry2 {
            function,
            index,
            eax,
            ..kvm_cpuid_entry2::default()
        };
        CpuId::from_entries(&[
            entry(0, 0, highest),
            entry(1, 0, 0),
            entry(4, 0, 0x21),
            entry(4, 1, 0),
            entry(TOPOLOGY, 0, 9),
            entry(TOPOLOGY_V2, 0, 9),
            entry(0x8000_0008, 0, 0),
            entry(0x8000_001e, 0, 0),
        ])
        .unwrap()
    }

    fn find(cpuid: &CpuId, function: u32, index: u32) -> Option<kvm_cpuid_entry2> {
        let found: Vec<_> = cpuid
            .as_slice()
            .iter()
            .filter(|entry| (entry.function, entry.index) == (function, index))
            .collect();
        assert!(found.len() < 2, "leaf {function:#x} twice");
        found.first().copied().copied()
    }

    #[rstest]
    #[case(0, 1, 0)]
    #[case(1, 2, 1)]
    #[case(2, 3, 2)]
    #[case(7, 8, 3)]
    fn every_leaf_tells_one_topology(#[case] id: u8, #[case] cpus: u8, #[case] bits: u32) {
        let cpuid = of_vcpu(&supported(0xd), id, cpus, true).unwrap();
        let (apic, count) = (u32::from(id), u32::from(cpus));
        let basic = find(&cpuid, 1, 0).unwrap();
        assert_eq!(basic.ebx >> 24, apic);
        assert_eq!(basic.ebx >> 16 & 0xff, count);
        assert_eq!(basic.edx & HTT != 0, cpus > 1);
        assert_eq!(
            basic.ecx & (HYPERVISOR | TSC_DEADLINE),
            HYPERVISOR | TSC_DEADLINE
        );
        assert_eq!(find(&cpuid, 4, 0).unwrap().eax >> 26, (1 << bits) - 1);
        assert_eq!(find(&cpuid, 4, 1).unwrap().eax, 0);
        let smt = find(&cpuid, TOPOLOGY, 0).unwrap();
        assert_eq!((smt.eax, smt.ebx, smt.ecx, smt.edx), (0, 1, 0x100, apic));
        let core = find(&cpuid, TOPOLOGY, 1).unwrap();
        assert_eq!(
            (core.eax, core.ebx, core.ecx, core.edx),
            (bits, count, 0x201, apic)
        );
        assert_eq!(find(&cpuid, TOPOLOGY, 2).unwrap().ebx, 0);
        assert!(find(&cpuid, TOPOLOGY_V2, 0).is_none());
        assert_eq!(find(&cpuid, 0x8000_0008, 0).unwrap().ecx & 0xff, count - 1);
        assert_eq!(find(&cpuid, 0x8000_001e, 0).unwrap().eax, apic);
    }

    #[test]
    fn an_old_cpu_gets_no_new_leaf_and_no_timer_that_is_not_there() {
        let cpuid = of_vcpu(&supported(0xa), 0, 1, false).unwrap();
        assert!(find(&cpuid, TOPOLOGY, 0).is_none());
        assert_eq!(find(&cpuid, 1, 0).unwrap().ecx & TSC_DEADLINE, 0);
    }
}
