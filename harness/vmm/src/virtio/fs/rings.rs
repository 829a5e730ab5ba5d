//! Where a queue lies in this process.

use vhost::VringConfigData;
use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemory};

use crate::memory::Memory;
use crate::virtio::device::DeviceError;
use crate::virtio::rings::{Part, parts};

/// Addresses in this process of a queue's three parts. Each lies in one region
/// as a whole: neighbours in guest memory need not be neighbours here, and the
/// backend takes an address for the start of the whole part.
pub(super) fn addresses(
    index: usize,
    queue: &Queue,
    memory: &Memory,
) -> Result<VringConfigData, DeviceError> {
    let address = |Part { what, at, len }: Part| {
        let part = memory
            .get_slice(GuestAddress(at), len)
            .map_err(|error| DeviceError::Queue {
                index,
                reason: format!("{len} bytes of {what} at {at:#x}: {error}"),
            })?;
        Ok::<_, DeviceError>(part.ptr_guard().as_ptr().addr() as u64)
    };
    let [table, available, used] = parts(queue);
    Ok(VringConfigData {
        queue_max_size: queue.max_size(),
        queue_size: queue.size(),
        flags: 0,
        desc_table_addr: address(table)?,
        avail_ring_addr: address(available)?,
        used_ring_addr: address(used)?,
        log_addr: None,
    })
}
