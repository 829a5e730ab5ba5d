//! The conversation with the backend (the vhost-user protocol of QEMU's
//! docs/interop/vhost-user.rst, front end's side).

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use vhost::vhost_user::message::{
    VhostUserHeaderFlag, VhostUserProtocolFeatures, VhostUserVirtioFeatures,
};
use vhost::vhost_user::{Error as ProtocolError, Frontend, VhostUserFrontend};
use vhost::{Error as VhostError, VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemory;
use vmm_sys_util::eventfd::EventFd;

use super::deadline::within;
use crate::memory::Memory;
use crate::virtio::device::{ActiveQueue, DeviceError};

/// What a guest's driver can make use of. Linux's virtiofs driver has no
/// feature of its own; of those of the rings, queues of this crate have these.
const USEFUL: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC;

/// The backend must answer all that is asked at one go within this time, and
/// finish what it has begun when it is stopped. A vCPU waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A backend, and what was agreed with it.
pub(super) struct Connection {
    socket: PathBuf,
    stream: UnixStream,
    frontend: Frontend,
    features: u64,
}

/// What a backend starts with.
pub(super) struct Start<'a> {
    /// Accepted by the driver.
    pub(super) features: u64,
    pub(super) memory: &'a Memory,
    pub(super) queues: &'a [ActiveQueue],
    /// One for every queue that is ready.
    pub(super) rings: &'a [Option<VringConfigData>],
    /// Written by the backend when it has used a buffer.
    pub(super) call: &'a EventFd,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("socket", &self.socket)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and agrees on features.
    pub(super) fn open(socket: &Path, queues: usize) -> Result<Self, DeviceError> {
        let failed = |source: io::Error| about(socket, format!("can't connect: {source}"));
        let stream = UnixStream::connect(socket).map_err(failed)?;
        let ours = stream.try_clone().map_err(failed)?;
        let most = u64::try_from(queues).unwrap_or(u64::MAX);
        let mut connection = Connection {
            socket: socket.to_owned(),
            stream,
            frontend: Frontend::from_stream(ours, most),
            features: 0,
        };
        connection.features =
            connection.converse(|connection| connection.negotiate(most))? & USEFUL;
        Ok(connection)
    }

    /// Features the guest is offered.
    pub(super) fn features(&self) -> u64 {
        self.features
    }

    /// The socket, for messages.
    pub(super) fn socket(&self) -> impl fmt::Display + '_ {
        self.socket.display()
    }

    /// The connection, to see its end.
    pub(super) fn stream(&self) -> Result<UnixStream, DeviceError> {
        self.stream
            .try_clone()
            .map_err(|source| about(&self.socket, format!("watching it: {source}")))
    }

    /// Has the backend serve the queues that are ready.
    pub(super) fn start(&mut self, start: &Start<'_>) -> Result<(), DeviceError> {
        self.converse(|connection| connection.send_start(start))
    }

    /// Takes the queues that are ready back from the backend, waits for the
    /// requests it has begun and notes in the queues how far it has come.
    pub(super) fn stop(
        &mut self,
        memory: &Memory,
        queues: &mut [Queue],
    ) -> Result<(), DeviceError> {
        self.take_back(queues)?;
        let until = Instant::now() + PATIENCE;
        for (index, queue) in queues.iter_mut().enumerate().filter(|(_, q)| q.ready()) {
            let used = self.finished(index, queue, memory, until)?;
            queue.set_next_used(used);
        }
        Ok(())
    }

    /// As [`Connection::stop`], but with no regard to requests being served.
    pub(super) fn take_back(&mut self, queues: &mut [Queue]) -> Result<(), DeviceError> {
        self.converse(|connection| connection.send_stop(queues))
    }

    fn converse<T>(
        &mut self,
        talk: impl FnOnce(&mut Self) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let stream = self.stream()?;
        match within(PATIENCE, &stream, || talk(self)) {
            Ok(Some(said)) => said,
            Ok(None) => Err(about(
                &self.socket,
                format!("the backend does not answer, {PATIENCE:?} have passed"),
            )),
            Err(source) => Err(DeviceError::System {
                what: "starting a thread",
                source,
            }),
        }
    }

    /// Returns what the backend offers.
    fn negotiate(&mut self, queues: u64) -> Result<u64, DeviceError> {
        self.frontend
            .set_owner()
            .map_err(self.failed("SET_OWNER"))?;
        let features = self
            .frontend
            .get_features()
            .map_err(self.failed("GET_FEATURES"))?;
        let needed = 1 << VIRTIO_F_VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
        if features & needed != needed {
            let text = format!("the backend offers features {features:#x}, not {needed:#x}");
            return Err(about(&self.socket, text));
        }
        let offered = self
            .frontend
            .get_protocol_features()
            .map_err(self.failed("GET_PROTOCOL_FEATURES"))?;
        if !offered.contains(VhostUserProtocolFeatures::MQ) {
            let text = "the backend does not say how many queues it has (MQ)";
            return Err(about(&self.socket, text));
        }
        let wanted = VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK;
        self.frontend
            .set_protocol_features(offered & wanted)
            .map_err(self.failed("SET_PROTOCOL_FEATURES"))?;
        if offered.contains(VhostUserProtocolFeatures::REPLY_ACK) {
            self.frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        }
        let there = self
            .frontend
            .get_queue_num()
            .map_err(self.failed("GET_QUEUE_NUM"))?;
        if there < queues {
            let text = format!("the backend has {there} queues, {queues} are needed");
            return Err(about(&self.socket, text));
        }
        Ok(features)
    }

    fn send_start(&mut self, start: &Start<'_>) -> Result<(), DeviceError> {
        let regions = start
            .memory
            .iter()
            .map(VhostUserMemoryRegionInfo::from_guest_region)
            .collect::<Result<Vec<_>, _>>()
            .map_err(self.failed("guest memory"))?;
        self.frontend
            .set_features(start.features | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits())
            .map_err(self.failed("SET_FEATURES"))?;
        self.frontend
            .set_mem_table(&regions)
            .map_err(self.failed("SET_MEM_TABLE"))?;
        let ready = || {
            let all = start.queues.iter().zip(start.rings).enumerate();
            all.filter_map(|(index, (active, rings))| Some((index, active, rings.as_ref()?)))
        };
        for (index, active, rings) in ready() {
            self.send_queue(index, active, rings, start.call)?;
        }
        for (index, active, _) in ready() {
            self.frontend
                .set_vring_enable(index, true)
                .map_err(self.failed("SET_VRING_ENABLE"))?;
            // A queue that was taken back may hold requests whose kick the
            // backend has read already.
            active.kick.write(1).map_err(|source| DeviceError::System {
                what: "kicking a queue",
                source,
            })?;
        }
        Ok(())
    }

    fn send_queue(
        &self,
        index: usize,
        active: &ActiveQueue,
        rings: &VringConfigData,
        call: &EventFd,
    ) -> Result<(), DeviceError> {
        self.frontend
            .set_vring_num(index, rings.queue_size)
            .map_err(self.failed("SET_VRING_NUM"))?;
        self.frontend
            .set_vring_base(index, active.queue.next_avail())
            .map_err(self.failed("SET_VRING_BASE"))?;
        self.frontend
            .set_vring_addr(index, rings)
            .map_err(self.failed("SET_VRING_ADDR"))?;
        // The kick last: it is what starts a ring.
        self.frontend
            .set_vring_call(index, call)
            .map_err(self.failed("SET_VRING_CALL"))?;
        self.frontend
            .set_vring_kick(index, &active.kick)
            .map_err(self.failed("SET_VRING_KICK"))
    }

    fn send_stop(&mut self, queues: &mut [Queue]) -> Result<(), DeviceError> {
        for (index, _) in queues.iter().enumerate().filter(|(_, q)| q.ready()) {
            self.frontend
                .set_vring_enable(index, false)
                .map_err(self.failed("SET_VRING_ENABLE"))?;
        }
        for (index, queue) in queues.iter_mut().enumerate().filter(|(_, q)| q.ready()) {
            let base = self
                .frontend
                .get_vring_base(index)
                .map_err(self.failed("GET_VRING_BASE"))?;
            let base = u16::try_from(base).map_err(|_| {
                about(
                    &self.socket,
                    format!("queue {index} is said to be at {base}"),
                )
            })?;
            queue.set_next_avail(base);
        }
        Ok(())
    }

    /// Waits until every request taken from the queue is back in its used ring
    /// and returns that ring's index. GET_VRING_BASE stops the taking, but
    /// backends answer it while a request is still being served; the call
    /// descriptor is theirs no more by then, so the index is looked at.
    fn finished(
        &self,
        index: usize,
        queue: &Queue,
        memory: &Memory,
        until: Instant,
    ) -> Result<u16, DeviceError> {
        let broken = |reason| DeviceError::Queue { index, reason };
        loop {
            let used = queue
                .used_idx(memory, Ordering::Acquire)
                .map_err(|error| broken(error.to_string()))?
                .0;
            let open = queue.next_avail().wrapping_sub(used);
            if open == 0 {
                return Ok(used);
            }
            let unfinished = || broken(format!("{open} requests were begun and not finished"));
            if Instant::now() >= until {
                return Err(unfinished());
            }
            let mut peer = [PollFd::new(self.stream.as_fd(), PollFlags::POLLHUP)];
            // Nobody is left to finish anything.
            if poll(&mut peer, 1_u8).is_ok_and(|ready| ready > 0) {
                return Err(unfinished());
            }
        }
    }

    fn failed(&self, what: &'static str) -> impl Fn(VhostError) -> DeviceError + use<> {
        let socket = self.socket.clone();
        move |error| match error {
            VhostError::VhostUserProtocol(
                ProtocolError::Disconnected
                | ProtocolError::PartialMessage
                | ProtocolError::SocketBroken(_),
            ) => about(&socket, format!("{what}: the backend hung up")),
            VhostError::VhostUserProtocol(ProtocolError::BackendInternalError) => {
                about(&socket, format!("{what}: the backend refused"))
            }
            VhostError::VhostUserProtocol(error) => about(&socket, format!("{what}: {error}")),
            error => about(&socket, format!("{what}: {error}")),
        }
    }
}

/// An error that names the socket.
fn about(socket: &Path, text: impl fmt::Display) -> DeviceError {
    DeviceError::Backend(format!("{}: {text}", socket.display()))
}
