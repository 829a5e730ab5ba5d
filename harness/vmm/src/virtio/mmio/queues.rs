//! How the driver sets the queues up.

use virtio_bindings::virtio_config::{VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK};
use virtio_bindings::virtio_mmio::*;
use virtio_queue::{Error, Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemory};

use super::{MmioTransport, with_word};
use crate::memory::Memory;
use crate::virtio::rings::{Part, parts};

impl MmioTransport {
    pub(super) fn selected(&self) -> Option<&Queue> {
        self.queues.get(usize::try_from(self.queue_select).ok()?)
    }

    /// Size and addresses: to be written between `FEATURES_OK` and
    /// `DRIVER_OK`, before the queue is ready.
    pub(super) fn set_up_queue(&mut self, register: u32, value: u32) {
        let features_only = VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
        let in_time = self.status & features_only == VIRTIO_CONFIG_S_FEATURES_OK;
        let index = self.queue_select;
        let Some(queue) = self.selected_mut() else {
            return self.complain(format_args!(
                "the guest sets queue {index} up: no such queue"
            ));
        };
        if !in_time || queue.ready() {
            return self.complain(format_args!(
                "the guest sets queue {index} up before features are agreed on, or in use"
            ));
        }
        if let Err(error) = set(queue, register, value) {
            self.complain(format_args!(
                "the guest sets queue {index} up with {value:#x}: {error}"
            ));
        }
    }

    /// A driver that lets go of the device takes readiness back after a reset.
    pub(super) fn set_queue_ready(&mut self, value: u32) {
        let index = self.queue_select;
        let in_use = self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0;
        let agreed = self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0;
        match self.selected_mut() {
            Some(queue) if !in_use && (agreed || value == 0) => queue.set_ready(value != 0),
            Some(_) => self.complain(format_args!(
                "the guest makes queue {index} ready ({value}) out of turn"
            )),
            None => self.complain(format_args!(
                "the guest makes queue {index} ready: no such queue"
            )),
        }
    }

    fn selected_mut(&mut self) -> Option<&mut Queue> {
        self.queues
            .get_mut(usize::try_from(self.queue_select).ok()?)
    }
}

fn set(queue: &mut Queue, register: u32, value: u32) -> Result<(), Error> {
    let desc = |high| GuestAddress(with_word(queue.desc_table(), high, value));
    let avail = |high| GuestAddress(with_word(queue.avail_ring(), high, value));
    let used = |high| GuestAddress(with_word(queue.used_ring(), high, value));
    match register {
        VIRTIO_MMIO_QUEUE_DESC_LOW => queue.try_set_desc_table_address(desc(false)),
        VIRTIO_MMIO_QUEUE_DESC_HIGH => queue.try_set_desc_table_address(desc(true)),
        VIRTIO_MMIO_QUEUE_AVAIL_LOW => queue.try_set_avail_ring_address(avail(false)),
        VIRTIO_MMIO_QUEUE_AVAIL_HIGH => queue.try_set_avail_ring_address(avail(true)),
        VIRTIO_MMIO_QUEUE_USED_LOW => queue.try_set_used_ring_address(used(false)),
        VIRTIO_MMIO_QUEUE_USED_HIGH => queue.try_set_used_ring_address(used(true)),
        _ => queue.try_set_size(u16::try_from(value).map_err(|_| Error::InvalidSize)?),
    }
}

/// Whether a queue that is ready lies in guest memory as a whole.
///
/// # Errors
/// What of it does not.
pub(super) fn check(queue: &Queue, memory: &Memory) -> Result<(), String> {
    for Part { what, at, len } in parts(queue) {
        if !memory.check_range(GuestAddress(at), len) {
            return Err(format!(
                "its {what}, {len} bytes at {at:#x}, is not in guest memory"
            ));
        }
    }
    if queue.is_valid(memory) {
        Ok(())
    } else {
        Err("its rings reach the end of guest memory".to_owned())
    }
}
