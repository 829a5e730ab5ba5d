//! A request, as the driver lays it out (virtio 1.2, section 5.2.6).

use vm_memory::VolatileMemoryError;

use crate::virtio::chain::{Buffers, Chain};

/// Bytes of a sector, whatever the block size.
pub(super) const SECTOR: u32 = 512;

const HEADER: usize = 16;

/// There is no place for an answer, or no question.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("its request at {0} has no whole header")]
    Header(u16),
    #[error("its request at {0} has no room for a status")]
    Status(u16),
    #[error("its request at {0} can't be divided: {1}")]
    Divide(u16, VolatileMemoryError),
}

/// A request taken apart.
#[derive(Debug)]
pub(super) struct Request<'m> {
    /// `VIRTIO_BLK_T_*`.
    pub kind: u32,
    pub sector: u64,
    /// What the driver wrote behind the header.
    pub data_out: Buffers<'m>,
    /// What the driver has room for, in front of the status.
    pub data_in: Buffers<'m>,
    pub status: Buffers<'m>,
}

impl<'m> Request<'m> {
    /// Nothing depends on how the driver divides a request into descriptors.
    pub fn parse(chain: Chain<'m>) -> Result<Self, Malformed> {
        let Chain {
            head,
            mut readable,
            mut writable,
        } = chain;
        let divide = |error| Malformed::Divide(head, error);
        let mut header = [0; HEADER];
        if readable
            .take_front(HEADER)
            .map_err(divide)?
            .read(&mut header)
            < HEADER
        {
            return Err(Malformed::Header(head));
        }
        let [a, b, c, d, _, _, _, _, sector @ ..] = header;
        let Some(room) = writable.len().checked_sub(1) else {
            return Err(Malformed::Status(head));
        };
        Ok(Request {
            kind: u32::from_le_bytes([a, b, c, d]),
            sector: u64::from_le_bytes(sector),
            data_out: readable,
            data_in: writable.take_front(room).map_err(divide)?,
            status: writable,
        })
    }
}
