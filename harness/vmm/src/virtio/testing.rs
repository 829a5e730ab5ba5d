//! The driver's side of a virtqueue, for tests.

pub mod hostile;

use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use event_manager::{EventManager, MutEventSubscriber};
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::{Descriptor, VirtqUsedElem};
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestRegionMmap, MmapRegion};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;

use crate::memory::Memory;

pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

/// A piece of a request: address, length, whether the device writes it.
pub type Piece = (u64, u32, bool);

/// Guest memory from address 0 on.
pub fn memory(len: usize) -> Memory {
    Memory::from_ranges(&[(GuestAddress(0), len)]).unwrap()
}

/// Memory with a page on either side that nobody may touch: whoever does ends
/// the program, and a system call that is told to fails with EFAULT.
pub fn guarded_memory(len: usize) -> Memory {
    const PAGE: usize = 4096;
    let whole = len + 2 * PAGE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, where the kernel likes; nothing is replaced.
    let start = unsafe { libc::mmap(null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: one page into a mapping that is two pages longer.
    let inner = unsafe { start.byte_add(PAGE) };
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: these pages are ours, and nothing refers to them yet.
    assert_eq!(unsafe { libc::mprotect(inner, len, prot) }, 0);
    // SAFETY: they are mapped with this length and these flags, and stay so
    // until the program ends.
    let region = unsafe { MmapRegion::build_raw(inner.cast(), len, prot, flags) }.unwrap();
    let region = GuestRegionMmap::new(region, GuestAddress(0)).unwrap();
    Memory::from_regions(vec![region]).unwrap()
}

/// A queue's driver, with its table and rings one behind the other.
pub struct Driver {
    memory: Memory,
    base: u64,
    size: u16,
    next: u16,
    offered: u16,
    seen: u16,
}

impl Driver {
    pub fn new(memory: &Memory, base: u64, size: u16) -> Self {
        Driver {
            memory: memory.clone(),
            base,
            size,
            next: 0,
            offered: 0,
            seen: 0,
        }
    }

    /// The descriptor that the next request begins with.
    pub fn next_index(&self) -> u16 {
        self.next
    }

    pub fn table(&self) -> u64 {
        self.base
    }

    pub fn avail(&self) -> u64 {
        self.base + 16 * u64::from(self.size)
    }

    pub fn used(&self) -> u64 {
        (self.avail() + 6 + 2 * u64::from(self.size)).next_multiple_of(4)
    }

    /// The queue as a device gets it.
    pub fn queue(&self) -> Queue {
        let mut queue = Queue::new(self.size).unwrap();
        queue
            .try_set_desc_table_address(GuestAddress(self.table()))
            .unwrap();
        queue
            .try_set_avail_ring_address(GuestAddress(self.avail()))
            .unwrap();
        queue
            .try_set_used_ring_address(GuestAddress(self.used()))
            .unwrap();
        queue.set_ready(true);
        queue
    }

    pub fn describe(&self, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let descriptor = RawDescriptor::from(Descriptor::new(address, len, flags, next));
        let at = self.table() + 16 * u64::from(index);
        self.memory.write_obj(descriptor, GuestAddress(at)).unwrap();
    }

    /// Offers a chain that begins at `head`.
    pub fn offer(&mut self, head: u16) {
        let slot = u64::from(self.offered % self.size);
        let at = GuestAddress(self.avail() + 4 + 2 * slot);
        self.memory.write_obj(head, at).unwrap();
        self.offered = self.offered.wrapping_add(1);
        self.set_avail_index(self.offered);
    }

    pub fn set_avail_index(&self, index: u16) {
        let at = GuestAddress(self.avail() + 2);
        self.memory.write_obj(index, at).unwrap();
    }

    /// Offers a request of these pieces, and says where its chain begins.
    pub fn submit(&mut self, pieces: &[Piece]) -> u16 {
        let head = self.next;
        for (i, &(address, len, writable)) in pieces.iter().enumerate() {
            let index = self.next;
            self.next = (self.next + 1) % self.size;
            let more = if i + 1 < pieces.len() { NEXT } else { 0 };
            let write = if writable { WRITE } else { 0 };
            self.describe(index, address, len, more | write, self.next);
        }
        self.offer(head);
        head
    }

    /// Chains that the device gave back since the last call, with their length.
    pub fn given_back(&mut self) -> Vec<(u32, u32)> {
        let index: u16 = self.memory.read_obj(GuestAddress(self.used() + 2)).unwrap();
        let mut back = Vec::new();
        while self.seen != index {
            let slot = u64::from(self.seen % self.size);
            let at = GuestAddress(self.used() + 4 + 8 * slot);
            let element: VirtqUsedElem = self.memory.read_obj(at).unwrap();
            back.push((element.id(), element.len()));
            self.seen = self.seen.wrapping_add(1);
        }
        back
    }
}

/// Waits until an eventfd is written, and empties it.
pub fn await_readable(event: &EventFd) {
    let epoll = Epoll::new().unwrap();
    let wanted = EpollEvent::new(EventSet::IN, 0);
    epoll
        .ctl(ControlOperation::Add, event.as_raw_fd(), wanted)
        .unwrap();
    let ready = epoll.wait(10_000, &mut [EpollEvent::default()]).unwrap();
    assert_eq!(ready, 1, "nothing came");
    event.read().unwrap();
}

/// Serves events until there are none, and fails if there always are.
pub fn settle<S: MutEventSubscriber>(manager: &mut EventManager<S>) {
    for _ in 0..10 {
        if manager.run_with_timeout(0).unwrap() == 0 {
            return;
        }
    }
    panic!("a busy loop");
}
