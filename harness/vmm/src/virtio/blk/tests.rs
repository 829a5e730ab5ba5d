use std::fs::{self, File};
use std::io::Write;

use event_manager::{EventManager, SubscriberOps};
use rstest::rstest;
use tempfile::NamedTempFile;
use virtio_bindings::virtio_blk::*;
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::*;
use crate::virtio::testing::{self, Driver, INDIRECT, NEXT, Piece, WRITE};

const MEMORY: usize = 0x2_0000;
const TABLE: u64 = 0x1000;
const SIZE: u16 = 16;
const HEADER: u64 = 0x4000;
const DATA: u64 = 0x5000;
const STATUS: u64 = 0x9000;
/// What no device has written yet.
const UNTOUCHED: u8 = 0xee;

const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

fn image(sectors: u8) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    for sector in 0..sectors {
        file.write_all(&[sector + 1; 512]).unwrap();
    }
    file
}

/// A disk whose queue is served when the test says so.
struct Bench {
    image: NamedTempFile,
    driver: Driver,
    requests: Requests,
}

impl Bench {
    fn new(readonly: bool) -> Self {
        Bench::on(image(8), readonly)
    }

    fn on(image: NamedTempFile, readonly: bool) -> Self {
        let memory = testing::memory(MEMORY);
        let driver = Driver::new(&memory, TABLE, SIZE);
        let requests = Requests {
            name: "blk test".to_owned(),
            disk: Disk::open(image.path(), "a serial number of 28 bytes", readonly).unwrap(),
            queue: ActiveQueue {
                queue: driver.queue(),
                kick: EventFd::new(libc::EFD_NONBLOCK).unwrap(),
            },
            memory,
            interrupt: Arc::new(Interrupt::new().unwrap()),
            complaints: Complaints::default(),
        };
        Bench {
            image,
            driver,
            requests,
        }
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        let address = GuestAddress(address);
        self.requests.memory.write_slice(bytes, address).unwrap();
    }

    fn get(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let address = GuestAddress(address);
        self.requests
            .memory
            .read_slice(&mut bytes, address)
            .unwrap();
        bytes
    }

    fn header(&self, kind: u32, sector: u64) {
        self.put(HEADER, &kind.to_le_bytes());
        self.put(HEADER + 4, &[0; 4]);
        self.put(HEADER + 8, &sector.to_le_bytes());
    }

    /// Serves one request; gives its status and its used length.
    fn request(&mut self, kind: u32, sector: u64, data: &[Piece]) -> (u8, u32) {
        self.header(kind, sector);
        self.put(STATUS, &[UNTOUCHED]);
        let mut pieces = vec![(HEADER, 16, false)];
        pieces.extend(data);
        pieces.push((STATUS, 1, true));
        let head = self.driver.submit(&pieces);
        self.requests.serve();
        let back = self.driver.given_back();
        assert_eq!(back.len(), 1, "{}", self.complaints());
        assert_eq!(back[0].0, u32::from(head));
        (self.get(STATUS, 1)[0], back[0].1)
    }

    fn complaints(&self) -> String {
        self.requests.complaints.text()
    }

    fn image(&self) -> Vec<u8> {
        fs::read(self.image.path()).unwrap()
    }

    /// Nothing came back, and the driver is told.
    fn assert_broken(&mut self, complaint: &str) {
        self.requests.serve();
        assert!(self.requests.interrupt.is_broken());
        assert!(
            self.complaints().contains(complaint),
            "{}",
            self.complaints()
        );
        assert_eq!(self.driver.given_back(), []);
        // Left alone, whatever comes.
        self.header(VIRTIO_BLK_T_OUT, 0);
        self.driver
            .submit(&[(HEADER, 16, false), (DATA, 512, false), (STATUS, 1, true)]);
        let before = self.image();
        self.requests.serve();
        assert_eq!(self.image(), before);
        assert_eq!(self.complaints().lines().count(), 1);
    }
}

#[rstest]
#[case::in_one_piece(&[(DATA, 1024, true)])]
#[case::in_uneven_pieces(&[(DATA, 1, true), (DATA + 1, 600, true), (DATA + 601, 423, true)])]
fn sectors_are_read(#[case] pieces: &[Piece]) {
    let mut bench = Bench::new(false);
    assert_eq!(bench.request(VIRTIO_BLK_T_IN, 3, pieces), (OK, 1025));
    assert_eq!(bench.get(DATA, 1024), [[4; 512], [5; 512]].concat());
    assert_eq!(bench.get(DATA + 1024, 1), [0]);
    assert_eq!(bench.requests.interrupt.line().read().unwrap(), 1);
}

#[rstest]
#[case::in_one_piece(&[(DATA, 1024, false)])]
#[case::in_uneven_pieces(&[(DATA, 1023, false), (DATA + 1023, 1, false)])]
fn sectors_are_written(#[case] pieces: &[Piece], #[values(false, true)] write_through: bool) {
    let mut bench = Bench::new(false);
    bench.requests.disk.write_through = write_through;
    let mut expected = bench.image();
    bench.put(DATA, &[0xab; 1024]);
    assert_eq!(bench.request(VIRTIO_BLK_T_OUT, 6, pieces), (OK, 1));
    expected[6 * 512..].fill(0xab);
    assert_eq!(bench.image(), expected);
}

/// The header and the status may share descriptors with the data.
#[test]
fn a_request_may_be_divided_anyhow() {
    let mut bench = Bench::new(false);
    bench.header(VIRTIO_BLK_T_IN, 7);
    bench.driver.submit(&[
        (HEADER, 3, false),
        (HEADER + 3, 13, false),
        (DATA, 513, true),
    ]);
    bench.requests.serve();
    assert_eq!(bench.driver.given_back(), [(0, 513)]);
    assert_eq!(bench.get(DATA, 513), [&[8; 512][..], &[OK]].concat());
}

#[test]
fn indirect_requests_are_served() {
    let mut bench = Bench::new(false);
    bench.header(VIRTIO_BLK_T_IN, 0);
    let table = 0x8000;
    let inner = [
        (HEADER, 16, NEXT, 1),
        (DATA, 512, NEXT | WRITE, 2),
        (STATUS, 1, WRITE, 0),
    ];
    for (i, (address, len, flags, next)) in (0u64..).zip(inner) {
        let descriptor = RawDescriptor::from(Descriptor::new(address, len, flags, next));
        let at = GuestAddress(table + 16 * i);
        bench.requests.memory.write_obj(descriptor, at).unwrap();
    }
    bench.driver.describe(5, table, 48, INDIRECT, 0);
    bench.driver.offer(5);
    bench.requests.serve();
    assert_eq!(bench.driver.given_back(), [(5, 513)]);
    assert_eq!(bench.get(DATA, 512), [1; 512]);
}

#[rstest]
#[case::flush(VIRTIO_BLK_T_FLUSH, &[], (OK, 1))]
#[case::serial(VIRTIO_BLK_T_GET_ID, &[(DATA, 20, true)], (OK, 21))]
#[case::part_of_the_serial(VIRTIO_BLK_T_GET_ID, &[(DATA, 3, true)], (OK, 4))]
#[case::more_than_the_serial(VIRTIO_BLK_T_GET_ID, &[(DATA, 30, true)], (OK, 20))]
#[case::discard(VIRTIO_BLK_T_DISCARD, &[(DATA, 16, false)], (UNSUPP, 1))]
#[case::zeroes(VIRTIO_BLK_T_WRITE_ZEROES, &[(DATA, 16, false)], (UNSUPP, 1))]
#[case::unheard_of(u32::MAX, &[], (UNSUPP, 1))]
fn other_requests(#[case] kind: u32, #[case] data: &[Piece], #[case] answer: (u8, u32)) {
    let mut bench = Bench::new(false);
    let before = bench.image();
    assert_eq!(bench.request(kind, 0, data), answer);
    assert_eq!(bench.image(), before);
    if kind == VIRTIO_BLK_T_GET_ID {
        let room = usize::try_from(data[0].1).unwrap().min(20);
        let serial = b"a serial number of 2";
        assert_eq!(bench.get(DATA, 30)[..room], serial[..room]);
        assert_eq!(bench.get(DATA, 30)[room..], vec![0; 30 - room]);
    }
}

#[rstest]
#[case::behind_the_end(8, 512)]
#[case::over_the_end(7, 1024)]
#[case::far_behind(1 << 60, 512)]
#[case::overflow(u64::MAX, 512)]
#[case::half_a_sector(0, 256)]
#[case::and_a_byte(0, 513)]
fn what_is_not_on_the_disk_fails(#[case] sector: u64, #[case] len: u32) {
    let mut bench = Bench::new(false);
    let before = bench.image();
    bench.put(DATA, &[0xab; 1024]);
    let out = bench.request(VIRTIO_BLK_T_OUT, sector, &[(DATA, len, false)]);
    assert_eq!(out, (IOERR, 1));
    assert_eq!(bench.image(), before);
    let input = bench.request(VIRTIO_BLK_T_IN, sector, &[(DATA, len, true)]);
    // Nothing was written from the front on.
    assert_eq!(input, (IOERR, 0));
    assert_eq!(bench.get(DATA, 1024), [0xab; 1024]);
    assert_eq!(bench.complaints(), "");
}

#[test]
fn a_readonly_disk_is_not_written() {
    let mut bench = Bench::new(true);
    let before = bench.image();
    let out = bench.request(VIRTIO_BLK_T_OUT, 0, &[(DATA, 512, false)]);
    assert_eq!(out, (IOERR, 1));
    assert_eq!(bench.image(), before);
    let input = bench.request(VIRTIO_BLK_T_IN, 0, &[(DATA, 512, true)]);
    assert_eq!(input, (OK, 513));
}

#[rstest]
#[case::no_header(&[(HEADER, 15, false), (STATUS, 1, true)], "header")]
#[case::nothing_to_read(&[(STATUS, 100, true)], "header")]
#[case::no_status(&[(HEADER, 16, false), (STATUS, 1, false)], "status")]
#[case::empty_status(&[(HEADER, 16, false), (STATUS, 0, true)], "status")]
#[case::read_after_write(
    &[(HEADER, 16, false), (STATUS, 1, true), (DATA, 512, false)],
    "to be read after"
)]
#[case::outside(
    &[(HEADER, 16, false), (MEMORY as u64, 512, true), (STATUS, 1, true)],
    "outside of guest memory"
)]
#[case::over_the_end(
    &[(HEADER, 16, false), (MEMORY as u64 - 511, 512, true), (STATUS, 1, true)],
    "outside of guest memory"
)]
#[case::address_overflow(
    &[(HEADER, 16, false), (u64::MAX - 511, 1024, true), (STATUS, 1, true)],
    "outside of guest memory"
)]
#[case::header_outside(&[(u64::MAX, 16, false), (STATUS, 1, true)], "outside of guest memory")]
#[case::status_outside(&[(HEADER, 16, false), (1 << 40, 1, true)], "outside of guest memory")]
fn a_request_without_an_answer_stops_the_queue(#[case] pieces: &[Piece], #[case] why: &str) {
    let mut bench = Bench::new(false);
    bench.header(VIRTIO_BLK_T_IN, 0);
    bench.driver.submit(pieces);
    bench.assert_broken(why);
}

#[rstest]
#[case::loops(|d: &mut Driver| {
    d.describe(0, HEADER, 16, NEXT, 1);
    d.describe(1, DATA, 512, NEXT | WRITE, 1);
    d.offer(0);
}, "endless")]
#[case::leaves_the_table(|d: &mut Driver| {
    d.describe(0, HEADER, 16, NEXT, SIZE);
    d.offer(0);
}, "broken")]
#[case::head_outside_of_the_table(|d: &mut Driver| d.offer(SIZE), "broken")]
#[case::too_far_ahead(|d: &mut Driver| d.set_avail_index(SIZE + 1), "available ring index")]
#[case::backwards(|d: &mut Driver| d.set_avail_index(u16::MAX), "available ring index")]
#[case::indirect_outside(|d: &mut Driver| {
    d.describe(0, 1 << 40, 48, INDIRECT, 0);
    d.offer(0);
}, "broken")]
#[case::indirect_of_an_odd_length(|d: &mut Driver| {
    d.describe(0, DATA, 47, INDIRECT, 0);
    d.offer(0);
}, "broken")]
#[case::indirect_empty(|d: &mut Driver| {
    d.describe(0, DATA, 0, INDIRECT, 0);
    d.offer(0);
}, "broken")]
#[case::indirect_in_indirect(|d: &mut Driver| {
    d.describe(0, TABLE, 16, INDIRECT, 0);
    d.offer(0);
}, "broken")]
#[case::over_4_gib(|d: &mut Driver| {
    d.describe(0, HEADER, 16, NEXT, 1);
    d.describe(1, DATA, u32::MAX, WRITE, 0);
    d.offer(0);
}, "broken")]
fn a_broken_queue_is_left_alone(#[case] break_it: fn(&mut Driver), #[case] why: &str) {
    let mut bench = Bench::new(false);
    bench.header(VIRTIO_BLK_T_IN, 0);
    break_it(&mut bench.driver);
    bench.assert_broken(why);
}

#[test]
fn an_image_that_shrinks_fails_and_is_complained_about() {
    let mut bench = Bench::new(false);
    let file = File::options()
        .write(true)
        .open(bench.image.path())
        .unwrap();
    file.set_len(700).unwrap();
    let answer = bench.request(VIRTIO_BLK_T_IN, 1, &[(DATA, 512, true)]);
    assert_eq!(answer, (IOERR, 0));
    assert!(
        bench
            .complaints()
            .contains("blk test: the image can't be read")
    );
    assert!(!bench.requests.interrupt.is_broken());
}

#[test]
fn a_full_host_fails_the_request() {
    let image = NamedTempFile::new().unwrap();
    let mut bench = Bench::on(image, false);
    bench.requests.disk.file = File::options().write(true).open("/dev/full").unwrap();
    bench.requests.disk.sectors = 8;
    let answer = bench.request(VIRTIO_BLK_T_OUT, 0, &[(DATA, 512, false)]);
    assert_eq!(answer, (IOERR, 1));
    assert!(
        bench.complaints().contains("No space left"),
        "{}",
        bench.complaints()
    );
    let flush = bench.request(VIRTIO_BLK_T_FLUSH, 0, &[]);
    assert_eq!(flush, (IOERR, 1));
}

#[test]
fn more_requests_than_the_queue_holds_come_back_by_the_kick() {
    let mut bench = Bench::new(false);
    bench.header(VIRTIO_BLK_T_FLUSH, 0);
    for _ in 0..SIZE {
        bench
            .driver
            .submit(&[(HEADER, 16, false), (STATUS, 1, true)]);
    }
    bench.requests.serve();
    assert_eq!(bench.driver.given_back().len(), usize::from(SIZE));
    assert_eq!(bench.requests.queue.kick.read().unwrap(), 1);
    bench.requests.serve();
    assert!(bench.requests.queue.kick.read().is_err());
}

#[test]
fn a_notification_is_served_once() {
    let Bench {
        image: _image,
        mut driver,
        requests,
    } = Bench::new(false);
    let kick = requests.queue.kick.try_clone().unwrap();
    let mut manager = EventManager::new().unwrap();
    manager.add_subscriber(requests);
    for _ in 0..3 {
        driver.submit(&[(HEADER, 16, false), (STATUS, 1, true)]);
        kick.write(1).unwrap();
        testing::settle(&mut manager);
        assert_eq!(driver.given_back().len(), 1);
    }
}

#[rstest]
#[case(false, false, true)]
#[case(false, true, true)]
#[case(true, false, true)]
#[case(true, true, false)]
fn two_guests_do_not_share_an_image(
    #[case] first: bool,
    #[case] second: bool,
    #[case] refused: bool,
) {
    let image = image(1);
    let held = Blk::open(image.path(), "first", first).unwrap();
    let other = Blk::open(image.path(), "second", second);
    assert_eq!(other.is_err(), refused);
    if let Err(error) = other {
        assert!(matches!(error, ImageError::InUse { .. }));
        let path = image.path().to_str().unwrap();
        assert!(error.to_string().contains(path));
    }
    drop(held);
    Blk::open(image.path(), "second", second).unwrap();
}

#[test]
fn an_image_that_is_missing_is_named() {
    let error = Blk::open(Path::new("/nonexistent/image"), "x", false).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/image: "));
}

#[rstest]
#[case::writable(false, 0)]
#[case::readonly(true, 1 << VIRTIO_BLK_F_RO)]
fn the_driver_sees(#[case] readonly: bool, #[case] bit: u64) {
    let mut image = image(8);
    image.write_all(b"not a sector").unwrap();
    let blk = Blk::open(image.path(), "s", readonly).unwrap();
    assert_eq!(blk.features(), config::FEATURES | bit);
    assert_eq!(blk.name(), "blk s");
    let mut space = [0xff; 32];
    blk.read_config(0, &mut space);
    assert_eq!(space[..8], 8u64.to_le_bytes());
    assert_eq!(space[12..16], 254u32.to_le_bytes());
    assert_eq!(space[20..24], 512u32.to_le_bytes());
    assert_eq!(space[24..], [0; 8]);
    let mut byte = [0xff; 1];
    blk.read_config(u64::MAX, &mut byte);
    assert_eq!(byte, [0]);
}

/// With the thread: a request before the start, one by a kick, a stop, a
/// start again with the queue as it was.
#[test]
fn a_device_works_stops_and_goes_on() {
    let image = image(8);
    let memory = testing::memory(MEMORY);
    let mut driver = Driver::new(&memory, TABLE, SIZE);
    let mut blk = Blk::open(image.path(), "s", false).unwrap();
    let interrupt = Arc::new(Interrupt::new().unwrap());
    let kick = EventFd::new(libc::EFD_NONBLOCK).unwrap();
    let mut header = [0; 16];
    header[0] = u8::try_from(VIRTIO_BLK_T_FLUSH).unwrap();
    memory.write_slice(&header, GuestAddress(HEADER)).unwrap();
    let mut queue = driver.queue();
    for _ in 0..3 {
        driver.submit(&[(HEADER, 16, false), (STATUS, 1, true)]);
        blk.activate(Activation {
            memory: memory.clone(),
            features: config::FEATURES,
            queues: vec![ActiveQueue {
                queue,
                kick: kick.try_clone().unwrap(),
            }],
            interrupt: Arc::clone(&interrupt),
            complaints: Complaints::default(),
        })
        .unwrap();
        testing::await_readable(interrupt.line());
        assert_eq!(driver.given_back().len(), 1);
        driver.submit(&[(HEADER, 16, false), (STATUS, 1, true)]);
        kick.write(1).unwrap();
        testing::await_readable(interrupt.line());
        assert_eq!(driver.given_back().len(), 1);
        queue = blk.deactivate().unwrap().pop().unwrap();
        assert!(blk.deactivate().unwrap().is_empty());
    }
}
