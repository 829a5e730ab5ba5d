//! The three parts of a split virtqueue (virtio 1.2, section 2.7).

use virtio_queue::{Queue, QueueT};

/// Bytes of a descriptor, and of what the rings have beside their elements.
const DESCRIPTOR: usize = 16;
const RING_OVERHEAD: usize = 6;
const AVAIL_ELEMENT: usize = 2;
const USED_ELEMENT: usize = 8;

/// A part of a queue, where the driver says that it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// For messages.
    pub what: &'static str,
    /// Guest physical address.
    pub at: u64,
    /// Bytes.
    pub len: usize,
}

/// Descriptor table, available ring and used ring of a queue.
pub(super) fn parts(queue: &Queue) -> [Part; 3] {
    let size = usize::from(queue.size());
    [
        Part {
            what: "descriptor table",
            at: queue.desc_table(),
            len: DESCRIPTOR * size,
        },
        Part {
            what: "available ring",
            at: queue.avail_ring(),
            len: RING_OVERHEAD + AVAIL_ELEMENT * size,
        },
        Part {
            what: "used ring",
            at: queue.used_ring(),
            len: RING_OVERHEAD + USED_ELEMENT * size,
        },
    ]
}
