//! The image, and what the requests do to it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use virtio_bindings::virtio_blk::*;
use vm_memory::{ReadVolatile, VolatileMemoryError, WriteVolatile};

use super::request::{Malformed, Request, SECTOR};
use crate::virtio::chain::{Buffers, Chain};

/// Bytes of a serial number.
const ID_LEN: usize = 20;

/// The image can't be a guest's disk.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It can't be opened.
    #[error("{path}: {source}")]
    Open {
        /// The image.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another guest has it, or another program.
    #[error("{path} is in use by another guest (flock)")]
    InUse {
        /// The image.
        path: PathBuf,
    },
}

/// An image, open and locked.
#[derive(Debug)]
pub(super) struct Disk {
    pub file: File,
    pub sectors: u64,
    serial: [u8; ID_LEN],
    readonly: bool,
    /// The driver does not flush, so what is written is to be kept at once.
    pub write_through: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// Bytes written, from the front of the driver's room.
    pub len: u32,
    /// What the host should know.
    pub complaint: Option<String>,
}

impl Disk {
    pub fn open(path: &Path, serial: &str, readonly: bool) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Open {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new().read(true).write(!readonly).open(path);
        let mut file = file.map_err(failed)?;
        let lock = if readonly {
            file.try_lock_shared()
        } else {
            file.try_lock()
        };
        lock.map_err(|error| match error {
            TryLockError::WouldBlock => ImageError::InUse {
                path: path.to_owned(),
            },
            TryLockError::Error(source) => failed(source),
        })?;
        let mut id = [0; ID_LEN];
        let given = serial.as_bytes();
        let count = given.len().min(ID_LEN);
        id[..count].copy_from_slice(&given[..count]);
        Ok(Disk {
            sectors: file.seek(SeekFrom::End(0)).map_err(failed)? / u64::from(SECTOR),
            file,
            serial: id,
            readonly,
            write_through: false,
        })
    }

    /// Does what a request asks for, and writes its status.
    ///
    /// # Errors
    /// The request can't be answered.
    pub fn serve(&mut self, chain: Chain<'_>) -> Result<Answer, Malformed> {
        let mut request = Request::parse(chain)?;
        let room = request.data_in.len();
        let done = self.perform(&mut request);
        let status = match done {
            Ok(_) => VIRTIO_BLK_S_OK,
            Err(Refusal::Unsupported) => VIRTIO_BLK_S_UNSUPP,
            Err(Refusal::Invalid | Refusal::Host { .. }) => VIRTIO_BLK_S_IOERR,
        };
        let [status, ..] = status.to_le_bytes();
        let status_len = request.status.write(&[status]);
        let written = *done.as_ref().unwrap_or(&0);
        // The status is at the end: it counts if what is before it was written.
        let len = if written == room {
            written + status_len
        } else {
            written
        };
        Ok(Answer {
            // A chain is less than 4 GiB long.
            len: u32::try_from(len).unwrap_or(u32::MAX),
            complaint: match done {
                Err(Refusal::Host { what, source }) => Some(format!("{what}: {source}")),
                _ => None,
            },
        })
    }

    /// Says how many bytes of `data_in` were written.
    fn perform(&mut self, request: &mut Request<'_>) -> Result<usize, Refusal> {
        match request.kind {
            VIRTIO_BLK_T_IN => {
                self.seek(request.sector, &request.data_in)?;
                for piece in request.data_in.pieces_mut() {
                    let read = self.file.read_exact_volatile(piece);
                    read.map_err(|e| host("the image can't be read", e))?;
                }
                Ok(request.data_in.len())
            }
            VIRTIO_BLK_T_OUT if self.readonly => Err(Refusal::Invalid),
            VIRTIO_BLK_T_OUT => {
                self.seek(request.sector, &request.data_out)?;
                for piece in request.data_out.pieces() {
                    let written = self.file.write_all_volatile(piece);
                    written.map_err(|e| host("the image can't be written", e))?;
                }
                if self.write_through {
                    self.flush()?;
                }
                Ok(0)
            }
            VIRTIO_BLK_T_FLUSH => self.flush().map(|()| 0),
            VIRTIO_BLK_T_GET_ID => Ok(request.data_in.write(&self.serial)),
            _ => Err(Refusal::Unsupported),
        }
    }

    /// Goes to a sector, if `data` from there on lies within the disk.
    fn seek(&mut self, sector: u64, data: &Buffers<'_>) -> Result<(), Refusal> {
        let sector_len = u64::from(SECTOR);
        let len = u64::try_from(data.len()).map_err(|_| Refusal::Invalid)?;
        let end = sector.checked_add(len / sector_len);
        if !len.is_multiple_of(sector_len) || end.is_none_or(|end| end > self.sectors) {
            return Err(Refusal::Invalid);
        }
        // The image is as long as that, so the product can't overflow.
        let start = SeekFrom::Start(sector * sector_len);
        let sought = self.file.seek(start);
        sought.map(|_| ()).map_err(|source| Refusal::Host {
            what: "the image can't be sought",
            source,
        })
    }

    fn flush(&self) -> Result<(), Refusal> {
        self.file.sync_data().map_err(|source| Refusal::Host {
            what: "the image can't be flushed",
            source,
        })
    }
}

/// Why a request fails.
#[derive(Debug)]
enum Refusal {
    Unsupported,
    /// Not within the disk, or not allowed.
    Invalid,
    Host {
        what: &'static str,
        source: io::Error,
    },
}

fn host(what: &'static str, error: VolatileMemoryError) -> Refusal {
    Refusal::Host {
        what,
        source: match error {
            VolatileMemoryError::IOError(source) => source,
            other => io::Error::other(other),
        },
    }
}
