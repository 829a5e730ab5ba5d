//! The MP table: how Linux learns of CPUs and interrupts without ACPI
//! (MultiProcessor Specification 1.4, chapter 4; arch/x86/kernel/mpparse.c).

use vm_memory::{Bytes, GuestAddress};

use super::BootError;
use crate::layout;
use crate::memory::Memory;

/// Entry types (4.3).
const PROCESSOR: u8 = 0;
const BUS: u8 = 1;
const IOAPIC: u8 = 2;
const IO_INTERRUPT: u8 = 3;
const LOCAL_INTERRUPT: u8 = 4;
/// Interrupt types (table 4-10).
const INT: u8 = 0;
const NMI: u8 = 1;
const EXT_INT: u8 = 3;

const REVISION: u8 = 4;
/// Version registers of KVM's APICs.
const APIC_VERSION: u8 = 0x14;
const ISA_BUS: u8 = 0;
/// All local APICs.
const EVERY_APIC: u8 = 0xff;
/// A Pentium with an FPU and an APIC, for want of anything that Linux reads.
const CPU_SIGNATURE: u32 = 0x600;
const CPU_FEATURES: u32 = 0x201;
const CPU_ENABLED: u8 = 1;
const CPU_BOOT: u8 = 2;

const HEADER_SIZE: usize = 44;

/// Writes the floating pointer and, behind it, the table.
pub(super) fn write(memory: &Memory, cpus: u8) -> Result<(), BootError> {
    let too_small = |_| BootError::TooSmall("MP table");
    let pointer = pointer();
    let table = table(cpus)?;
    let behind = GuestAddress(layout::MP_TABLE + pointer.len() as u64);
    memory
        .write_slice(&pointer, GuestAddress(layout::MP_TABLE))
        .map_err(too_small)?;
    memory.write_slice(&table, behind).map_err(too_small)
}

/// The floating pointer structure (4.1).
fn pointer() -> Vec<u8> {
    let size: u8 = 16;
    let table = layout::MP_TABLE + u64::from(size);
    let [a, b, c, d, ..] = table.to_le_bytes();
    // In units of 16 bytes; no default configuration, no PIC mode.
    let mut bytes = b"_MP_".to_vec();
    bytes.extend([a, b, c, d, size / 16, REVISION, 0, 0, 0, 0, 0, 0]);
    bytes[10] = checksum(&bytes);
    bytes
}

fn table(cpus: u8) -> Result<Vec<u8>, BootError> {
    // The I/O APIC's number comes behind those of the CPUs.
    let ioapic = cpus;
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for cpu in 0..cpus {
        let flags = if cpu == 0 {
            CPU_ENABLED | CPU_BOOT
        } else {
            CPU_ENABLED
        };
        let mut entry = vec![PROCESSOR, cpu, APIC_VERSION, flags];
        entry.extend(CPU_SIGNATURE.to_le_bytes());
        entry.extend(CPU_FEATURES.to_le_bytes());
        entry.extend([0; 8]);
        entries.push(entry);
    }
    entries.push([&[BUS, ISA_BUS][..], b"ISA   "].concat());
    let mut entry = vec![IOAPIC, ioapic, APIC_VERSION, 1];
    entry.extend(layout::IOAPIC.to_le_bytes());
    entries.push(entry);
    // Interrupt n is wired to pin n: polarity and trigger are the bus's, high
    // and edge. Pin 2 has nothing: the PIT comes to pin 0, as KVM wires it
    // (virt/kvm/irqchip.c and arch/x86/kvm/irq_comm.c).
    for irq in (0..layout::IRQ_PINS).filter(|irq| *irq != 2) {
        entries.push(vec![IO_INTERRUPT, INT, 0, 0, ISA_BUS, irq, ioapic, irq]);
    }
    // The 8259 to LINT0 of the boot CPU, NMI to LINT1 of all.
    entries.push(vec![LOCAL_INTERRUPT, EXT_INT, 0, 0, ISA_BUS, 0, 0, 0]);
    entries.push(vec![LOCAL_INTERRUPT, NMI, 0, 0, ISA_BUS, 0, EVERY_APIC, 1]);

    let length = HEADER_SIZE + entries.iter().map(Vec::len).sum::<usize>();
    let too_long = |_| BootError::TooSmall("MP table");
    let mut table = b"PCMP".to_vec();
    table.extend(u16::try_from(length).map_err(too_long)?.to_le_bytes());
    table.extend([REVISION, 0]);
    table.extend(b"LOOKBACK");
    table.extend(b"lookback    ");
    // No OEM table.
    table.extend([0; 6]);
    table.extend(
        u16::try_from(entries.len())
            .map_err(too_long)?
            .to_le_bytes(),
    );
    table.extend(layout::LOCAL_APIC.to_le_bytes());
    // No extended entries.
    table.extend([0; 4]);
    table.extend(entries.concat());
    table[7] = checksum(&table);
    Ok(table)
}

/// What makes all bytes add up to zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte))
        .wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    fn adds_up_and_fits(#[values(1, 2, 8)] cpus: u8) {
        let (pointer, table) = (pointer(), table(cpus).unwrap());
        assert_eq!(checksum(&pointer), 0);
        assert_eq!(checksum(&table), 0);
        let room = layout::BASE_END - layout::MP_TABLE;
        assert!((pointer.len() + table.len()) as u64 <= room);
        assert_eq!(
            usize::from(u16::from_le_bytes([table[4], table[5]])),
            table.len()
        );
    }

    /// Walks the table as mpparse.c does.
    #[rstest]
    fn reads_back(#[values(1, 2, 8)] cpus: u8) {
        let table = table(cpus).unwrap();
        let count = u16::from_le_bytes([table[34], table[35]]);
        let mut rest = &table[HEADER_SIZE..];
        let (mut processors, mut wired, mut apics) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let size = if rest[0] == PROCESSOR { 20 } else { 8 };
            let (entry, next) = rest.split_at(size);
            match entry[0] {
                PROCESSOR => processors.push((entry[1], entry[3])),
                IOAPIC => apics.push(entry[1]),
                IO_INTERRUPT => wired.push((entry[5], entry[7])),
                BUS => assert_eq!(&entry[2..], b"ISA   "),
                other => assert_eq!(other, LOCAL_INTERRUPT),
            }
            rest = next;
        }
        assert!(rest.is_empty());
        assert_eq!(processors.len(), usize::from(cpus));
        assert_eq!(processors[0], (0, CPU_ENABLED | CPU_BOOT));
        assert!(
            processors[1..]
                .iter()
                .all(|(_, flags)| *flags == CPU_ENABLED)
        );
        assert_eq!(apics, [cpus]);
        assert!(wired.iter().all(|(irq, pin)| irq == pin));
        for irq in layout::VIRTIO_IRQS
            .into_iter()
            .chain([layout::SERIAL_IRQ, 0])
        {
            let irq = u8::try_from(irq).unwrap();
            assert!(wired.contains(&(irq, irq)), "interrupt {irq}");
        }
    }
}
