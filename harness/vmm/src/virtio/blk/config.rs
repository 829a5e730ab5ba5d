//! What the driver can know of the disk (virtio 1.2, sections 5.2.3, 5.2.4).

use virtio_bindings::virtio_blk::*;
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

use super::request::SECTOR;

/// What is offered, writable or not.
pub(super) const FEATURES: u64 = 1 << VIRTIO_F_VERSION_1
    | 1 << VIRTIO_RING_F_INDIRECT_DESC
    | 1 << VIRTIO_RING_F_EVENT_IDX
    | 1 << VIRTIO_BLK_F_SEG_MAX
    | 1 << VIRTIO_BLK_F_BLK_SIZE
    | 1 << VIRTIO_BLK_F_FLUSH;

/// Fields of `struct virtio_blk_config` that the features make valid.
const CAPACITY: usize = 0;
const SEG_MAX: usize = 12;
const BLK_SIZE: usize = 20;
const LEN: usize = 24;

/// The configuration space.
#[derive(Debug)]
pub(super) struct Config([u8; LEN]);

impl Config {
    /// A request has a header and a status beside its segments, and need not
    /// be longer than the queue.
    pub fn new(sectors: u64, queue_size: u16) -> Self {
        let mut space = [0; LEN];
        space[CAPACITY..][..8].copy_from_slice(&sectors.to_le_bytes());
        space[SEG_MAX..][..4].copy_from_slice(&u32::from(queue_size - 2).to_le_bytes());
        space[BLK_SIZE..][..4].copy_from_slice(&SECTOR.to_le_bytes());
        Config(space)
    }

    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let start = usize::try_from(offset).unwrap_or(LEN).min(LEN);
        let here = &self.0[start..];
        let count = here.len().min(data.len());
        data[..count].copy_from_slice(&here[..count]);
        data[count..].fill(0);
    }
}
