//! The tests.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lookback_vmm::{Config, Disk, End, Error, Machine, Streams, layout};
use tempfile::TempDir;
use vm_memory::{Bytes, GuestAddress};

use crate::guest::{self, DATA, Step};

pub const TESTS: &[(&str, fn())] = &[
    ("a_reset_ends_the_guest", a_reset_ends_the_guest),
    (
        "a_triple_fault_tells_its_place",
        a_triple_fault_tells_its_place,
    ),
    (
        "a_guest_in_a_loop_can_be_stopped",
        a_guest_in_a_loop_can_be_stopped,
    ),
    ("dropping_it_ends_the_guest", dropping_it_ends_the_guest),
    (
        "boot_parameters_and_tables_are_where_they_should_be",
        layout_is_as_documented,
    ),
    ("an_empty_port_floats_high", an_empty_port_floats_high),
    (
        "every_transport_says_what_it_is",
        every_transport_says_what_it_is,
    ),
    (
        "configuration_space_is_the_devices",
        configuration_space_is_the_devices,
    ),
    ("a_doorbell_and_an_interrupt", a_doorbell_and_an_interrupt),
    (
        "a_queue_outside_memory_breaks_the_device_alone",
        a_queue_outside_memory,
    ),
    ("a_snapshot_goes_on_twice", a_snapshot_goes_on_twice),
    ("what_is_missing_is_named", what_is_missing_is_named),
];

/// Virtio-mmio registers (virtio 1.2, 4.2.2).
const MAGIC: u64 = 0x000;
const DEVICE_ID: u64 = 0x008;
const DEVICE_FEATURES: u64 = 0x010;
const DEVICE_FEATURES_SEL: u64 = 0x014;
const DRIVER_FEATURES: u64 = 0x020;
const DRIVER_FEATURES_SEL: u64 = 0x024;
const QUEUE_SEL: u64 = 0x030;
const QUEUE_NUM: u64 = 0x038;
const QUEUE_READY: u64 = 0x044;
const QUEUE_NOTIFY: u64 = 0x050;
const STATUS: u64 = 0x070;
const QUEUE_DESC: u64 = 0x080;
const QUEUE_DRIVER: u64 = 0x090;
const QUEUE_DEVICE: u64 = 0x0a0;
const CONFIG: u64 = 0x100;
/// The disk is the second device, after the control port.
const DISK: u64 = layout::VIRTIO_MMIO + 0x1000;

struct Bench {
    dir: TempDir,
    config: Config,
}

/// What came of a guest.
struct Outcome {
    end: End,
    said: Vec<u8>,
    complaints: String,
}

fn bench(steps: &[Step], data: &[u8]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    guest::write(&path("guest"), steps, data);
    std::fs::write(path("initramfs"), b"no archive, but 26 bytes..").unwrap();
    std::fs::write(path("disk"), vec![0xd5; 512 * 9]).unwrap();
    let config = Config {
        kernel: path("guest"),
        initramfs: path("initramfs"),
        cmdline: "one two".to_owned(),
        memory_mib: 16,
        cpus: 2,
        control_port: "test".to_owned(),
        disks: vec![Disk {
            path: path("disk"),
            serial: "serial-number".to_owned(),
            readonly: false,
        }],
        shares: Vec::new(),
    };
    Bench { dir, config }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn streams() -> (Streams, UnixStream, UnixStream) {
    let (console, serial) = UnixStream::pair().unwrap();
    let (agent, control) = UnixStream::pair().unwrap();
    (Streams { serial, control }, console, agent)
}

impl Bench {
    fn boot(&self) -> (Machine, UnixStream, UnixStream) {
        let (streams, console, agent) = streams();
        let machine = Machine::boot(&self.config, streams).unwrap();
        (machine, console, agent)
    }

    fn run(&self) -> Outcome {
        let (machine, mut console, _agent) = self.boot();
        let mut said = Vec::new();
        console.read_to_end(&mut said).unwrap();
        Outcome {
            end: machine.wait(soon()).unwrap(),
            said,
            complaints: machine.complaints(),
        }
    }
}

fn run(steps: &[Step]) -> Outcome {
    bench(steps, &[]).run()
}

/// Four bytes at a time.
fn words(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

fn a_reset_ends_the_guest() {
    let outcome = run(&[Step::Out(layout::SERIAL_PORT, b'!')]);
    assert_eq!(outcome.end, End::Reset);
    assert_eq!(outcome.said, b"!");
    assert_eq!(outcome.complaints, "");
}

fn a_triple_fault_tells_its_place() {
    let outcome = run(&[Step::Fault]);
    let End::TripleFault { cpu: 0, what } = outcome.end else {
        panic!("{:?}", outcome.end);
    };
    assert!(what.contains("triple fault at rip="), "{what}");
}

/// A guest that says one byte, then waits for what never comes.
fn endless() -> Bench {
    bench(
        &[Step::Out(layout::SERIAL_PORT, b'>'), Step::Await(DATA, 1)],
        &[0; 4],
    )
}

fn a_guest_in_a_loop_can_be_stopped() {
    let (mut machine, mut console, mut agent) = endless().boot();
    let mut byte = [0];
    console.read_exact(&mut byte).unwrap();
    assert_eq!(machine.wait(Instant::now()), None);
    machine.stop();
    assert_eq!(machine.wait(Instant::now()), Some(End::Stopped));
    machine.stop();
    // Both streams are closed.
    assert_eq!(console.read(&mut byte).unwrap(), 0);
    assert_eq!(agent.read(&mut byte).unwrap(), 0);
}

fn dropping_it_ends_the_guest() {
    let bench = endless();
    let (machine, mut console, _agent) = bench.boot();
    let mut byte = [0];
    console.read_exact(&mut byte).unwrap();
    drop(machine);
    assert_eq!(console.read(&mut byte).unwrap(), 0);
    // The disk's lock is gone with it.
    assert_eq!(bench.boot().0.wait(Instant::now()), None);
}

fn layout_is_as_documented() {
    const INITRAMFS: usize = 26;
    let length = 4096;
    let outcome = run(&[
        Step::Dump(layout::BOOT_PARAMS, length),
        Step::Dump(layout::CMDLINE, 256),
        Step::Dump(layout::MP_TABLE, 32),
        Step::Dump((16 << 20) - 4096, 26),
    ]);
    assert_eq!(outcome.end, End::Reset, "{}", outcome.complaints);
    let (params, rest) = outcome.said.split_at(4096);
    let (cmdline, rest) = rest.split_at(256);
    let (mp_table, initramfs) = rest.split_at(32);
    // Documentation/arch/x86/boot.rst and zero-page.rst give the offsets.
    assert_eq!(&params[0x202..0x206], b"HdrS");
    assert_eq!(params[0x210], 0xff);
    assert_eq!(words(&params[0x218..0x220]), [(16 << 20) - 4096, 26]);
    assert_eq!(
        words(&params[0x228..0x22c]),
        [u32::try_from(layout::CMDLINE).unwrap()]
    );
    assert_eq!(params[0x1e8], 3, "entries of the memory map");
    assert_eq!(&initramfs[..INITRAMFS], b"no archive, but 26 bytes..");
    let end = cmdline.iter().position(|byte| *byte == 0).unwrap();
    let text = std::str::from_utf8(&cmdline[..end]).unwrap();
    assert!(text.starts_with("console=ttyS0 reboot=k "), "{text}");
    assert!(
        text.contains(" virtio_mmio.device=0x1000@0xd0000000:5 "),
        "{text}"
    );
    assert!(
        text.contains(" virtio_mmio.device=0x1000@0xd0001000:6 "),
        "{text}"
    );
    assert!(text.ends_with(" one two"), "{text}");
    assert!(mp_table.starts_with(b"_MP_"));
    assert_eq!(&mp_table[16..20], b"PCMP");
}

fn an_empty_port_floats_high() {
    let outcome = run(&[Step::In(0x1234), Step::In(layout::SERIAL_PORT + 5)]);
    assert_eq!(outcome.end, End::Reset);
    // Nobody; then a line status that says "ready to send".
    assert_eq!(outcome.said[0], 0xff);
    assert_eq!(outcome.said[1] & 0x60, 0x60);
}

fn every_transport_says_what_it_is() {
    let mut steps = Vec::new();
    for index in 0..3 {
        let base = layout::VIRTIO_MMIO + index * 0x1000;
        steps.extend([0, 4, 8].map(|register| Step::Read(base + MAGIC + register)));
    }
    let outcome = run(&steps);
    let magic = u32::from_le_bytes(*b"virt");
    let nobody = u32::MAX;
    let expected = [magic, 2, 3, magic, 2, 2, nobody, nobody, nobody];
    assert_eq!(words(&outcome.said), expected);
}

fn configuration_space_is_the_devices() {
    let outcome = run(&[
        Step::Read(DISK + DEVICE_ID),
        Step::Read(DISK + CONFIG),
        Step::Read(DISK + CONFIG + 4),
        // Far behind its end.
        Step::Read(DISK + 0xff8),
    ]);
    assert_eq!(words(&outcome.said), [2, 9, 0, 0]);
}

/// A disk with its queue of two at [`DATA`], `ring` away from where it should
/// be; up to `DRIVER_OK`.
fn driver(ring: u32) -> Vec<Step> {
    let data = u32::try_from(DATA).unwrap() + ring;
    let set = |register, value| Step::Write(DISK + register, value);
    vec![
        set(STATUS, 0),
        set(STATUS, 3),
        set(DEVICE_FEATURES_SEL, 1),
        Step::Read(DISK + DEVICE_FEATURES),
        // VIRTIO_F_VERSION_1, and nothing else.
        set(DRIVER_FEATURES_SEL, 1),
        set(DRIVER_FEATURES, 1),
        set(STATUS, 11),
        Step::Read(DISK + STATUS),
        set(QUEUE_SEL, 0),
        set(QUEUE_NUM, 4),
        set(QUEUE_DESC, data),
        set(QUEUE_DRIVER, data + 0x100),
        set(QUEUE_DEVICE, data + 0x200),
        set(QUEUE_READY, 1),
        set(STATUS, 15),
        Step::Read(DISK + STATUS),
    ]
}

/// A request for the disk's serial number: three descriptors, header at 0x300,
/// answer at 0x400, status at 0x500.
fn request() -> Vec<u8> {
    let mut data = vec![0; 0x600];
    let mut put = |at: usize, bytes: &[u8]| data[at..at + bytes.len()].copy_from_slice(bytes);
    for (index, (at, length, flags, next)) in [
        (0x300, 16_u32, 1_u16, 1_u16),
        (0x400, 20, 3, 2),
        (0x500, 1, 2, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let slot = index * 16;
        put(slot, &(DATA + at).to_le_bytes());
        put(slot + 8, &length.to_le_bytes());
        put(slot + 12, &flags.to_le_bytes());
        put(slot + 14, &next.to_le_bytes());
    }
    // The driver's ring: one entry, descriptor 0.
    put(0x102, &1_u16.to_le_bytes());
    // VIRTIO_BLK_T_GET_ID
    put(0x300, &8_u32.to_le_bytes());
    put(0x500, &[0xff]);
    data
}

/// I/O APIC and local APIC, by their registers.
const IOREGSEL: u64 = layout::IOAPIC as u64;
const IOWIN: u64 = IOREGSEL + 0x10;
const SPURIOUS: u64 = layout::LOCAL_APIC as u64 + 0xf0;
const REQUESTS: u64 = layout::LOCAL_APIC as u64 + 0x200;
/// The disk's interrupt is pin 6; its vector is of the test's choosing.
const PIN: u32 = 6;
const VECTOR: u32 = 0x45;

fn a_doorbell_and_an_interrupt() {
    let mut steps = vec![
        Step::Write(SPURIOUS, 0x1ff),
        Step::Write(IOREGSEL, 0x10 + 2 * PIN + 1),
        Step::Write(IOWIN, 0),
        Step::Write(IOREGSEL, 0x10 + 2 * PIN),
        Step::Write(IOWIN, VECTOR),
    ];
    steps.extend(driver(0));
    steps.extend([
        Step::Write(DISK + QUEUE_NOTIFY, 0),
        // Interrupts are off: the vector stays requested.
        Step::Await(REQUESTS + u64::from(VECTOR / 32) * 0x10, 1 << (VECTOR % 32)),
        Step::Dump(DATA + 0x400, 20),
        Step::Dump(DATA + 0x500, 1),
        Step::Dump(DATA + 0x202, 2),
    ]);
    let outcome = bench(&steps, &request()).run();
    assert_eq!(outcome.end, End::Reset, "{}", outcome.complaints);
    let (driver, answer) = outcome.said.split_at(12);
    assert_eq!(words(driver)[1..], [11, 15]);
    assert_eq!(&answer[..20], b"serial-number\0\0\0\0\0\0\0");
    assert_eq!(
        answer[20..],
        [0, 1, 0],
        "status, then the used ring's index"
    );
}

fn a_queue_outside_memory() {
    let mut steps = driver(0x7000_0000);
    steps.push(Step::Out(layout::SERIAL_PORT, b'.'));
    let outcome = bench(&steps, &request()).run();
    assert_eq!(outcome.end, End::Reset);
    let status = words(&outcome.said[..12])[2];
    assert_eq!(status & 64, 64, "DEVICE_NEEDS_RESET");
    assert_eq!(outcome.said[12..], *b".");
    assert!(
        outcome.complaints.contains("queue 0"),
        "{}",
        outcome.complaints
    );
}

fn a_snapshot_goes_on_twice() {
    let mut steps = driver(0);
    steps.extend([
        Step::Out(layout::SERIAL_PORT, b'>'),
        Step::Await(DATA + 0x5fc, 1),
        Step::Write(DISK + QUEUE_NOTIFY, 0),
        Step::Await(DATA + 0x200, 0xffff_0000),
        Step::Dump(DATA + 0x400, 13),
    ]);
    // The guest waits for a word that only another copy of its memory has.
    let bench = bench(&steps, &request());
    let (mut machine, mut console, _agent) = bench.boot();
    let mut said = [0; 13];
    console.read_exact(&mut said).unwrap();
    assert_eq!(said[12], b'>');
    let snapshot = machine.snapshot().unwrap();
    assert_eq!(machine.wait(Instant::now()), None, "it goes on");
    machine.stop();
    assert!(matches!(machine.snapshot(), Err(Error::Snapshot(_))));
    let word = GuestAddress(DATA + 0x5fc);
    snapshot.memory().write_obj(1_u32, word).unwrap();
    for _ in 0..2 {
        let (streams, mut console, _agent) = streams();
        let machine = Machine::restore(&snapshot, &bench.config, streams).unwrap();
        let mut said = Vec::new();
        console.read_to_end(&mut said).unwrap();
        assert_eq!(
            machine.wait(soon()),
            Some(End::Reset),
            "{}",
            machine.complaints()
        );
        assert_eq!(said, b"serial-number");
    }
    let mut other = bench.config.clone();
    other.cpus = 1;
    let error = Machine::restore(&snapshot, &other, streams().0).unwrap_err();
    assert!(matches!(error, Error::Snapshot(_)), "{error}");
}

fn what_is_missing_is_named() {
    let refusal = |spoil: fn(&mut Config, &Path)| {
        let mut bench = bench(&[], &[]);
        spoil(&mut bench.config, bench.dir.path());
        Machine::boot(&bench.config, streams().0)
            .unwrap_err()
            .to_string()
    };
    for (spoil, named) in [
        (
            (|config, _| config.kernel = "/no/such/kernel".into()) as fn(&mut Config, &Path),
            "/no/such/kernel",
        ),
        (
            |config, _| config.kernel = config.disks[0].path.clone(),
            "disk",
        ),
        (
            |config, _| config.initramfs = "/no/such/cpio".into(),
            "/no/such/cpio",
        ),
        (
            |config, _| {
                std::fs::File::create(&config.initramfs)
                    .unwrap()
                    .set_len(17 << 20)
                    .unwrap();
            },
            "do not fit",
        ),
        (
            |config, _| config.cmdline = "x".repeat(2048),
            "command line",
        ),
        (|config, _| config.cpus = 9, "9 vCPUs"),
        (
            |config, _| config.disks = vec![config.disks[0].clone(); 16],
            "17 virtio devices",
        ),
        (
            |config, _| config.disks.push(config.disks[0].clone()),
            "disk",
        ),
    ] {
        let said = refusal(spoil);
        assert!(said.contains(named), "{named}: {said}");
    }
    // Nothing of those attempts is left that would hold the disk.
    let bench = bench(&[], &[]);
    let (machine, mut console, mut agent) = bench.boot();
    console.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(machine.wait(soon()), Some(End::Reset));
    assert!(agent.write_all(b"x").is_err(), "the control port is closed");
}
