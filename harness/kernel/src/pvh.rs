//! Whether an ELF kernel can be entered without a boot loader.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Segments of a kernel are a handful; a file that claims more is no kernel worth reading.
const MAX_SEGMENTS: u16 = 64;
/// Bytes of notes that are looked at.
const MAX_NOTES: usize = 64 << 10;

const PT_NOTE: u32 = 4;
/// `XEN_ELFNOTE_PHYS32_ENTRY` of xen/interface/elfnote.h: where CONFIG_PVH has a loader jump to.
const PHYS32_ENTRY: u32 = 18;

/// Whether the 64-bit ELF file has the note that names its PVH entry.
pub(crate) fn has_entry(file: &File) -> io::Result<bool> {
    let mut header = [0; 64];
    if !fill(file, &mut header, 0)? {
        return Ok(false);
    }
    let (offset, size, count) = (
        u64_at(&header, 32),
        u16_at(&header, 54),
        u16_at(&header, 56),
    );
    for index in 0..count.min(MAX_SEGMENTS) {
        let mut segment = [0; 56];
        let at = offset.saturating_add(u64::from(index) * u64::from(size));
        if !fill(file, &mut segment, at)? {
            return Ok(false);
        }
        if u32_at(&segment, 0) != PT_NOTE {
            continue;
        }
        let length = usize::try_from(u64_at(&segment, 32)).unwrap_or(MAX_NOTES);
        let mut notes = vec![0; length.min(MAX_NOTES)];
        if fill(file, &mut notes, u64_at(&segment, 8))? && names_entry(&notes) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads all of the buffer; `false` where the file ends before.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, at) {
        Ok(()) => Ok(true),
        // An offset beyond what pread takes is a broken file, like one beyond its end.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn names_entry(mut notes: &[u8]) -> bool {
    while notes.len() >= 12 {
        let [name, content] = [0, 4].map(|at| u32_at(notes, at) as usize);
        let kind = u32_at(notes, 8);
        let name_end = 12 + name;
        if kind == PHYS32_ENTRY && notes.get(12..name_end) == Some(b"Xen\0") {
            return true;
        }
        let next = 12 + name.next_multiple_of(4) + content.next_multiple_of(4);
        notes = notes.get(next..).unwrap_or_default();
    }
    false
}

/// The bytes at an offset, zeros where there are none.
fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    if let Some(there) = from.get(at..at + N) {
        bytes.copy_from_slice(there);
    }
    bytes
}

fn u16_at(from: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(from, at))
}

fn u32_at(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(from, at))
}

fn u64_at(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(from, at))
}

/// An x86-64 ELF file with one segment of notes.
#[cfg(test)]
pub(crate) fn elf(notes: &[u8]) -> Vec<u8> {
    let mut elf = vec![0; 64 + 56];
    elf[..5].copy_from_slice(b"\x7fELF\x02");
    elf[18] = 62;
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    elf[64] = 4;
    elf[64 + 8] = 64 + 56;
    elf[64 + 32..64 + 40].copy_from_slice(&(notes.len() as u64).to_le_bytes());
    elf.extend_from_slice(notes);
    elf
}

/// One note, as an assembler lays it out.
#[cfg(test)]
pub(crate) fn note(name: &str, kind: u32, content: &[u8]) -> Vec<u8> {
    let padded = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let mut note = Vec::new();
    for length in [name.len() + 1, content.len()] {
        note.extend_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    }
    note.extend_from_slice(&kind.to_le_bytes());
    note.extend(padded(format!("{name}\0").as_bytes()));
    note.extend(padded(content));
    note
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rstest::rstest;

    use super::*;

    fn entry_of(content: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        has_entry(&file).unwrap()
    }

    #[rstest]
    #[case::entry(&[note("Xen", 18, &[0; 4])], true)]
    #[case::entry_behind_others(
        &[note("GNU", 3, &[1; 20]), note("Linux", 0x100, &[2; 1]), note("Xen", 18, &[0; 8])],
        true
    )]
    #[case::another_of_xen(&[note("Xen", 6, b"linux\0")], false)]
    #[case::another_name(&[note("GNU", 18, &[0; 4])], false)]
    #[case::none(&[], false)]
    fn is_found(#[case] notes: &[Vec<u8>], #[case] expected: bool) {
        assert_eq!(entry_of(&elf(&notes.concat())), expected);
    }

    #[test]
    fn a_broken_file_has_none() {
        let whole = elf(&note("Xen", 18, &[0; 4]));
        for length in 0..whole.len() {
            assert!(!entry_of(&whole[..length]), "{length}");
        }
        let mut far = whole.clone();
        far[32..40].fill(0xff);
        assert!(!entry_of(&far));
        let mut far = whole;
        far[64 + 8..64 + 16].fill(0xff);
        assert!(!entry_of(&far));
        assert!(!entry_of(&elf(&[0xff; 64])));
    }
}
