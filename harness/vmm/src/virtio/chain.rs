//! A driver's request, taken from its queue and checked as a whole.
//!
//! `virtio_queue` ends a chain quietly where it is broken. A device that went
//! on with the part before that would serve a request nobody made, so here the
//! chain is walked to its end before any of it is used. The walk reads each
//! descriptor once: what the guest changes later has no effect.

use vm_memory::{Bytes, GuestMemory, VolatileMemoryError, VolatileSlice};

use virtio_queue::{Queue, QueueOwnedT};

use crate::memory::Memory;

/// Why a queue can't be served any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChainError {
    #[error("{0}")]
    Queue(#[from] virtio_queue::Error),
    #[error("its chain at {0} is broken, endless or too long")]
    Broken(u16),
    #[error("its chain at {head} has {len} bytes at {address:#x}, outside of guest memory")]
    Outside { head: u16, address: u64, len: u32 },
    #[error("its chain at {0} has memory to be read after memory to be written")]
    Order(u16),
}

/// A request: what the driver wrote for the device, and room for the answer.
#[derive(Debug)]
pub(super) struct Chain<'m> {
    /// By which it is given back.
    pub head: u16,
    pub readable: Buffers<'m>,
    pub writable: Buffers<'m>,
}

impl<'m> Chain<'m> {
    /// The next request, if there is one.
    ///
    /// # Errors
    /// The queue is broken; nothing more is to be taken from it.
    pub fn take(queue: &mut Queue, memory: &'m Memory) -> Result<Option<Self>, ChainError> {
        let Some(chain) = queue.iter(memory)?.next() else {
            return Ok(None);
        };
        let head = chain.head_index();
        let mut taken = Chain {
            head,
            readable: Buffers::default(),
            writable: Buffers::default(),
        };
        let mut ended = false;
        let mut writable_begun = false;
        for descriptor in chain {
            ended = !descriptor.has_next();
            let to_write = descriptor.is_write_only();
            if writable_begun && !to_write {
                return Err(ChainError::Order(head));
            }
            writable_begun = to_write;
            let (address, len) = (descriptor.addr(), descriptor.len());
            let outside = || ChainError::Outside {
                head,
                address: address.0,
                len,
            };
            let count = usize::try_from(len).map_err(|_| outside())?;
            let buffers = if to_write {
                &mut taken.writable
            } else {
                &mut taken.readable
            };
            for slice in memory.get_slices(address, count) {
                buffers.0.push(slice.map_err(|_| outside())?);
            }
        }
        if ended {
            Ok(Some(taken))
        } else {
            Err(ChainError::Broken(head))
        }
    }
}

/// Pieces of guest memory, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Buffers<'m>(Vec<VolatileSlice<'m>>);

impl<'m> Buffers<'m> {
    pub fn len(&self) -> usize {
        self.0.iter().map(VolatileSlice::len).sum()
    }

    pub fn pieces(&self) -> &[VolatileSlice<'m>] {
        &self.0
    }

    pub fn pieces_mut(&mut self) -> &mut [VolatileSlice<'m>] {
        &mut self.0
    }

    /// Takes the first `count` bytes off, or all if there are fewer.
    pub fn take_front(&mut self, count: usize) -> Result<Buffers<'m>, VolatileMemoryError> {
        let mut front = Vec::new();
        let mut back = Vec::new();
        let mut left = count;
        for piece in self.0.drain(..) {
            let here = left.min(piece.len());
            left -= here;
            if here > 0 {
                front.push(piece.subslice(0, here)?);
            }
            if here < piece.len() {
                back.push(piece.offset(here)?);
            }
        }
        self.0 = back;
        Ok(Buffers(front))
    }

    /// Copies the first bytes out, and says how many there were.
    pub fn read(&self, out: &mut [u8]) -> usize {
        let mut done = 0;
        for piece in &self.0 {
            let part = &mut out[done..];
            done += piece.read(part, 0).unwrap_or(0);
        }
        done
    }

    /// Copies bytes in, and says for how many there was room.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut done = 0;
        for piece in &self.0 {
            done += piece.write(&bytes[done..], 0).unwrap_or(0);
        }
        done
    }
}
