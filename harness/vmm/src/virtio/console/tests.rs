use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use event_manager::{EventManager, SubscriberOps};
use rstest::rstest;
use vm_memory::{Bytes, GuestAddress};

use super::bench::*;
use super::*;
use crate::complaints::Complaints;
use crate::virtio::device::ActiveQueue;
use crate::virtio::interrupt::Interrupt;
use crate::virtio::testing::{await_readable, settle};

#[test]
fn the_handshake_is_the_one_linux_expects() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.guest.offer_room(CONTROL_RECEIVE, ROOM);
    }
    bench.serving.serve();
    assert_eq!(bench.guest.take(CONTROL_RECEIVE), [] as [Vec<u8>; 0]);

    bench.guest.control(u32::MAX, DEVICE_READY, 1);
    bench.serving.serve();
    assert_eq!(
        bench.guest.take(CONTROL_RECEIVE),
        [control(DEVICE_ADD, 1, b"")]
    );
    bench.guest.control(0, PORT_READY, 1);
    bench.serving.serve();
    assert_eq!(
        bench.guest.take(CONTROL_RECEIVE),
        [control(PORT_NAME, 1, b"agent"), control(PORT_OPEN, 1, b"")]
    );
    bench.serving.serve();
    assert_eq!(bench.guest.take(CONTROL_RECEIVE), [] as [Vec<u8>; 0]);
    // Linux waits for each of its messages to come back.
    assert_eq!(bench.guest.take(CONTROL_TRANSMIT).len(), 2);
    assert_eq!(bench.complaints(), "");
}

#[test]
fn the_answers_wait_for_room() {
    let mut bench = Bench::new();
    bench.guest.control(u32::MAX, DEVICE_READY, 1);
    bench.guest.control(0, PORT_READY, 1);
    bench.serving.serve();
    for expected in [
        control(DEVICE_ADD, 1, b""),
        control(PORT_NAME, 1, b"agent"),
        control(PORT_OPEN, 1, b""),
    ] {
        bench.guest.offer_room(CONTROL_RECEIVE, ROOM);
        bench.serving.serve();
        assert_eq!(bench.guest.take(CONTROL_RECEIVE), [expected]);
    }
}

#[rstest]
#[case::half_a_message(&[0, 0, 0, 0, 0, 0, 1], "half a control message")]
#[case::no_such_port(&[1, 0, 0, 0, 3, 0, 1, 0], "event 3 for port 1")]
#[case::no_such_event(&[0, 0, 0, 0, 99, 0, 1, 0], "event 99 for port 0")]
#[case::device_fails(&[0, 0, 0, 0, 0, 0, 0, 0], "can't use the device")]
#[case::port_fails(&[0, 0, 0, 0, 3, 0, 0, 0], "can't use the port")]
fn odd_control_messages_are_complained_about(#[case] message: &[u8], #[case] complaint: &str) {
    let mut bench = Bench::open();
    let before = bench.serving.port.state;
    bench.guest.send(CONTROL_TRANSMIT, message);
    bench.serving.serve();
    assert!(
        bench.complaints().contains(complaint),
        "{}",
        bench.complaints()
    );
    assert_eq!(bench.guest.take(CONTROL_TRANSMIT).len(), 1);
    assert_eq!(bench.serving.port.state, before);
    assert!(!bench.serving.interrupt.is_broken());
}

#[test]
fn no_room_for_a_control_message_breaks_the_device() {
    let mut bench = Bench::new();
    bench.guest.offer_room(CONTROL_RECEIVE, 7);
    bench.guest.control(u32::MAX, DEVICE_READY, 1);
    bench.serving.serve();
    assert!(bench.serving.interrupt.is_broken());
    assert!(
        bench
            .complaints()
            .contains("queue 2: the guest has no room")
    );
}

#[test]
fn nothing_is_taken_from_the_socket_before_the_guest_opens() {
    let mut bench = Bench::open();
    bench.guest.control(0, PORT_OPEN, 0);
    bench.serving.serve();
    bench.guest.offer_room(RECEIVE, ROOM);
    bench.host.write_all(b"hello").unwrap();
    bench.serving.serve();
    assert_eq!(bench.guest.take(RECEIVE), [] as [Vec<u8>; 0]);
    bench.guest.control(0, PORT_OPEN, 1);
    bench.serving.serve();
    assert_eq!(bench.guest.take(RECEIVE), [b"hello"]);
}

#[test]
fn bytes_wait_in_the_socket_for_room() {
    let mut bench = Bench::open();
    bench.host.write_all(b"0123456789").unwrap();
    bench.serving.serve();
    for expected in [&b"012"[..], b"345", b"678", b"9"] {
        bench.guest.offer_room(RECEIVE, 3);
        bench.serving.serve();
        assert_eq!(bench.guest.take(RECEIVE), [expected]);
    }
    // A buffer that nothing came for stays the device's.
    bench.guest.offer_room(RECEIVE, 3);
    bench.serving.serve();
    assert_eq!(bench.guest.take(RECEIVE), [] as [Vec<u8>; 0]);
    bench.host.write_all(b"x").unwrap();
    bench.serving.serve();
    assert_eq!(bench.guest.take(RECEIVE), [b"x"]);
}

/// An empty read means the end; an empty buffer does not.
#[test]
fn a_buffer_without_room_is_given_back() {
    let mut bench = Bench::open();
    bench.host.write_all(b"x").unwrap();
    bench.guest.offer_room(RECEIVE, 0);
    bench.guest.offer_room(RECEIVE, 1);
    bench.serving.serve();
    assert_eq!(bench.guest.take(RECEIVE), [&b""[..], b"x"]);
    assert!(bench.serving.port.stream.open);
}

#[test]
fn the_end_of_the_stream_closes_the_port_after_the_last_byte() {
    let mut bench = Bench::open();
    bench.host.write_all(b"last").unwrap();
    bench.host.shutdown(Shutdown::Write).unwrap();
    bench.guest.offer_room(RECEIVE, 3);
    bench.serving.serve();
    assert_eq!(bench.guest.take(RECEIVE), [b"las"]);
    assert_eq!(bench.guest.take(CONTROL_RECEIVE), [] as [Vec<u8>; 0]);
    bench.guest.offer_room(RECEIVE, 3);
    bench.guest.offer_room(RECEIVE, 3);
    bench.serving.serve();
    assert_eq!(bench.guest.take(RECEIVE), [b"t"]);
    assert_eq!(
        bench.guest.take(CONTROL_RECEIVE),
        [control(PORT_OPEN, 0, b"")]
    );
    // The other direction goes on.
    bench.guest.send(TRANSMIT, b"still here");
    bench.serving.serve();
    assert_eq!(bench.host_hears(), b"still here");
}

#[test]
fn a_host_that_is_gone_does_not_hold_the_guest_up() {
    let mut bench = Bench::open();
    drop(std::mem::replace(
        &mut bench.host,
        UnixStream::pair().unwrap().0,
    ));
    bench.guest.send(TRANSMIT, b"anyone?");
    bench.guest.send(TRANSMIT, b"no?");
    bench.serving.serve();
    assert_eq!(bench.guest.take(TRANSMIT).len(), 2);
    assert_eq!(bench.complaints(), "");
}

#[test]
fn a_full_socket_keeps_the_guests_buffers() {
    let mut bench = Bench::open();
    let sent = noise(0x8_0000);
    let start = GuestAddress(0x8_0000);
    bench.guest.memory.write_slice(&sent, start).unwrap();
    for i in 0..SIZE {
        let piece = start.0 + 0x8000 * u64::from(i);
        bench.guest.drivers[TRANSMIT].submit(&[(piece, 0x8000, false)]);
    }
    let mut heard = Vec::new();
    let mut rounds = 0;
    while heard.len() < sent.len() {
        bench.serving.serve();
        heard.extend(bench.host_hears());
        rounds += 1;
        assert!(rounds < 1000, "{} bytes of {}", heard.len(), sent.len());
    }
    assert!(heard == sent);
    assert!(rounds > 1, "the socket took {} bytes at once", sent.len());
    let back = bench.guest.drivers[TRANSMIT].given_back();
    assert_eq!(back.len(), usize::from(SIZE));
    assert_eq!(bench.serving.port.state.sent, 0);
}

/// Bytes for a guest without room, then bytes for a host that does not read.
#[test]
fn a_side_that_has_to_wait_keeps_nobody_busy() {
    let Bench {
        mut guest,
        mut host,
        serving,
    } = Bench::open();
    host.write_all(b"hello").unwrap();
    let mut manager = EventManager::new().unwrap();
    let id = manager.add_subscriber(serving);
    settle(&mut manager);
    for _ in 0..SIZE {
        guest.drivers[TRANSMIT].submit(&[(0x8_0000, 0x8_0000, false)]);
    }
    guest.kicks[TRANSMIT].write(1).unwrap();
    settle(&mut manager);
    assert!(guest.drivers[TRANSMIT].given_back().len() < usize::from(SIZE));
    guest.offer_room(RECEIVE, ROOM);
    guest.kicks[RECEIVE].write(1).unwrap();
    settle(&mut manager);
    assert_eq!(guest.take(RECEIVE), [b"hello"]);
    // With bytes unread, which makes it a reset.
    drop(host);
    guest.offer_room(RECEIVE, ROOM);
    guest.kicks[RECEIVE].write(1).unwrap();
    settle(&mut manager);
    assert_eq!(guest.take(CONTROL_RECEIVE), [control(PORT_OPEN, 0, b"")]);
    let serving = manager.remove_subscriber(id).unwrap();
    assert_eq!(serving.port.complaints.text(), "");
}

#[test]
fn without_ports_it_is_a_plain_console() {
    let mut bench = Bench::new();
    bench.serving.port.multiport = false;
    bench.guest.offer_room(RECEIVE, ROOM);
    bench.guest.send(TRANSMIT, b"out");
    bench.host.write_all(b"in").unwrap();
    bench.serving.serve();
    assert_eq!(bench.guest.take(RECEIVE), [b"in"]);
    assert_eq!(bench.host_hears(), b"out");
}

#[test]
fn the_driver_sees_one_port() {
    let console = Console::new("agent", UnixStream::pair().unwrap().0).unwrap();
    let mut space = [0xff; 12];
    console.read_config(0, &mut space);
    assert_eq!(space, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let mut end = [0xff; 2];
    console.read_config(u64::MAX, &mut end);
    assert_eq!(end[0], 0);
    assert_eq!(console.name(), "console agent");
    // Linux takes two queues more than it has ports, times two.
    assert_eq!(console.queue_sizes().len(), 4);
}

fn activation(guest: &Guest, queues: [ActiveQueue; QUEUES]) -> (Activation, Arc<Interrupt>) {
    let interrupt = Arc::new(Interrupt::new().unwrap());
    let activation = Activation {
        memory: guest.memory.clone(),
        features: FEATURES & !(1 << VIRTIO_RING_F_EVENT_IDX),
        queues: queues.into(),
        interrupt: Arc::clone(&interrupt),
        complaints: Complaints::default(),
    };
    (activation, interrupt)
}

/// Noise that repeats only after 16 MiB.
fn noise(len: usize) -> Vec<u8> {
    let mut x: u32 = 1;
    let next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        x.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// With the thread: 4 MiB each way at the same time, through buffers of a
/// page, woken up by interrupts and kicks alone.
#[test]
fn megabytes_flow_both_ways() {
    let mut guest = Guest::new();
    let (mut host, socket) = UnixStream::pair().unwrap();
    let mut console = Console::new("agent", socket).unwrap();
    let (activation, interrupt) = activation(&guest, guest.active());
    for _ in 0..8 {
        guest.offer_room(CONTROL_RECEIVE, ROOM);
    }
    guest.control(u32::MAX, DEVICE_READY, 1);
    guest.control(0, PORT_READY, 1);
    guest.control(0, PORT_OPEN, 1);
    let data = noise(4 << 20);
    let to_guest = data.clone();
    let mut writer = host.try_clone().unwrap();
    let writer = thread::spawn(move || writer.write_all(&to_guest).unwrap());
    let expected = data.len();
    let reader = thread::spawn(move || {
        let mut heard = vec![0; expected];
        host.read_exact(&mut heard).unwrap();
        (heard, host)
    });

    for _ in 0..SIZE {
        guest.offer_room(RECEIVE, ROOM);
    }
    console.activate(activation).unwrap();
    let mut heard = Vec::new();
    let mut pages = data.chunks(ROOM as usize);
    let mut under_way = 0;
    let mut rest = pages.len();
    while heard.len() < data.len() || rest > 0 {
        while under_way < SIZE
            && let Some(page) = pages.next()
        {
            guest.send(TRANSMIT, page);
            under_way += 1;
        }
        guest.kicks[TRANSMIT].write(1).unwrap();
        await_readable(interrupt.line());
        for bytes in guest.take(RECEIVE) {
            heard.extend(bytes);
            guest.offer_room(RECEIVE, ROOM);
        }
        guest.kicks[RECEIVE].write(1).unwrap();
        let back = guest.take(TRANSMIT).len();
        under_way -= u16::try_from(back).unwrap();
        rest -= back;
    }
    writer.join().unwrap();
    let (host_heard, _host) = reader.join().unwrap();
    assert!(heard == data, "to the guest");
    assert!(host_heard == data, "to the host");
    console.deactivate().unwrap();
}

/// The driver's interrupt comes when the device has found the socket empty, so
/// what comes then has to wake it up.
#[test]
fn the_socket_wakes_the_device_up() {
    let mut guest = Guest::new();
    let (mut host, socket) = UnixStream::pair().unwrap();
    let mut console = Console::new("agent", socket).unwrap();
    let (activation, interrupt) = activation(&guest, guest.active());
    guest.control(0, PORT_OPEN, 1);
    for _ in 0..4 {
        guest.offer_room(RECEIVE, ROOM);
    }
    host.write_all(&[0]).unwrap();
    console.activate(activation).unwrap();
    for byte in 0..4 {
        let mut heard = guest.take(RECEIVE);
        while heard.is_empty() {
            await_readable(interrupt.line());
            heard = guest.take(RECEIVE);
        }
        assert_eq!(heard, [[byte]]);
        host.write_all(&[byte + 1]).unwrap();
    }
}

/// A snapshot in the middle of a buffer: the new stream gets the rest.
#[test]
fn a_restored_console_goes_on_with_a_new_stream() {
    let mut guest = Guest::new();
    let (host, socket) = UnixStream::pair().unwrap();
    let mut console = Console::new("agent", socket).unwrap();
    let (first, interrupt) = activation(&guest, guest.active());
    for _ in 0..3 {
        guest.offer_room(CONTROL_RECEIVE, ROOM);
    }
    guest.control(u32::MAX, DEVICE_READY, 1);
    guest.control(0, PORT_READY, 1);
    guest.control(0, PORT_OPEN, 1);
    let data = noise(0x8_0000);
    let all = GuestAddress(0x8_0000);
    guest.memory.write_slice(&data, all).unwrap();
    guest.drivers[TRANSMIT].submit(&[(all.0, 0x8_0000, false)]);
    console.activate(first).unwrap();
    let mut told = guest.take(CONTROL_RECEIVE).len();
    while told < 3 {
        await_readable(interrupt.line());
        told += guest.take(CONTROL_RECEIVE).len();
    }
    let queues = console.deactivate().unwrap();
    let state = console.save();
    drop(console);
    let mut heard = Vec::new();
    (&host).read_to_end(&mut heard).unwrap();
    assert!(!heard.is_empty() && heard.len() < data.len());

    let (mut host, socket) = UnixStream::pair().unwrap();
    let mut console = Console::new("agent", socket).unwrap();
    assert!(console.restore(&DeviceState::None).is_err());
    console.restore(&state).unwrap();
    let active = queues.into_iter().zip(&guest.kicks).map(|(queue, kick)| {
        let kick = kick.try_clone().unwrap();
        ActiveQueue { queue, kick }
    });
    let active = active.collect::<Vec<_>>().try_into().unwrap();
    let (second, interrupt) = activation(&guest, active);
    console.activate(second).unwrap();
    host.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut rest = vec![0; data.len() - heard.len()];
    host.read_exact(&mut rest).unwrap();
    heard.extend(rest);
    assert!(heard == data);
    // The handshake is not repeated, and the port is still open.
    host.write_all(b"hello again").unwrap();
    guest.offer_room(RECEIVE, ROOM);
    guest.kicks[RECEIVE].write(1).unwrap();
    await_readable(interrupt.line());
    while guest.drivers[RECEIVE].given_back().is_empty() {
        await_readable(interrupt.line());
    }
    assert_eq!(guest.take(CONTROL_RECEIVE), [] as [Vec<u8>; 0]);
    console.deactivate().unwrap();
    assert_eq!(
        console.save(),
        DeviceState::Console(ConsoleState {
            device_ready: true,
            port_ready: true,
            guest_open: true,
            told_open: Some(true),
            told_name: true,
            told_port: true,
            sent: 0
        })
    );
    console.reset();
    assert_eq!(
        console.save(),
        DeviceState::Console(ConsoleState::default())
    );
}

#[test]
fn a_port_that_was_closed_is_open_again_after_a_restore() {
    let mut bench = Bench::open();
    bench.serving.port.state.told_open = Some(false);
    bench.serving.serve();
    assert_eq!(
        bench.guest.take(CONTROL_RECEIVE),
        [control(PORT_OPEN, 1, b"")]
    );
}
