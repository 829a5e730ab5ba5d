//! One request, from its descriptor chain to its reply in guest memory.
//!
//! LOOKUP is answered here; all else by virtiofsd's `Server`, whose INIT reply
//! is amended where backing entries were negotiated. Whatever a guest sends,
//! it gets an error back and the server goes on.

use std::ffi::CStr;
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lookback_wire::fuse::OUT_HEADER_LEN;
use lookback_wire::reply::{PLAIN_LEN, Reply, Request, Says};
use thiserror::Error;
use tracing::{debug, warn};
use vhost_user_backend::bitmap::BitmapMmapRegion;
use virtio_queue::DescriptorChain;
use virtiofsd::descriptor_utils::{self, Reader, Writer};
use virtiofsd::filesystem::{Context, FileSystem};
use virtiofsd::fuse::{EntryOut, InHeader, ROOT_ID};
use virtiofsd::server::Server;
use vm_memory::{ByteValued, Bytes, GuestMemoryError, GuestMemoryMmap};

use crate::init;
use crate::observed::{HostFs, Observed};
use crate::opcode;
use crate::requests;
use crate::shared::Shared;

/// Guest memory as virtiofsd's `Reader` and `Writer` take it.
pub(crate) type Memory = GuestMemoryMmap<BitmapMmapRegion>;

/// `FUSE_NAME_MAX`, and the terminating zero.
const MAX_NAME: usize = 1024 + 1;

/// Why a request got an error instead of the answer it asked for.
#[derive(Debug, Error)]
enum RequestError {
    #[error("bad descriptors: {0}")]
    Descriptors(descriptor_utils::Error),
    #[error("the request is shorter than it says: {0}")]
    Short(io::Error),
    #[error("the name is not one zero-terminated component")]
    Name,
    #[error("the name is longer than {MAX_NAME} bytes")]
    NameTooLong,
    #[error("the reply has {room} bytes, {need} are needed")]
    NoRoom { room: usize, need: usize },
    #[error("writing the reply: {0}")]
    Reply(io::Error),
    #[error("virtiofsd's entry is not the protocol's")]
    Entry,
    #[error("reading the reply back: {0}")]
    ReadBack(GuestMemoryError),
    #[error("{0}")]
    Server(virtiofsd::Error),
    #[error("the server panicked")]
    Panic,
}

impl RequestError {
    fn errno(&self) -> i32 {
        match self {
            RequestError::NameTooLong => libc::ENAMETOOLONG,
            RequestError::Reply(_) | RequestError::ReadBack(_) | RequestError::Panic => libc::EIO,
            _ => libc::EINVAL,
        }
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Served {
    /// It is done; what there is of a reply is in guest memory.
    Done {
        /// The length for the used ring.
        used: u32,
    },
    /// A rule wants the reply to be late: [`write_reply`] it then.
    Late {
        /// How late.
        delay: Duration,
        /// The reply.
        bytes: Vec<u8>,
        /// The length for the used ring.
        used: u32,
    },
}

impl From<usize> for Served {
    fn from(written: usize) -> Self {
        Served::Done {
            // Far below 4 GiB: the length of a chain.
            used: u32::try_from(written).unwrap_or(u32::MAX),
        }
    }
}

/// Serves the requests of one connection.
pub(crate) struct Service<F: HostFs> {
    server: Server<Observed<F>>,
    fs: Observed<F>,
    shared: Arc<Shared>,
    offer_backing: bool,
    negotiated: AtomicBool,
}

impl<F: HostFs> Service<F> {
    pub(crate) fn new(fs: F, shared: Arc<Shared>, offer_backing: bool) -> Self {
        let fs = Observed::new(fs, Arc::clone(&shared));
        Self {
            server: Server::new(fs.clone()),
            fs,
            shared,
            offer_backing,
            negotiated: AtomicBool::new(false),
        }
    }

    /// Serves one request.
    pub(crate) fn handle<M>(&self, mem: &Memory, chain: &DescriptorChain<M>) -> Served
    where
        M: Clone + Deref<Target = Memory>,
    {
        let at = Instant::now();
        let (header, body) = match Self::header(mem, chain) {
            Ok(read) => read,
            Err(error) => {
                warn!("a request was dropped: {error}");
                return 0.into();
            }
        };
        self.shared.counters().request(header.opcode, header.nodeid);
        let ticket = self.arrived(at, header, body);
        let served = self.answer(header, mem, chain);
        if let Some(ticket) = ticket {
            self.answered(ticket, header.opcode, &served, mem, chain);
        }
        served
    }

    fn answer<M>(&self, header: InHeader, mem: &Memory, chain: &DescriptorChain<M>) -> Served
    where
        M: Clone + Deref<Target = Memory>,
    {
        // A panic in the passthrough concerns the one request: what it leaves
        // behind are locks of virtiofsd's that panic again, here.
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(header, mem, chain)))
            .unwrap_or(Err(RequestError::Panic));
        served.unwrap_or_else(|error| {
            warn!(
                "{} of nodeid {}: {error}",
                opcode::name(header.opcode),
                header.nodeid
            );
            Self::refuse(header, error.errno(), mem, chain).into()
        })
    }

    /// The device was reset: the guest holds nothing any more.
    pub(crate) fn reset(&self) {
        self.negotiated.store(false, Ordering::Relaxed);
        self.server.destroy();
    }

    /// The header, and a reader of what follows it.
    fn header<'a, M>(
        mem: &'a Memory,
        chain: &DescriptorChain<M>,
    ) -> Result<(InHeader, Reader<'a>), RequestError>
    where
        M: Clone + Deref<Target = Memory>,
    {
        let mut reader = Reader::new(mem, chain.clone()).map_err(RequestError::Descriptors)?;
        let header = reader.read_obj().map_err(RequestError::Short)?;
        Ok((header, reader))
    }

    /// Writes the request down, if requests are.
    fn arrived(&self, at: Instant, header: InHeader, mut body: Reader<'_>) -> Option<u64> {
        let mut log = self.shared.log()?;
        let mut bytes = Vec::new();
        if requests::has_words(header.opcode) {
            let len = usize::try_from(header.len).unwrap_or(0);
            let own = len.saturating_sub(size_of::<InHeader>());
            let kept = own.min(requests::BODY_MAX).min(body.available_bytes());
            bytes.resize(kept, 0);
            // What can't be read is the request's own error, told by its reply.
            if body.read_exact(&mut bytes).is_err() {
                bytes.clear();
            }
        }
        Some(log.arrived(at, header.opcode, header.nodeid, bytes))
    }

    fn answered<M>(
        &self,
        ticket: u64,
        opcode: u32,
        served: &Served,
        mem: &Memory,
        chain: &DescriptorChain<M>,
    ) where
        M: Clone + Deref<Target = Memory>,
    {
        let max = match opcode {
            opcode::LOOKUP => requests::LOOKUP_REPLY_MAX,
            _ => requests::REPLY_MAX,
        };
        let (bytes, late) = match served {
            Served::Done { .. } if !opcode::has_reply(opcode) => (Vec::new(), None),
            Served::Done { used } => {
                let len = usize::try_from(*used).unwrap_or(usize::MAX).min(max);
                (read_back(mem, chain, len).unwrap_or_default(), None)
            }
            Served::Late { delay, bytes, .. } => {
                (bytes.iter().take(max).copied().collect(), Some(*delay))
            }
        };
        if let Some(mut log) = self.shared.log() {
            log.answered(ticket, bytes, late);
        }
    }

    fn serve<M>(
        &self,
        header: InHeader,
        mem: &Memory,
        chain: &DescriptorChain<M>,
    ) -> Result<Served, RequestError>
    where
        M: Clone + Deref<Target = Memory>,
    {
        let reader = Reader::new(mem, chain.clone()).map_err(RequestError::Descriptors)?;
        let writer = Writer::new(mem, chain.clone()).map_err(RequestError::Descriptors)?;
        let room = writer.available_bytes();
        // virtiofsd splits the header off the writable part before it looks.
        if opcode::has_reply(header.opcode) && room < OUT_HEADER_LEN {
            return Err(RequestError::NoRoom {
                room,
                need: OUT_HEADER_LEN,
            });
        }
        let written = match header.opcode {
            opcode::LOOKUP => return self.lookup(header, reader, writer, room),
            opcode::INIT => self.init(reader, writer, mem, chain)?,
            opcode::DESTROY => {
                self.reset();
                // virtiofsd returns the buffer untouched; a guest that checks
                // the length of replies is owed a header, as from any daemon.
                write(writer, &bare(0, header.unique))?
            }
            _ => self
                .server
                .handle_message(reader, writer, None::<&mut ()>)
                .map_err(RequestError::Server)?,
        };
        Ok(written.into())
    }

    fn init<M>(
        &self,
        reader: Reader<'_>,
        writer: Writer<'_>,
        mem: &Memory,
        chain: &DescriptorChain<M>,
    ) -> Result<usize, RequestError>
    where
        M: Clone + Deref<Target = Memory>,
    {
        let offered = init::offers(&body(reader.clone(), init::IN_LEN)?);
        // Not before the reply says so.
        self.negotiated.store(false, Ordering::Relaxed);
        let used = self
            .server
            .handle_message(reader, writer, None::<&mut ()>)
            .map_err(RequestError::Server)?;
        if !(offered && self.offer_backing && self.shared.rules().negotiate) {
            return Ok(used);
        }
        // The `Server` writes straight into guest memory. The reply may be
        // edited there: the buffer is the device's until the used ring names
        // it, and that is up to our caller.
        let mut bytes = read_back(mem, chain, used.min(init::REPLY_LEN))?;
        let accepted = init::accept(&mut bytes);
        if accepted {
            let writer = Writer::new(mem, chain.clone()).map_err(RequestError::Descriptors)?;
            write(writer, &bytes)?;
        }
        debug!(accepted, "the guest offered backing entries");
        self.negotiated.store(accepted, Ordering::Relaxed);
        Ok(used)
    }

    fn lookup(
        &self,
        header: InHeader,
        reader: Reader<'_>,
        writer: Writer<'_>,
        room: usize,
    ) -> Result<Served, RequestError> {
        if room < PLAIN_LEN {
            return Err(RequestError::NoRoom {
                room,
                need: PLAIN_LEN,
            });
        }
        let len = usize::try_from(header.len)
            .ok()
            .and_then(|len| len.checked_sub(size_of::<InHeader>()))
            .ok_or(RequestError::Name)?;
        if len > MAX_NAME {
            return Err(RequestError::NameTooLong);
        }
        let bytes = body(reader, len)?;
        let name = CStr::from_bytes_with_nul(&bytes).map_err(|_| RequestError::Name)?;
        if name.to_bytes().contains(&b'/') {
            return Err(RequestError::Name);
        }
        if header.nodeid == ROOT_ID {
            self.shared.counters().root_lookup(name.to_bytes());
        }

        let parent = self.fs.real(header.nodeid);
        let path = self.shared.names().path(parent, name.to_bytes());
        let rule = path.and_then(|path| self.shared.next_rule(&path));
        let request = Request {
            unique: header.unique,
            room,
            negotiated: self.negotiated.load(Ordering::Relaxed),
        };
        let ctx = Context::from(header);
        let found = match rule.as_ref().and_then(|rule| rule.errno) {
            Some(errno) => Err(errno.0),
            None => self
                .fs
                .lookup(ctx, header.nodeid, name)
                .map_err(|error| error.raw_os_error().unwrap_or(libc::EIO)),
        };
        let reply = match found {
            Err(errno) => request.error(errno, rule.as_ref()),
            Ok(entry) => {
                let real = entry.inode;
                let entry = EntryOut::from(entry);
                let entry = entry.as_slice().first_chunk().ok_or(RequestError::Entry)?;
                let reply = request.entry(entry, rule.as_ref(), |id| id);
                self.settle(ctx, real, &reply);
                reply
            }
        };
        match rule.and_then(|rule| rule.delay_ms) {
            None => {
                write(writer, &reply.bytes)?;
                Ok(Served::Done { used: reply.used })
            }
            Some(ms) => Ok(Served::Late {
                delay: Duration::from_millis(ms),
                bytes: reply.bytes,
                used: reply.used,
            }),
        }
    }

    /// Keeps the books of an entry that the file system calls `real`.
    fn settle(&self, ctx: Context, real: u64, reply: &Reply) {
        let (nodeid, backed) = match reply.says {
            Says::Entry { nodeid, backed } => (nodeid, backed),
            // Its nodeid was told, and has to be given back.
            Says::Malformed { nodeid } => (nodeid, false),
            Says::Error | Says::Broken => (0, false),
        };
        if nodeid == 0 {
            self.fs.withdraw(ctx, real);
        } else if nodeid != real {
            self.fs.rename(real, nodeid);
        }
        self.shared.counters().back(nodeid, backed);
    }

    /// Answers with an error, if the guest left room for one.
    fn refuse<M>(header: InHeader, errno: i32, mem: &Memory, chain: &DescriptorChain<M>) -> usize
    where
        M: Clone + Deref<Target = Memory>,
    {
        if !opcode::has_reply(header.opcode) {
            return 0;
        }
        Writer::new(mem, chain.clone())
            .map_err(RequestError::Descriptors)
            .and_then(|writer| write(writer, &bare(errno, header.unique)))
            .unwrap_or(0)
    }
}

/// Up to `limit` bytes after the request's header; fewer if there are fewer.
fn body(mut reader: Reader<'_>, limit: usize) -> Result<Vec<u8>, RequestError> {
    reader.read_obj::<InHeader>().map_err(RequestError::Short)?;
    let mut bytes = vec![0; limit.min(reader.available_bytes())];
    reader.read_exact(&mut bytes).map_err(RequestError::Short)?;
    Ok(bytes)
}

fn write(mut writer: Writer<'_>, bytes: &[u8]) -> Result<usize, RequestError> {
    writer.write_all(bytes).map_err(RequestError::Reply)?;
    Ok(bytes.len())
}

/// Writes a reply that was [late](Served::Late).
pub(crate) fn write_reply<M>(
    mem: &Memory,
    chain: &DescriptorChain<M>,
    bytes: &[u8],
) -> Result<(), impl std::error::Error + use<M>>
where
    M: Clone + Deref<Target = Memory>,
{
    Writer::new(mem, chain.clone())
        .map_err(RequestError::Descriptors)
        .and_then(|writer| write(writer, bytes))
        .map(drop)
}

/// A reply that is only a header; `errno` is 0 or positive.
fn bare(errno: i32, unique: u64) -> Vec<u8> {
    let request = Request {
        unique,
        room: OUT_HEADER_LEN,
        negotiated: false,
    };
    request.error(errno, None).bytes
}

/// The first `len` bytes of the chain's writable part.
fn read_back<M>(
    mem: &Memory,
    chain: &DescriptorChain<M>,
    len: usize,
) -> Result<Vec<u8>, RequestError>
where
    M: Clone + Deref<Target = Memory>,
{
    let mut bytes = vec![0; len];
    let mut rest = &mut bytes[..];
    for descriptor in chain.clone().writable() {
        let room = usize::try_from(descriptor.len()).unwrap_or(usize::MAX);
        let (part, tail) = rest.split_at_mut(room.min(rest.len()));
        mem.read_slice(part, descriptor.addr())
            .map_err(RequestError::ReadBack)?;
        rest = tail;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
