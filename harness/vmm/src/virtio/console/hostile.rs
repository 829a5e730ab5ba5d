//! The port against drivers that write nonsense, and against the dice.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use proptest::collection::vec;
use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::*;
use crate::complaints::Complaints;
use crate::memory::Memory;
use crate::virtio::device::ActiveQueue;
use crate::virtio::interrupt::Interrupt;
use crate::virtio::testing::hostile::{Mischief, SIZE, length, mischief};
use crate::virtio::testing::{Driver, guarded_memory};

const MEMORY: u64 = 0x1_0000;
const LEN: usize = 0x1_0000;
/// The four queues lie in front of it.
const RINGS_END: u64 = 0x5000;
const MESSAGES: u64 = 0x5000;
const DATA: u64 = 0x6000;
const KNOWN: &[u64] = &[
    0x1000,
    0x2000,
    0x3000,
    0x4000,
    MESSAGES,
    MESSAGES + 8,
    DATA,
    DATA + 500,
];

static SHARED: LazyLock<Mutex<Memory>> = LazyLock::new(|| Mutex::new(guarded_memory(LEN)));

fn drivers(memory: &Memory) -> [Driver; QUEUES] {
    [1, 2, 3, 4].map(|page| Driver::new(memory, 0x1000 * page, SIZE))
}

fn serving(memory: &Memory, drivers: &[Driver; QUEUES]) -> (Serving, UnixStream) {
    let (host, socket) = UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    let serving = Serving {
        port: Port {
            device: "console hostile".to_owned(),
            name: "hostile".to_owned(),
            stream: Stream::new(socket),
            state: ConsoleState::default(),
            multiport: true,
            complaints: Complaints::default(),
        },
        memory: memory.clone(),
        interrupt: Arc::new(Interrupt::new().unwrap()),
        queues: drivers.each_ref().map(|driver| ActiveQueue {
            queue: driver.queue(),
            kick: EventFd::new(libc::EFD_NONBLOCK).unwrap(),
        }),
    };
    (serving, host)
}

fn heard(mut host: &UnixStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match host.read_to_end(&mut heard) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
        _ => heard,
    }
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    (1..3000u32, any::<u32>()).prop_map(|(len, seed)| {
        let byte = |i: u32| (i ^ seed).wrapping_mul(0x9e37_79b1).to_le_bytes()[3];
        (0..len).map(byte).collect()
    })
}

/// Requests in order, then mischief: for each queue.
type Round = [(Vec<(u64, u32)>, Mischief); QUEUES];

fn round() -> impl Strategy<Value = Round> {
    let place = proptest::sample::select(&[MESSAGES, MESSAGES + 8, MESSAGES + 16, DATA][..]);
    let requests = vec((place, length()), 0..4);
    let queue = (requests, mischief(KNOWN, MEMORY));
    proptest::array::uniform4(queue)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nonsense_touches_only_what_the_guest_offered(
        rounds in vec(round(), 1..3),
        messages in vec(any::<[u8; 8]>(), 3),
        to_guest in vec(any::<u8>(), 0..2000),
        open in any::<bool>(),
    ) {
        let memory = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        memory.write_slice(&vec![0; LEN], GuestAddress(0)).unwrap();
        for (at, message) in (MESSAGES..).step_by(8).zip(&messages) {
            // Ports, events and values that are mostly near those there are.
            let near = message.map(|byte| if byte < 200 { byte % 8 } else { byte });
            let near = [near[0] / 4, 0, 0, 0, near[4], 0, near[6], 0];
            let message = if message[7] < 200 { &near } else { message };
            memory.write_slice(message, GuestAddress(at)).unwrap();
        }
        let mut drivers = drivers(&memory);
        let (mut serving, mut host) = serving(&memory, &drivers);
        if open {
            serving.port.state.guest_open = true;
        }
        host.write_all(&to_guest).unwrap();
        // Rings aside, each byte may be written that a request or a scribble
        // offers.
        let mut offered = Some(vec![(0x1000, RINGS_END)]);
        for round in &rounds {
            for (index, (requests, mischief)) in round.iter().enumerate() {
                let to_device = index % 2 == 1;
                for &(address, len) in requests {
                    drivers[index].submit(&[(address, len, !to_device)]);
                    let end = address + u64::from(len);
                    if let Some(offered) = &mut offered && !to_device {
                        offered.push((address, end));
                    }
                }
                mischief.do_to(&mut drivers[index]);
                offered = offered.zip(mischief.writes()).map(|(a, b)| [a, b].concat());
            }
            // The device may write new descriptors, if it is offered a table.
            let on_rings = |&(start, end): &(u64, u64)| start < RINGS_END && end > 0x1000;
            if offered.as_ref().is_some_and(|offered| offered[1..].iter().any(on_rings)) {
                offered = None;
            }
            let mut before = vec![0; LEN];
            memory.read_slice(&mut before, GuestAddress(0)).unwrap();
            serving.serve();
            let mut after = vec![0; LEN];
            memory.read_slice(&mut after, GuestAddress(0)).unwrap();
            let Some(offered) = &offered else { continue };
            for (at, (a, b)) in (0..).zip(before.iter().zip(&after)) {
                let may = offered.iter().any(|&(start, end)| (start..end).contains(&at));
                prop_assert!(a == b || may, "{at:#x} was not offered");
            }
        }
        let complaints = serving.port.complaints.text();
        prop_assert!(!complaints.contains("Bad address"), "{}", complaints);
        // Never more than there is.
        prop_assert!(heard(&host).len() <= 2 * 16 * LEN * 4);
    }

    #[test]
    fn every_byte_arrives_once_and_in_order(
        to_guest in vec(message(), 0..8),
        to_host in vec(message(), 0..8),
        rooms in vec(0..3000u32, 1..16),
    ) {
        let memory = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        memory.write_slice(&vec![0; LEN], GuestAddress(0)).unwrap();
        let mut drivers = drivers(&memory);
        let (mut serving, mut host) = serving(&memory, &drivers);
        serving.port.state.guest_open = true;
        let (mut guest_heard, mut host_heard) = (Vec::new(), Vec::new());
        let mut rooms = rooms.iter().cycle();
        let mut room = 1;
        let mut outgoing = to_host.iter();
        let mut incoming = to_guest.iter();
        let total: usize = to_guest.iter().map(Vec::len).sum();
        let mut under_way = false;
        // A byte at a time at the worst.
        for round in 0.. {
            prop_assert!(round < 30_000, "{} bytes of {total}", guest_heard.len());
            let mut idle = true;
            if let Some(bytes) = incoming.next() {
                host.write_all(bytes).unwrap();
                idle = false;
            }
            if let Some(bytes) = outgoing.next() {
                memory.write_slice(bytes, GuestAddress(0xa000)).unwrap();
                let len = u32::try_from(bytes.len()).unwrap();
                drivers[TRANSMIT].submit(&[(0xa000, len, false)]);
                idle = false;
            }
            if !under_way {
                // At least a byte now and then, or it never ends.
                room = rooms.next().map_or(1, |room| *room).max(u32::from(idle));
                drivers[RECEIVE].submit(&[(0x6000, room, true)]);
                under_way = true;
            }
            serving.serve();
            for (_, len) in drivers[RECEIVE].given_back() {
                prop_assert!(len <= room);
                let mut bytes = vec![0; usize::try_from(len).unwrap()];
                memory.read_slice(&mut bytes, GuestAddress(0x6000)).unwrap();
                guest_heard.extend(bytes);
                under_way = false;
            }
            host_heard.extend(heard(&host));
            if idle && guest_heard.len() == total {
                break;
            }
        }
        prop_assert!(guest_heard == to_guest.concat(), "to the guest");
        prop_assert!(host_heard == to_host.concat(), "to the host");
        prop_assert_eq!(serving.port.complaints.text(), "");
    }
}
