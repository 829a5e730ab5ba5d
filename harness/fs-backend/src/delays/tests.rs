//! A device whose queue lies in memory: what is late, what overtakes it, and
//! what becomes of it when the queue is taken back.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use lookback_wire::rules::{LookupRule, Rules};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tempfile::TempDir;
use vhost_user_backend::VhostUserBackend;
use virtiofsd::fuse::InHeader;
use virtiofsd::passthrough::{Config, PassthroughFs};
use vm_memory::{ByteValued, Bytes, GuestAddress, GuestAddressSpace, GuestMemoryAtomic};
use vmm_sys_util::epoll::EventSet;

use super::*;
use crate::device::Device;
use crate::opcode;
use crate::service::Service;
use crate::shared::Shared;

const TABLE: u64 = 0;
const AVAIL: u64 = 0x1000;
const USED: u64 = 0x2000;
/// One buffer of this size for each request, another for its reply.
const BUFFERS: u64 = 0x4000;
const STRIDE: u64 = 0x400;
const SIZE: u16 = 16;
/// Longer than any test waits for what must not come.
const NEVER_MS: u64 = 3_600_000;
/// Long enough for a request to overtake, short enough to wait for.
const SOON_MS: u64 = 300;

struct Guest {
    device: Device<PassthroughFs>,
    vring: VringMutex<AtomicMemory>,
    memory: AtomicMemory,
    call: OwnedFd,
    requests: u16,
    share: TempDir,
}

impl Guest {
    /// `late` is answered after so many milliseconds, `soon` at once.
    fn new(delay_ms: u64) -> Self {
        let share = tempfile::tempdir().unwrap();
        for name in ["late", "soon"] {
            std::fs::create_dir(share.path().join(name)).unwrap();
        }
        let fs = PassthroughFs::new(Config {
            root_dir: share.path().to_str().unwrap().to_owned(),
            ..Config::default()
        })
        .unwrap();
        let rules = Rules::from(vec![LookupRule {
            path: "late".into(),
            delay_ms: Some(delay_ms),
            ..LookupRule::default()
        }]);
        let service = Service::new(fs, Arc::new(Shared::new(rules, 0)), true);
        let ranges = [(GuestAddress(0), 0x10_0000)];
        let memory = GuestMemoryAtomic::new(Memory::from_ranges(&ranges).unwrap());
        let device = Device::new(service, None);
        device.update_memory(memory.clone()).unwrap();
        let vring = VringMutex::new(memory.clone(), SIZE).unwrap();
        vring.set_queue_size(SIZE);
        vring.set_queue_info(TABLE, AVAIL, USED).unwrap();
        vring.set_queue_ready(true);
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
        let call = event.as_fd().try_clone_to_owned().unwrap();
        vring.set_call(Some(File::from(OwnedFd::from(event))));
        let mut guest = Self {
            device,
            vring,
            memory,
            call,
            requests: 0,
            share,
        };
        let mut init = [0; 64];
        for (word, value) in init.chunks_exact_mut(4).zip([7_u32, 41, 131_072, 0, 0]) {
            word.copy_from_slice(&value.to_ne_bytes());
        }
        guest.send(opcode::INIT, 0, &init);
        assert_eq!(guest.wait_for(1), [0]);
        guest
    }

    /// Puts a request into the queue and kicks.
    fn send(&mut self, opcode: u32, nodeid: u64, body: &[u8]) {
        let memory = self.memory.memory();
        let slot = u64::from(self.requests);
        let request = BUFFERS + 2 * slot * STRIDE;
        let header = InHeader {
            len: u32::try_from(size_of::<InHeader>() + body.len()).unwrap(),
            opcode,
            unique: slot,
            nodeid,
            ..InHeader::default()
        };
        let bytes = [header.as_slice(), body].concat();
        memory.write_slice(&bytes, GuestAddress(request)).unwrap();
        let head = 2 * self.requests;
        let len = u32::try_from(bytes.len()).unwrap();
        self.descriptor(head, request, len, 1);
        self.descriptor(head + 1, request + STRIDE, 192, 2);
        let ring = AVAIL + 4 + 2 * slot;
        memory.write_obj(head, GuestAddress(ring)).unwrap();
        self.requests += 1;
        let index = GuestAddress(AVAIL + 2);
        memory.write_obj(self.requests, index).unwrap();
        let vrings = [self.vring.clone()];
        self.device
            .handle_event(0, EventSet::IN, &vrings, 0)
            .unwrap();
    }

    fn descriptor(&self, index: u16, address: u64, len: u32, flags: u16) {
        let at = TABLE + 16 * u64::from(index);
        let bytes = [
            &address.to_le_bytes()[..],
            &len.to_le_bytes(),
            &flags.to_le_bytes(),
            &(index + 1).to_le_bytes(),
        ]
        .concat();
        let memory = self.memory.memory();
        memory.write_slice(&bytes, GuestAddress(at)).unwrap();
    }

    fn lookup(&mut self, name: &str) {
        self.send(opcode::LOOKUP, 1, &[name.as_bytes(), b"\0"].concat());
    }

    /// The requests in the used ring, by number.
    fn used(&self) -> Vec<u32> {
        let memory = self.memory.memory();
        let count: u16 = memory.read_obj(GuestAddress(USED + 2)).unwrap();
        (0..u64::from(count))
            .map(|i| {
                let at = GuestAddress(USED + 4 + 8 * i);
                memory.read_obj::<u32>(at).unwrap() / 2
            })
            .collect()
    }

    /// Waits for interrupts until `count` requests are in the used ring.
    fn wait_for(&self, count: usize) -> Vec<u32> {
        loop {
            let used = self.used();
            if used.len() >= count {
                return used;
            }
            let mut fds = [PollFd::new(self.call.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, 20_000_u16).unwrap(), 1, "{used:?}");
            let mut taken = [0; 8];
            nix::unistd::read(&self.call, &mut taken).unwrap();
        }
    }

    fn error(&self, request: u64) -> i32 {
        let at = GuestAddress(BUFFERS + (2 * request + 1) * STRIDE + 4);
        self.memory.memory().read_obj(at).unwrap()
    }

    fn waiting(&self) -> usize {
        self.device.delays.line.state().waiting.len()
    }
}

#[test]
fn a_late_reply_keeps_nobody_waiting() {
    let mut guest = Guest::new(SOON_MS);
    let start = Instant::now();
    guest.lookup("late");
    guest.lookup("soon");
    guest.lookup("late");
    guest.lookup("nothing");
    // Those that are not late were done before the kick returned.
    assert_eq!(guest.used(), [0, 2, 4]);
    assert_eq!(guest.wait_for(5), [0, 2, 4, 1, 3]);
    assert!(start.elapsed() >= Duration::from_millis(SOON_MS));
    let errors: Vec<_> = (1..5).map(|request| guest.error(request)).collect();
    assert_eq!(errors, [0, 0, 0, -libc::ENOENT]);
    assert!(guest.share.path().exists());
}

#[test]
fn a_reset_ends_the_wait() {
    let mut guest = Guest::new(NEVER_MS);
    guest.lookup("late");
    assert_eq!(guest.waiting(), 1);
    guest.device.reset_device();
    assert_eq!(guest.waiting(), 0);
    assert_eq!(guest.used(), [0]);
}

#[test]
fn a_queue_taken_back_gets_no_reply() {
    let mut guest = Guest::new(SOON_MS);
    guest.lookup("late");
    guest.vring.set_queue_ready(false);
    let due = Instant::now() + Duration::from_millis(SOON_MS);
    // Started again with its memory, as a front end does.
    guest.device.update_memory(guest.memory.clone()).unwrap();
    assert_eq!(guest.waiting(), 0);
    guest.vring.set_queue_ready(true);
    guest.lookup("late");
    assert_eq!(guest.wait_for(2), [0, 2]);
    assert!(Instant::now() >= due);
}

#[test]
fn a_queue_that_is_stopped_when_a_reply_is_due_gets_none() {
    let mut guest = Guest::new(SOON_MS);
    guest.lookup("late");
    guest.vring.set_queue_ready(false);
    while guest.waiting() > 0 {
        thread::yield_now();
    }
    // The line is free again only after the reply was dealt with.
    drop(guest.device.delays.line.state());
    assert_eq!(guest.used(), [0]);
}

#[test]
fn a_device_that_goes_takes_its_replies_along() {
    let mut guest = Guest::new(NEVER_MS);
    guest.lookup("late");
    let line = Arc::clone(&guest.device.delays.line);
    drop(guest);
    assert!(line.state().ended && line.state().waiting.is_empty());
    // Its thread has ended and let go.
    assert_eq!(Arc::strong_count(&line), 1);
}

#[test]
fn a_running_queue_keeps_its_replies_when_memory_changes() {
    let mut guest = Guest::new(SOON_MS);
    guest.lookup("late");
    guest.device.update_memory(guest.memory.clone()).unwrap();
    assert_eq!(guest.wait_for(2), [0, 1]);
    assert_eq!(guest.error(1), 0);
}
