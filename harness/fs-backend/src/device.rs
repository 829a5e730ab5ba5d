//! The vhost-user device: features, queues, notifications.

use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use tracing::{debug, error, warn};
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::bitmap::BitmapMmapRegion;
use vhost_user_backend::{VhostUserBackend, VringMutex, VringT};
use virtio_bindings::bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::bindings::virtio_ring::{
    VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC,
};
use virtio_queue::{Error as QueueError, QueueT};
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

use crate::delays::{Delays, Pending};
use crate::observed::HostFs;
use crate::service::{Memory, Served, Service};

/// Queue 0 is the high-priority one (FORGET), queue 1 takes all requests.
/// Both are served by one thread, so requests are served in one order and the
/// credentials a thread takes on for a request are no other request's.
const QUEUES: usize = 2;
/// The most a split virtqueue can have (virtio 1.2, 2.7).
const MAX_QUEUE_SIZE: usize = 32768;
/// Bytes of a tag at most (virtio 1.2, 5.11.4).
pub(crate) const MAX_TAG_LEN: usize = 36;

pub(crate) type AtomicMemory = GuestMemoryAtomic<Memory>;

/// The device of one connection.
pub(crate) struct Device<F: HostFs> {
    service: Service<F>,
    pub(crate) delays: Delays,
    tag: Option<String>,
    memory: RwLock<Option<AtomicMemory>>,
    event_idx: AtomicBool,
    claimed: AtomicBool,
}

impl<F: HostFs> Device<F> {
    pub(crate) fn new(service: Service<F>, tag: Option<String>) -> Self {
        Self {
            service,
            delays: Delays::default(),
            tag,
            memory: RwLock::new(None),
            event_idx: AtomicBool::new(false),
            claimed: AtomicBool::new(false),
        }
    }

    /// Whether the peer ever spoke vhost-user; one that only looked whether
    /// somebody listens did not.
    pub(crate) fn claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Serves what is available.
    fn drain(
        &self,
        vring: &VringMutex<AtomicMemory>,
        memory: &AtomicMemory,
    ) -> Result<(), QueueError> {
        let event_idx = self.event_idx.load(Ordering::Relaxed);
        loop {
            if event_idx {
                vring.disable_notification()?;
            }
            loop {
                // The vring is not held while a request is served: the front
                // end stops a queue by taking it.
                let chain = vring
                    .get_mut()
                    .get_queue_mut()
                    .pop_descriptor_chain(memory.memory());
                let Some(chain) = chain else {
                    break;
                };
                match self.service.handle(chain.memory(), &chain) {
                    Served::Done { used } => {
                        complete(vring, chain.head_index(), used, event_idx)?;
                    }
                    Served::Late { delay, bytes, used } => self.delays.add(
                        delay,
                        Pending {
                            vring: vring.clone(),
                            chain,
                            bytes,
                            used,
                            event_idx,
                        },
                    ),
                }
            }
            // With EVENT_IDX the guest does not kick for what it adds before
            // notifications are on again.
            if !event_idx || !vring.enable_notification()? {
                return Ok(());
            }
        }
    }
}

/// Puts a request that is done into the used ring.
pub(crate) fn complete(
    vring: &VringMutex<AtomicMemory>,
    head: u16,
    used: u32,
    event_idx: bool,
) -> Result<(), QueueError> {
    vring.add_used(head, used)?;
    if !event_idx || vring.needs_notification()? {
        vring.signal_used_queue().unwrap_or_else(|error| {
            warn!("the guest could not be notified: {error}");
        });
    }
    Ok(())
}

impl<F> VhostUserBackend for Device<F>
where
    F: HostFs,
{
    type Bitmap = BitmapMmapRegion;
    type Vring = VringMutex<AtomicMemory>;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        MAX_QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        // A front end asks for this first. It takes features only when the
        // guest's driver starts, and may be gone before that.
        self.claimed.store(true, Ordering::Relaxed);
        // LOG_ALL is absent: the guest is never migrated.
        (1 << VIRTIO_F_VERSION_1)
            | (1 << VIRTIO_RING_F_INDIRECT_DESC)
            | (1 << VIRTIO_RING_F_EVENT_IDX)
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn acked_features(&self, features: u64) {
        debug!("the front end takes features {features:#x}");
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        let features = VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::RESET_DEVICE;
        if self.tag.is_some() {
            features | VhostUserProtocolFeatures::CONFIG
        } else {
            features
        }
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        config(self.tag.as_deref().unwrap_or_default(), offset, size)
    }

    fn reset_device(&self) {
        self.delays.clear();
        self.service.reset();
    }

    fn set_event_idx(&self, enabled: bool) {
        self.event_idx.store(enabled, Ordering::Relaxed);
    }

    fn update_memory(&self, memory: AtomicMemory) -> io::Result<()> {
        // A front end that starts a device again begins with its memory.
        self.delays.drop_stopped();
        *self.memory.write().unwrap_or_else(PoisonError::into_inner) = Some(memory);
        Ok(())
    }

    fn handle_event(
        &self,
        device_event: u16,
        events: EventSet,
        vrings: &[VringMutex<AtomicMemory>],
        _thread: usize,
    ) -> io::Result<()> {
        // An error returned from here ends the thread that serves the queues,
        // so what a guest can cause is logged and survived.
        if events != EventSet::IN {
            warn!("queue {device_event}: unexpected event {events:?}");
            return Ok(());
        }
        let Some(vring) = vrings.get(usize::from(device_event)) else {
            warn!("event of an unknown queue {device_event}");
            return Ok(());
        };
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = memory.deref() else {
            warn!("queue {device_event}: kicked before the front end shared any memory");
            return Ok(());
        };
        if let Err(error) = self.drain(vring, memory) {
            error!("queue {device_event} is broken: {error}");
        }
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        // Without one the vring thread could not be ended; `Daemon::new`
        // makes it before anything else, so failing is failing to start.
        new_event_consumer_and_notifier(EventFlag::NONBLOCK)
            .inspect_err(|error| error!("no eventfd to end the queue thread with: {error}"))
            .ok()
    }
}

/// `struct virtio_fs_config`: the tag, zero-padded, and the number of request
/// queues, little endian. Bytes past its end read as zero.
fn config(tag: &str, offset: u32, size: u32) -> Vec<u8> {
    let mut bytes = tag.as_bytes().to_vec();
    bytes.resize(MAX_TAG_LEN, 0);
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    let at = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    let mut part: Vec<u8> = bytes.into_iter().skip(at(offset)).take(at(size)).collect();
    part.resize(at(size), 0);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_a_padded_tag_and_one_queue() {
        let whole = config("backed", 0, 40);
        assert_eq!(&whole[..7], b"backed\0");
        assert_eq!(whole[6..36], [0; 30]);
        assert_eq!(whole[36..], [1, 0, 0, 0]);
        assert_eq!(config("backed", 36, 4), [1, 0, 0, 0]);
        assert_eq!(config("backed", 38, 8), [0; 8]);
        assert_eq!(config("backed", u32::MAX, 2), [0; 2]);
        let longest = "x".repeat(MAX_TAG_LEN);
        assert_eq!(&config(&longest, 0, 36), longest.as_bytes());
    }
}
