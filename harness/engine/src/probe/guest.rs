//! The probe's guest: its tables and its few instructions.

/// Bytes of guest memory, from physical address 0.
pub(super) const MEMORY: usize = 0x2_0000;
/// Page map level 4; the two levels below follow, a page each.
pub(super) const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
/// Global descriptor table.
pub(super) const GDT: u64 = 0x4000;
/// Its last byte: null, code, data.
pub(super) const GDT_LIMIT: u16 = 3 * 8 - 1;
/// Interrupt descriptor table.
pub(super) const IDT: u64 = 0x5000;
/// Its last byte: the gates up to that of `int3`.
pub(super) const IDT_LIMIT: u16 = 4 * 16 - 1;
/// Top of the stack.
pub(super) const STACK: u64 = 0x9000;
/// XSAVE area, up to the code.
const XSAVE_AREA: u32 = 0xa000;
/// Bytes it may take.
pub(super) const XSAVE_MAX: u32 = 0x6000;
/// First instruction.
pub(super) const CODE: u64 = 0x1_0000;
/// The `int3` handler.
const HANDLER: u64 = 0x1_0800;
/// Selector of the code segment.
pub(super) const CODE_SELECTOR: u16 = 0x08;
/// Selector of the data segment.
pub(super) const DATA_SELECTOR: u16 = 0x10;

/// Port the guest answers on.
pub(super) const PORT: u16 = 0x10;
/// Its answer when all went well.
pub(super) const FINE: u8 = b'k';
/// Its answer when the handler did not run exactly once.
pub(super) const WRONG: u8 = b'w';
/// Turns of the loop: about a millisecond of a CPU and a tenth of a second of
/// KVM within a translated machine; seconds where each instruction is emulated
/// (some 3 microseconds apiece, as seen).
const TURNS: u32 = 2_000_000;

/// Guest memory, ready to run at [`CODE`]; `xcr0` are the state components to
/// enable, save and restore, none without XSAVE.
pub(super) fn memory(xcr0: Option<u64>) -> Vec<u8> {
    let mut memory = vec![0; MEMORY];
    let mut put = |address: u64, bytes: &[u8]| {
        // Addresses are the constants above, all below MEMORY.
        let start = usize::try_from(address).unwrap_or(usize::MAX);
        memory[start..start + bytes.len()].copy_from_slice(bytes);
    };
    // Present and writable; one page of 2 MiB maps it all (SDM vol. 3, 4.5).
    put(PML4, &(PDPT | 0x3).to_le_bytes());
    put(PDPT, &(PD | 0x3).to_le_bytes());
    put(PD, &0x83_u64.to_le_bytes());
    // Code: present, ring 0, long mode. Data: present, writable.
    put(
        GDT + u64::from(CODE_SELECTOR),
        &0x00af_9b00_0000_ffff_u64.to_le_bytes(),
    );
    put(
        GDT + u64::from(DATA_SELECTOR),
        &0x00cf_9300_0000_ffff_u64.to_le_bytes(),
    );
    // Gate 3: a present 64-bit interrupt gate (SDM vol. 3, 6.14.1).
    let gate = (HANDLER & 0xffff)
        | u64::from(CODE_SELECTOR) << 16
        | 0x8e00 << 32
        | (HANDLER >> 16 & 0xffff) << 48;
    put(IDT + 3 * 16, &gate.to_le_bytes());
    // inc esi; iretq
    put(HANDLER, &[0xff, 0xc6, 0x48, 0xcf]);
    let code: Vec<u8> = instructions(xcr0)
        .into_iter()
        .flat_map(|(_, bytes)| bytes)
        .collect();
    put(CODE, &code);
    memory
}

/// The instructions, each with its name.
fn instructions(xcr0: Option<u64>) -> Vec<(&'static str, Vec<u8>)> {
    let immediate = |opcode: u8, value: u32| [&[opcode][..], &value.to_le_bytes()].concat();
    let mut list: Vec<(&'static str, Vec<u8>)> = Vec::new();
    if let Some(components) = xcr0 {
        let [a, b, c, d, e, f, g, h] = components.to_le_bytes();
        list.push(("xor ecx, ecx", vec![0x31, 0xc9]));
        list.push(("mov eax, components", vec![0xb8, a, b, c, d]));
        list.push(("mov edx, components", vec![0xba, e, f, g, h]));
        list.push(("xsetbv", vec![0x0f, 0x01, 0xd1]));
        list.push(("mov ebx, area", immediate(0xbb, XSAVE_AREA)));
        list.push(("xsave [rbx]", vec![0x0f, 0xae, 0x23]));
        list.push(("xrstor [rbx]", vec![0x0f, 0xae, 0x2b]));
    }
    list.push(("xor esi, esi", vec![0x31, 0xf6]));
    list.push(("int3", vec![0xcc]));
    list.push(("mov ecx, turns", immediate(0xb9, TURNS)));
    list.push(("dec ecx", vec![0xff, 0xc9]));
    list.push(("jnz to the dec", vec![0x75, 0xfc]));
    list.push(("mov al, WRONG", vec![0xb0, WRONG]));
    list.push(("cmp esi, 1", vec![0x83, 0xfe, 0x01]));
    list.push(("jne over the next", vec![0x75, 0x02]));
    list.push(("mov al, FINE", vec![0xb0, FINE]));
    list.push(("out PORT, al", vec![0xe6, PORT.to_le_bytes()[0]]));
    list.push(("hlt", vec![0xf4]));
    list
}

/// The instruction at `address`, for a message.
pub(super) fn instruction_at(xcr0: Option<u64>, address: u64) -> String {
    let mut next = CODE;
    for (name, bytes) in instructions(xcr0) {
        if next == address {
            return name.to_owned();
        }
        next += bytes.len() as u64;
    }
    format!("address {address:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(None, CODE, "xor esi, esi")]
    #[case(None, CODE + 2, "int3")]
    #[case(Some(7), CODE + 12, "xsetbv")]
    #[case(Some(7), CODE + 28, "int3")]
    #[case(Some(7), HANDLER, "address 0x10800")]
    fn names_an_instruction(#[case] xcr0: Option<u64>, #[case] at: u64, #[case] name: &str) {
        assert_eq!(instruction_at(xcr0, at), name);
    }

    #[test]
    fn the_code_ends_before_the_handler() {
        let length: usize = instructions(Some(7))
            .iter()
            .map(|(_, bytes)| bytes.len())
            .sum();
        assert!(CODE + (length as u64) < HANDLER);
        assert_eq!(memory(Some(7)).len(), MEMORY);
    }
}
