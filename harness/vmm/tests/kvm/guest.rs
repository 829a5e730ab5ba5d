//! Guests of a few instructions: an interpreter of a table of steps, wrapped
//! into an ELF file that the machine boots as it would a kernel.

use std::path::Path;

/// What a guest does, one after the other. What it reads it sends to the serial
/// port.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Writes four bytes of memory or of a device.
    Write(u64, u32),
    /// Reads four bytes.
    Read(u64),
    /// Writes a byte to a port.
    Out(u16, u8),
    /// Reads a byte from a port.
    In(u16),
    /// Reads so many bytes of memory.
    Dump(u64, u32),
    /// Reads four bytes until one of these bits is set.
    Await(u64, u32),
    /// Executes `ud2` without an interrupt table.
    Fault,
    /// Resets by the keyboard controller. Every guest does so at last.
    Reset,
}

/// Where the guest is loaded: code, then the table, then data of the test's.
const CODE: u64 = 0x10_0000;
const TABLE: u64 = CODE + 0x1000;
/// Maps the fourth GiB, where the devices are.
const DEVICE_PD: u64 = CODE + 0x1_0000;
/// The test's own data.
pub const DATA: u64 = CODE + 0x1_1000;

const LARGE_PAGE: u64 = 2 << 20;

std::arch::global_asm!(
    ".pushsection .rodata.lookback_guest, \"a\"",
    ".globl lookback_guest_start, lookback_guest_end",
    "lookback_guest_start:",
    // The fourth GiB's directory into the third entry of the machine's.
    "mov dword ptr [{entry}], {directory}",
    "mov ebx, {table}",
    "1:",
    "mov eax, [rbx]",
    "mov edi, [rbx + 4]",
    "mov r8, [rbx + 8]",
    "add rbx, 16",
    "dec eax",
    "jz 2f",
    "dec eax",
    "jz 3f",
    "dec eax",
    "jz 5f",
    "dec eax",
    "jz 6f",
    "dec eax",
    "jz 7f",
    "dec eax",
    "jz 8f",
    "dec eax",
    "jz 9f",
    "mov al, 0xfe",
    "mov dx, 0x64",
    "out dx, al",
    "0:",
    "hlt",
    "jmp 0b",
    // Write
    "2:",
    "mov [r8], edi",
    "jmp 1b",
    // Read
    "3:",
    "mov r9d, [r8]",
    "mov ecx, 4",
    "4:",
    "mov eax, r9d",
    "mov dx, 0x3f8",
    "out dx, al",
    "shr r9d, 8",
    "dec ecx",
    "jnz 4b",
    "jmp 1b",
    // Out
    "5:",
    "mov eax, edi",
    "mov rdx, r8",
    "out dx, al",
    "jmp 1b",
    // In
    "6:",
    "mov rdx, r8",
    "in al, dx",
    "mov dx, 0x3f8",
    "out dx, al",
    "jmp 1b",
    // Dump
    "7:",
    "mov al, [r8]",
    "mov dx, 0x3f8",
    "out dx, al",
    "inc r8",
    "dec edi",
    "jnz 7b",
    "jmp 1b",
    // Await
    "8:",
    "mov eax, [r8]",
    "test eax, edi",
    "jz 8b",
    "jmp 1b",
    // Fault
    "9:",
    "ud2",
    "lookback_guest_end:",
    ".popsection",
    entry = const lookback_vmm::layout::PDPT + 3 * 8,
    directory = const DEVICE_PD | 3,
    table = const TABLE,
);

// SAFETY: the labels of the assembly above, which marks bytes with them.
unsafe extern "C" {
    static lookback_guest_start: u8;
    static lookback_guest_end: u8;
}

fn code() -> &'static [u8] {
    // SAFETY: the two labels stand around bytes of the read-only data above.
    unsafe {
        let (start, end) = (
            &raw const lookback_guest_start,
            &raw const lookback_guest_end,
        );
        std::slice::from_raw_parts(start, usize::try_from(end.offset_from(start)).unwrap())
    }
}

fn encode(step: Step) -> [u8; 16] {
    let (op, value, address): (u32, u32, u64) = match step {
        Step::Reset => (0, 0, 0),
        Step::Write(address, value) => (1, value, address),
        Step::Read(address) => (2, 0, address),
        Step::Out(port, value) => (3, value.into(), port.into()),
        Step::In(port) => (4, 0, port.into()),
        Step::Dump(address, length) => (5, length, address),
        Step::Await(address, bits) => (6, bits, address),
        Step::Fault => (7, 0, 0),
    };
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&op.to_le_bytes());
    bytes[4..8].copy_from_slice(&value.to_le_bytes());
    bytes[8..].copy_from_slice(&address.to_le_bytes());
    bytes
}

/// Writes the guest as an ELF file, with `data` at [`DATA`].
pub fn write(path: &Path, steps: &[Step], data: &[u8]) {
    let mut image = code().to_vec();
    let at = |image: &mut Vec<u8>, address: u64, bytes: &[u8]| {
        let offset = usize::try_from(address - CODE).unwrap();
        assert!(image.len() <= offset, "the guest's parts overlap");
        image.resize(offset, 0);
        image.extend_from_slice(bytes);
    };
    let steps = steps.iter().copied().chain([Step::Reset]);
    let table: Vec<u8> = steps.flat_map(encode).collect();
    at(&mut image, TABLE, &table);
    let directory: Vec<u8> = (0..512)
        .flat_map(|index| (((3 << 30) + index * LARGE_PAGE) | 0x83).to_le_bytes())
        .collect();
    at(&mut image, DEVICE_PD, &directory);
    at(&mut image, DATA, data);

    // ELF64, little endian, executable, x86-64; one loadable segment behind
    // both headers.
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(2_u16.to_le_bytes());
    file.extend(62_u16.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for word in [CODE, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    file.extend(7_u32.to_le_bytes());
    let size = image.len() as u64;
    for word in [120, CODE, CODE, size, size, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    assert_eq!(file.len(), 120);
    file.extend(image);
    std::fs::write(path, file).unwrap();
}
