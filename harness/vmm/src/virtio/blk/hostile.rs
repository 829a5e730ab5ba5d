//! The device against drivers that write nonsense, compared with the model.

use std::fs;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::NamedTempFile;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::model::Model;
use super::*;
use crate::virtio::testing::hostile::{Mischief, Raw, SIZE, descriptor, length, mischief};
use crate::virtio::testing::{Driver, guarded_memory};

const MEMORY: u64 = 0x1_0000;
const TABLE: u64 = 0x1000;
const HEADERS: u64 = 0x4000;
const INDIRECT_TABLE: u64 = 0x5000;
const DATA: u64 = 0x6000;
const STATUS: u64 = 0x9000;
const KNOWN: &[u64] = &[
    TABLE,
    TABLE + 0x100,
    HEADERS,
    HEADERS + 16,
    HEADERS + 32,
    INDIRECT_TABLE,
    DATA,
    DATA + 0x400,
    STATUS,
];
const SECTORS: u64 = 8;

static SHARED: LazyLock<Mutex<Memory>> =
    LazyLock::new(|| Mutex::new(guarded_memory(usize::try_from(MEMORY).unwrap())));

#[derive(Clone, Debug)]
struct Case {
    headers: Vec<(u32, u64)>,
    /// Header, length of the data, whether the device writes it.
    requests: Vec<(u64, u32, bool)>,
    indirect: Vec<Raw>,
    mischief: Mischief,
    readonly: bool,
}

fn header() -> impl Strategy<Value = (u32, u64)> {
    let kind = prop_oneof![
        8 => proptest::sample::select(&[0, 1, 1, 4, 8, 11][..]),
        1 => any::<u32>(),
    ];
    let sector = prop_oneof![
        8 => 0..SECTORS + 2,
        1 => u64::MAX - 2..,
        1 => any::<u64>(),
    ];
    (kind, sector)
}

fn case() -> impl Strategy<Value = Case> {
    (
        vec(header(), 3),
        vec((0..3u64, length(), any::<bool>()), 0..5),
        vec(descriptor(KNOWN, MEMORY), 4),
        mischief(KNOWN, MEMORY),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(headers, requests, indirect, mischief, readonly)| Case {
            headers,
            requests,
            indirect,
            mischief,
            readonly,
        })
}

impl Case {
    fn write(&self, memory: &Memory) -> Driver {
        let blank = vec![0xee; usize::try_from(MEMORY).unwrap()];
        memory.write_slice(&blank, GuestAddress(0)).unwrap();
        let rings = vec![0; 0x1000];
        memory.write_slice(&rings, GuestAddress(TABLE)).unwrap();
        for (at, (kind, sector)) in (HEADERS..).step_by(16).zip(&self.headers) {
            memory.write_obj(*kind, GuestAddress(at)).unwrap();
            memory.write_obj(*sector, GuestAddress(at + 8)).unwrap();
        }
        // A table is a table, wherever it lies.
        let table = Driver::new(memory, INDIRECT_TABLE, SIZE);
        for (index, &(address, len, flags, next)) in (0..).zip(&self.indirect) {
            table.describe(index, address, len, flags, next);
        }
        let mut driver = Driver::new(memory, TABLE, SIZE);
        for &(header, len, writable) in &self.requests {
            driver.submit(&[
                (HEADERS + 16 * header, 16, false),
                (DATA, len, writable),
                (STATUS, 1, true),
            ]);
        }
        self.mischief.do_to(&mut driver);
        driver
    }
}

fn image() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    for sector in 0..SECTORS {
        let fill = u8::try_from(sector + 1).unwrap();
        file.write_all(&[fill; 512]).unwrap();
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn memory_and_image_are_what_the_model_says(case in case()) {
        let memory = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let driver = case.write(&memory);
        let image = image();
        let mut before = vec![0; usize::try_from(MEMORY).unwrap()];
        memory.read_slice(&mut before, GuestAddress(0)).unwrap();
        let mut model = Model {
            memory: before,
            image: fs::read(image.path()).unwrap(),
            readonly: case.readonly,
            serial: *b"0123456789abcdefghij",
            size: SIZE,
            table: driver.table(),
            avail: driver.avail(),
            used: driver.used(),
        };
        let broken = model.serve().is_err();
        let mut requests = Requests {
            name: "blk hostile".to_owned(),
            disk: Disk::open(image.path(), "0123456789abcdefghijk", case.readonly).unwrap(),
            queue: ActiveQueue {
                queue: driver.queue(),
                kick: EventFd::new(libc::EFD_NONBLOCK).unwrap(),
            },
            memory: memory.clone(),
            interrupt: Arc::new(Interrupt::new().unwrap()),
            complaints: Complaints::default(),
        };
        requests.serve();
        let mut after = vec![0; usize::try_from(MEMORY).unwrap()];
        memory.read_slice(&mut after, GuestAddress(0)).unwrap();
        let differs = after.iter().zip(&model.memory).position(|(a, b)| a != b);
        prop_assert_eq!(differs, None, "address of the first difference");
        prop_assert_eq!(requests.interrupt.is_broken(), broken);
        prop_assert!(fs::read(image.path()).unwrap() == model.image, "image");
        // A broken queue is the only thing to complain about.
        let complaints = requests.complaints.text();
        prop_assert_eq!(complaints.lines().count(), usize::from(broken), "{}", complaints);
    }
}
