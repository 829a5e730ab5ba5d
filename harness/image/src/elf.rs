//! Whether a program runs where there is no dynamic loader.

/// What a program header table says about a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Linkage {
    Static,
    /// The loader it asks for.
    Dynamic(String),
    NotX86_64,
}

const PT_INTERP: u64 = 3;
const EM_X86_64: u64 = 62;

/// Reads the 64-bit ELF header and program headers; offsets as in elf(5).
pub(crate) fn linkage(file: &[u8]) -> Linkage {
    scan(file).unwrap_or(Linkage::NotX86_64)
}

fn scan(file: &[u8]) -> Option<Linkage> {
    if !file.starts_with(b"\x7fELF\x02\x01") || number(file, 18, 2)? != EM_X86_64 {
        return None;
    }
    let table = number(file, 32, 8)?;
    let (size, count) = (number(file, 54, 2)?, number(file, 56, 2)?);
    for index in 0..count {
        let header = table.checked_add(index * size)?;
        if number(file, header, 4)? == PT_INTERP {
            let start = usize::try_from(number(file, header.checked_add(8)?, 8)?).ok()?;
            let length = usize::try_from(number(file, header.checked_add(32)?, 8)?).ok()?;
            let loader = file.get(start..start.checked_add(length)?)?;
            let loader = String::from_utf8_lossy(loader);
            return Some(Linkage::Dynamic(loader.trim_end_matches('\0').to_owned()));
        }
    }
    Some(Linkage::Static)
}

fn number(file: &[u8], offset: u64, width: usize) -> Option<u64> {
    let offset = usize::try_from(offset).ok()?;
    let bytes = file.get(offset..offset.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_test_itself_asks_for_a_loader() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let Linkage::Dynamic(loader) = linkage(&own) else {
            panic!("no loader")
        };
        assert!(
            loader.starts_with('/') && loader.contains("ld-"),
            "{loader}"
        );
    }

    #[test]
    fn a_header_without_a_table_is_static_and_damage_is_no_program() {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(linkage(&file), Linkage::NotX86_64);
        file[18] = 62;
        assert_eq!(linkage(&file), Linkage::Static);
        file[32..40].fill(0xff);
        file[54] = 56;
        file[56] = 2;
        assert_eq!(linkage(&file), Linkage::NotX86_64);
        assert_eq!(linkage(b"#!/bin/sh"), Linkage::NotX86_64);
    }
}
