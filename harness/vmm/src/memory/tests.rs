use std::os::unix::fs::MetadataExt;

use rstest::rstest;

use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Start, length and place in the file of every region.
fn layout(memory: &Memory) -> Vec<(u64, u64, u64)> {
    memory
        .iter()
        .map(|region| {
            let offset = region.file_offset().unwrap();
            (region.start_addr().0, region.len(), offset.start())
        })
        .collect()
}

fn file(memory: &Memory) -> &File {
    memory.iter().next().unwrap().file_offset().unwrap().file()
}

/// Bytes of the host's memory that the file takes.
fn taken(memory: &Memory) -> u64 {
    file(memory).metadata().unwrap().blocks() * 512
}

#[rstest]
#[case::small(1, &[(0, MIB, 0)])]
#[case::usual(512, &[(0, 512 * MIB, 0)])]
#[case::just_fits(3072, &[(0, 3 * GIB, 0)])]
#[case::one_too_many(3073, &[(0, 3 * GIB, 0), (4 * GIB, MIB, 3 * GIB)])]
#[case::large(8192, &[(0, 3 * GIB, 0), (4 * GIB, 5 * GIB, 3 * GIB)])]
fn the_window_of_devices_is_spared(#[case] mib: u32, #[case] expected: &[(u64, u64, u64)]) {
    let memory = allocate(mib).unwrap();
    assert_eq!(layout(&memory), expected);
    let numbers: Vec<_> = memory
        .iter()
        .map(|region| region.file_offset().unwrap().file().metadata().unwrap())
        .map(|meta| (meta.ino(), meta.len()))
        .collect();
    let size = u64::from(mib) * MIB;
    assert!(numbers.iter().all(|&n| n == (numbers[0].0, size)));
    assert_eq!(taken(&memory), 0);
}

#[test]
fn a_machine_needs_memory() {
    assert!(matches!(allocate(0), Err(MemoryError::Empty)));
}

#[test]
fn more_than_there_are_addresses_is_refused() {
    let error = allocate(u32::MAX).unwrap_err();
    assert!(matches!(error, MemoryError::Map(_)), "{error}");
}

#[test]
fn the_size_is_final() {
    let memory = allocate(1).unwrap();
    file(&memory).set_len(4096).unwrap_err();
    file(&memory).set_len(2 * MIB).unwrap_err();
    let unsealed = SealFlag::F_SEAL_WRITE;
    assert_eq!(
        fcntl(file(&memory), FcntlArg::F_ADD_SEALS(unsealed)),
        Err(Errno::EPERM)
    );
}

#[test]
fn what_is_written_is_in_the_file_and_the_other_way_round() {
    let memory = allocate(4096).unwrap();
    memory
        .write_slice(b"here", GuestAddress(HIGH_START + 5))
        .unwrap();
    let mut read = [0; 4];
    std::os::unix::fs::FileExt::read_exact_at(file(&memory), &mut read, LOW_END + 5).unwrap();
    assert_eq!(&read, b"here");
}

/// Places that matter: the ends of regions, neighbours, a lone page.
const WRITTEN: [(u64, usize); 6] = [
    (0, 1),
    (0x1000, 0x3000),
    (0x10_0fff, 2),
    (LOW_END - 4096, 4096),
    (HIGH_START, 10_000),
    (HIGH_START + GIB - 1, 1),
];

fn written() -> Memory {
    let memory = allocate(4096).unwrap();
    for (at, len) in WRITTEN {
        memory
            .write_slice(&pattern(at, len), GuestAddress(at))
            .unwrap();
    }
    memory
}

fn pattern(at: u64, len: usize) -> Vec<u8> {
    (at..).take(len).map(|n| (n % 251) as u8 | 1).collect()
}

#[test]
fn a_copy_has_layout_and_content_and_takes_no_more() {
    let memory = written();
    let copy = copy(&memory).unwrap();
    assert_eq!(layout(&copy), layout(&memory));
    assert_eq!(taken(&copy), taken(&memory));
    assert!(taken(&copy) < MIB);
    for (at, len) in WRITTEN {
        let mut read = vec![0; len];
        copy.read_slice(&mut read, GuestAddress(at)).unwrap();
        assert_eq!(read, pattern(at, len), "{at:#x}");
    }
    // What lies between is zero, and is so without being there.
    let zero: u64 = copy.read_obj(GuestAddress(GIB)).unwrap();
    assert_eq!(zero, 0);
}

#[test]
fn a_copy_of_memory_never_written_is_empty() {
    let copy = copy(&allocate(3100).unwrap()).unwrap();
    assert_eq!(taken(&copy), 0);
}

#[test]
fn copies_are_apart() {
    let memory = written();
    let copy = copy(&memory).unwrap();
    memory.write_obj(0x11_u8, GuestAddress(0)).unwrap();
    copy.write_obj(0x22_u8, GuestAddress(HIGH_START)).unwrap();
    let old = |at| pattern(at, 1)[0];
    assert_eq!(copy.read_obj::<u8>(GuestAddress(0)).unwrap(), old(0));
    assert_eq!(
        memory.read_obj::<u8>(GuestAddress(HIGH_START)).unwrap(),
        old(HIGH_START)
    );
    // A copy of a copy is none of the first.
    let third = super::copy(&copy).unwrap();
    assert_eq!(
        third.read_obj::<u8>(GuestAddress(HIGH_START)).unwrap(),
        0x22
    );
}

#[test]
fn memory_from_elsewhere_is_refused() {
    let memory = Memory::from_ranges(&[(GuestAddress(0x1000), 4096)]).unwrap();
    let error = copy(&memory).unwrap_err();
    assert_eq!(error.to_string(), "guest memory at 0x1000 is not of a file");
}
