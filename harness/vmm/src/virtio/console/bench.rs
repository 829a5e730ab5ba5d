//! A guest with a driver for each queue, and a port it can be served by.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::*;
use crate::complaints::Complaints;
use crate::memory::Memory;
use crate::virtio::device::ActiveQueue;
use crate::virtio::interrupt::Interrupt;
use crate::virtio::testing::{self, Driver};

pub const MEMORY: usize = 0x10_0000;
pub const SIZE: u16 = 16;
pub const ROOM: u32 = 4096;

pub const DEVICE_READY: u16 = 0;
pub const DEVICE_ADD: u16 = 1;
pub const PORT_READY: u16 = 3;
pub const PORT_OPEN: u16 = 6;
pub const PORT_NAME: u16 = 7;

/// The guest: a driver for each queue, with a page for each descriptor.
pub struct Guest {
    pub memory: Memory,
    pub drivers: [Driver; QUEUES],
    pub kicks: [EventFd; QUEUES],
}

impl Guest {
    pub fn new() -> Self {
        let memory = testing::memory(MEMORY);
        let drivers = [0, 1, 2, 3].map(|i| Driver::new(&memory, 0x1000 * (i + 1), SIZE));
        let kicks = [(); QUEUES].map(|()| EventFd::new(libc::EFD_NONBLOCK).unwrap());
        Guest {
            memory,
            drivers,
            kicks,
        }
    }

    pub fn active(&self) -> [ActiveQueue; QUEUES] {
        [0, 1, 2, 3].map(|i| ActiveQueue {
            queue: self.drivers[i].queue(),
            kick: self.kicks[i].try_clone().unwrap(),
        })
    }

    pub fn page(queue: usize, index: u32) -> u64 {
        let queue = u64::try_from(queue).unwrap();
        0x1_0000 * (queue + 1) + u64::from(ROOM) * u64::from(index)
    }

    /// Room for the device to write to.
    pub fn offer_room(&mut self, queue: usize, len: u32) {
        let index = self.drivers[queue].next_index();
        let page = Guest::page(queue, index.into());
        self.drivers[queue].submit(&[(page, len, true)]);
    }

    pub fn send(&mut self, queue: usize, bytes: &[u8]) {
        let index = self.drivers[queue].next_index();
        let page = Guest::page(queue, index.into());
        self.memory.write_slice(bytes, GuestAddress(page)).unwrap();
        let len = u32::try_from(bytes.len()).unwrap();
        self.drivers[queue].submit(&[(page, len, false)]);
    }

    /// What the device has written since the last call, buffer by buffer.
    pub fn take(&mut self, queue: usize) -> Vec<Vec<u8>> {
        let back = self.drivers[queue].given_back().into_iter();
        back.map(|(head, len)| {
            let mut bytes = vec![0; usize::try_from(len).unwrap()];
            let page = GuestAddress(Guest::page(queue, head));
            self.memory.read_slice(&mut bytes, page).unwrap();
            bytes
        })
        .collect()
    }

    pub fn control(&mut self, port: u32, event: u16, value: u16) {
        let mut message = port.to_le_bytes().to_vec();
        message.extend(event.to_le_bytes());
        message.extend(value.to_le_bytes());
        self.send(CONTROL_TRANSMIT, &message);
    }
}

pub fn control(event: u16, value: u16, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 4];
    message.extend(event.to_le_bytes());
    message.extend(value.to_le_bytes());
    message.extend(rest);
    message
}

/// A port whose queues are served when the test says so.
pub struct Bench {
    pub guest: Guest,
    pub host: UnixStream,
    pub serving: Serving,
}

impl Bench {
    pub fn new() -> Self {
        let (host, socket) = UnixStream::pair().unwrap();
        host.set_nonblocking(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        let guest = Guest::new();
        let serving = Serving {
            port: Port {
                device: "console agent".to_owned(),
                name: "agent".to_owned(),
                stream: Stream::new(socket),
                state: ConsoleState::default(),
                multiport: true,
                complaints: Complaints::default(),
            },
            memory: guest.memory.clone(),
            interrupt: Arc::new(Interrupt::new().unwrap()),
            queues: guest.active(),
        };
        Bench {
            guest,
            host,
            serving,
        }
    }

    /// Past the handshake, with room for control messages left.
    pub fn open() -> Self {
        let mut bench = Bench::new();
        for _ in 0..8 {
            bench.guest.offer_room(CONTROL_RECEIVE, ROOM);
        }
        bench.guest.control(u32::MAX, DEVICE_READY, 1);
        bench.guest.control(0, PORT_READY, 1);
        bench.guest.control(0, PORT_OPEN, 1);
        bench.serving.serve();
        bench.guest.take(CONTROL_RECEIVE);
        bench.guest.take(CONTROL_TRANSMIT);
        bench
    }

    pub fn complaints(&self) -> String {
        self.serving.port.complaints.text()
    }

    pub fn host_hears(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        match self.host.read_to_end(&mut heard) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
            _ => heard,
        }
    }
}
