//! The least of a guest: memory, two queues and a driver that sends FUSE
//! requests one at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lookback_vmm::complaints::Complaints;
use lookback_vmm::memory::{self, Memory};
use lookback_vmm::virtio::{Activation, ActiveQueue, Interrupt};
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::poll::PollContext;

pub const HIPRIO: usize = 0;
pub const REQUESTS: usize = 1;
pub const VERSION_1: u64 = 1 << 32;
pub const EVENT_IDX: u64 = 1 << 29;

const SIZE: u16 = 16;
const AVAIL: u64 = 0x1000;
const USED: u64 = 0x2000;
const BUFFERS: u64 = 0x4000;

const FUSE_LOOKUP: u32 = 1;
const FUSE_FORGET: u32 = 2;
const FUSE_INIT: u32 = 26;
const FUSE_ROOT_ID: u64 = 1;
const OUT_HEADER: usize = 16;

pub struct Guest {
    pub memory: Memory,
    pub interrupt: Arc<Interrupt>,
    pub complaints: Complaints,
    kicks: [EventFd; 2],
    features: u64,
}

impl Guest {
    pub fn new(features: u64) -> Self {
        Guest {
            memory: memory::allocate(4).unwrap(),
            interrupt: Arc::new(Interrupt::new().unwrap()),
            complaints: Complaints::default(),
            kicks: [0, 1].map(|_| EventFd::new(libc::EFD_NONBLOCK).unwrap()),
            features,
        }
    }

    /// Both queues as a driver sets them up after a reset.
    pub fn fresh_queues(&self) -> Vec<Queue> {
        [HIPRIO, REQUESTS]
            .map(|index| {
                let mut queue = Queue::new(512).unwrap();
                let at = u32::try_from(base(index)).unwrap();
                queue.set_size(SIZE);
                queue.set_desc_table_address(Some(at), Some(0));
                queue.set_avail_ring_address(Some(at + 0x1000), Some(0));
                queue.set_used_ring_address(Some(at + 0x2000), Some(0));
                queue.set_ready(true);
                self.memory
                    .write_slice(&[0; 0x3000], GuestAddress(base(index)))
                    .unwrap();
                queue
            })
            .into()
    }

    pub fn activation(&self, queues: Vec<Queue>) -> Activation {
        let kicks = self.kicks.iter().map(|kick| kick.try_clone().unwrap());
        Activation {
            memory: self.memory.clone(),
            features: self.features,
            queues: queues
                .into_iter()
                .zip(kicks)
                .map(|(queue, kick)| ActiveQueue { queue, kick })
                .collect(),
            interrupt: Arc::clone(&self.interrupt),
            complaints: self.complaints.clone(),
        }
    }

    /// Makes a request available: one buffer to read, one to write if there
    /// is room for a reply.
    pub fn offer(&self, queue: usize, request: &[u8], room: u32) {
        let at = base(queue);
        let buffer = at + BUFFERS;
        let len = u32::try_from(request.len()).unwrap();
        self.write(buffer, request);
        let next = u16::from(room > 0);
        self.write(at, &descriptor(buffer, len, next, 1));
        self.write(at + 16, &descriptor(buffer + 0x1000, room, 2, 0));
        let count = self.u16(at + AVAIL + 2);
        // The chain's head is always descriptor 0, and so is its ring entry.
        let entry = at + AVAIL + 4 + 2 * u64::from(count % SIZE);
        self.write(entry, &[0; 2]);
        // Wants to be told of the next one used (`used_event`).
        let used_event = at + AVAIL + 4 + 2 * u64::from(SIZE);
        self.write(used_event, &self.u16(at + USED + 2).to_le_bytes());
        let idx = GuestAddress(at + AVAIL + 2);
        let count = count.wrapping_add(1).to_le();
        self.memory.store(count, idx, Ordering::Release).unwrap();
    }

    pub fn kick(&self, queue: usize) {
        self.kicks[queue].write(1).unwrap();
    }

    /// Takes a kick nobody has seen yet, as a backend does that then stops.
    pub fn lose_kick(&self, queue: usize) {
        self.kicks[queue].read().unwrap();
    }

    /// Waits for the interrupt and returns the reply to the last request.
    pub fn reply(&self, queue: usize) -> Vec<u8> {
        self.wait_for_interrupt();
        let at = base(queue);
        let used = self.u16(at + USED + 2);
        assert_eq!(used, self.u16(at + AVAIL + 2), "used and available");
        let entry = at + USED + 4 + 8 * u64::from(used.wrapping_sub(1) % SIZE);
        let [head, len] = [0, 4].map(|n| self.memory.read_obj::<u32>(GuestAddress(entry + n)));
        assert_eq!(head.unwrap(), 0);
        let mut reply = vec![0; usize::try_from(len.unwrap()).unwrap()];
        let buffer = GuestAddress(at + BUFFERS + 0x1000);
        self.memory.read_slice(&mut reply, buffer).unwrap();
        reply
    }

    pub fn wait_for_interrupt(&self) {
        assert!(self.is_interrupted_within(Duration::from_secs(20)));
        self.interrupt.line().read().unwrap();
    }

    pub fn is_interrupted_within(&self, limit: Duration) -> bool {
        let context = PollContext::new().unwrap();
        context.add(self.interrupt.line(), ()).unwrap();
        let events = context.wait_timeout(limit).unwrap();
        events.iter_readable().count() > 0
    }

    /// FUSE_INIT, as a kernel that can do next to nothing sends it.
    pub fn init(&self) {
        let mut body = [0; 64];
        for (word, value) in body.chunks_exact_mut(4).zip([7_u32, 41, 0x2_0000]) {
            word.copy_from_slice(&value.to_ne_bytes());
        }
        self.offer(REQUESTS, &request(FUSE_INIT, 0, &body), 80);
        self.kick(REQUESTS);
        let reply = self.reply(REQUESTS);
        assert_eq!(error(&reply), 0);
        assert_eq!(u32_at(&reply, OUT_HEADER), 7, "major");
    }

    pub fn offer_lookup(&self, name: &str) {
        let body = [name.as_bytes(), b"\0"].concat();
        self.offer(REQUESTS, &request(FUSE_LOOKUP, FUSE_ROOT_ID, &body), 144);
    }

    /// Looks a name up in the root of the share.
    pub fn lookup(&self, name: &str) -> Result<Found, i32> {
        self.offer_lookup(name);
        self.kick(REQUESTS);
        self.found()
    }

    /// The reply to a LOOKUP (`struct fuse_entry_out`).
    pub fn found(&self) -> Result<Found, i32> {
        let reply = self.reply(REQUESTS);
        match error(&reply) {
            0 => Ok(Found {
                nodeid: u64_at(&reply, OUT_HEADER),
                ino: u64_at(&reply, OUT_HEADER + 40),
                size: u64_at(&reply, OUT_HEADER + 48),
            }),
            error => Err(-error),
        }
    }

    /// Sends FORGET on the high-priority queue; its buffer comes back.
    pub fn forget(&self, nodeid: u64) {
        let body = 1_u64.to_ne_bytes();
        self.offer(HIPRIO, &request(FUSE_FORGET, nodeid, &body), 0);
        self.kick(HIPRIO);
        assert_eq!(self.reply(HIPRIO), []);
    }

    /// Sets the used ring's index, as a backend does.
    pub fn set_used(&self, queue: usize, idx: u16) {
        let at = GuestAddress(base(queue) + USED + 2);
        self.memory
            .store(idx.to_le(), at, Ordering::Release)
            .unwrap();
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(at)).unwrap();
    }

    fn u16(&self, at: u64) -> u16 {
        let at = GuestAddress(at);
        u16::from_le(self.memory.load(at, Ordering::Acquire).unwrap())
    }
}

/// What a LOOKUP found.
#[derive(Debug)]
pub struct Found {
    pub nodeid: u64,
    pub ino: u64,
    pub size: u64,
}

fn base(queue: usize) -> u64 {
    0x1_0000 * (u64::try_from(queue).unwrap() + 1)
}

fn descriptor(addr: u64, len: u32, flags: u16, next: u16) -> Vec<u8> {
    let mut raw = addr.to_le_bytes().to_vec();
    raw.extend_from_slice(&len.to_le_bytes());
    raw.extend_from_slice(&flags.to_le_bytes());
    raw.extend_from_slice(&next.to_le_bytes());
    raw
}

/// `struct fuse_in_header` and what follows it.
fn request(opcode: u32, nodeid: u64, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(40 + body.len()).unwrap();
    let mut raw = [len, opcode].map(u32::to_ne_bytes).concat();
    raw.extend([7, nodeid].map(u64::to_ne_bytes).concat());
    // As root, with pid 1.
    raw.extend([0, 0, 1, 0].map(u32::to_ne_bytes).concat());
    raw.extend_from_slice(body);
    raw
}

fn error(reply: &[u8]) -> i32 {
    i32::from_ne_bytes(reply[4..8].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
