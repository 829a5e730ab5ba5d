//! Where things are in the guest's physical address space.
//!
//! The first MiB follows the PC's tradition only as far as Linux looks there
//! (arch/x86/kernel/mpparse.c, e820.c); the page tables, the descriptor tables
//! and the boot parameters are read once and then belong to the kernel.

/// Global descriptor table of the boot CPU.
pub const GDT: u64 = 0x500;
/// Interrupt descriptor table of the boot CPU, empty.
pub const IDT: u64 = 0x520;
/// Boot parameters, the "zero page" (Documentation/arch/x86/zero-page.rst).
pub const BOOT_PARAMS: u64 = 0x7000;
/// Page map level 4; the page directory pointer table and the page directory
/// follow, a page each.
pub const PML4: u64 = 0x9000;
/// Maps 512 GiB by 1 GiB.
pub const PDPT: u64 = 0xa000;
/// Maps 1 GiB by 2 MiB.
pub const PD: u64 = 0xb000;
/// Top of the boot CPU's stack.
pub const STACK: u64 = 0x8ff0;
/// The kernel's command line.
pub const CMDLINE: u64 = 0x2_0000;
/// Bytes of it with the terminating NUL: `COMMAND_LINE_SIZE` of x86.
pub const CMDLINE_SIZE: usize = 2048;
/// The MP table, in the last KiB of base memory, where mpparse.c scans for it.
pub const MP_TABLE: u64 = 0x9_fc00;
/// End of base memory.
pub const BASE_END: u64 = 0xa_0000;
/// Extended memory: a bzImage's protected-mode part goes here.
pub const HIMEM: u64 = 0x10_0000;

/// The first virtio-mmio transport; one page each from here.
pub const VIRTIO_MMIO: u64 = 0xd000_0000;
/// I/O APIC.
pub const IOAPIC: u32 = 0xfec0_0000;
/// Local APICs.
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// Three pages that KVM on Intel wants for itself.
pub const KVM_TSS: usize = 0xfffb_d000;
/// One more of them, for its identity map.
pub const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;

/// First port of the serial console.
pub const SERIAL_PORT: u16 = 0x3f8;
/// Its ISA interrupt.
pub const SERIAL_IRQ: u32 = 4;
/// Ports of the keyboard controller, of which only the reset line is there.
pub const I8042_PORT: u16 = 0x60;

/// Pins of the I/O APIC.
pub const IRQ_PINS: u8 = 24;
/// Interrupts for virtio devices, one each: those no PC device has, edge
/// triggered like all ISA interrupts.
pub const VIRTIO_IRQS: [u32; 16] = [5, 6, 7, 9, 10, 11, 12, 15, 16, 17, 18, 19, 20, 21, 22, 23];

/// Most vCPUs: `CONFIG_NR_CPUS` of the guest kernels.
pub const MAX_CPUS: u8 = 8;
