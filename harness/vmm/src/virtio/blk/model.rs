//! What a block device does to guest memory and to its image, byte by byte
//! and without the libraries: what the real one is compared with.

use std::ops::Range;

use virtio_bindings::virtio_blk::*;

/// A machine that stands still.
pub struct Model {
    pub memory: Vec<u8>,
    pub image: Vec<u8>,
    pub readonly: bool,
    pub serial: [u8; 20],
    pub size: u16,
    pub table: u64,
    pub avail: u64,
    pub used: u64,
}

/// The device goes no further.
pub struct Broken;

type Ranges = Vec<Range<usize>>;

impl Model {
    /// What one wake-up comes to.
    pub fn serve(&mut self) -> Result<(), Broken> {
        let (mut next_avail, mut next_used) = (0u16, 0u16);
        let mut budget = self.size;
        loop {
            self.put(self.used, &1u16.to_le_bytes());
            while budget > 0 {
                let ahead = self.u16(self.avail + 2).wrapping_sub(next_avail);
                if ahead > self.size {
                    return Err(Broken);
                }
                if ahead == 0 {
                    break;
                }
                budget -= 1;
                let slot = u64::from(next_avail % self.size);
                let head = self.u16(self.avail + 4 + 2 * slot);
                next_avail = next_avail.wrapping_add(1);
                let (readable, writable) = self.walk(head).ok_or(Broken)?;
                let len = self.request(readable, writable).ok_or(Broken)?;
                let element = self.used + 4 + 8 * u64::from(next_used % self.size);
                self.put(element, &u32::from(head).to_le_bytes());
                self.put(element + 4, &u32::try_from(len).unwrap().to_le_bytes());
                next_used = next_used.wrapping_add(1);
                self.put(self.used + 2, &next_used.to_le_bytes());
            }
            if budget == 0 {
                return Ok(());
            }
            self.put(self.used, &0u16.to_le_bytes());
            if self.u16(self.avail + 2) == next_avail {
                return Ok(());
            }
            budget -= 1;
        }
    }

    fn walk(&self, head: u16) -> Option<(Ranges, Ranges)> {
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        let (mut table, mut len) = (self.table, u32::from(self.size));
        let mut index = u32::from(head);
        let mut left = len;
        let mut total = 0u32;
        let (mut indirect, mut writable_begun) = (false, false);
        while left > 0 && index < len {
            let at = self.range(table.checked_add(16 * u64::from(index))?, 16)?;
            let bytes = &self.memory[at];
            let address = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            let count = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
            let flags = u16::from_le_bytes(bytes[12..14].try_into().unwrap());
            let next = u16::from_le_bytes(bytes[14..].try_into().unwrap());
            if flags & 4 != 0 {
                if indirect || count % 16 != 0 || count / 16 > 0xffff {
                    return None;
                }
                (indirect, table, len, left, index) = (true, address, count / 16, count / 16, 0);
                continue;
            }
            total = total.checked_add(count)?;
            let to_write = flags & 2 != 0;
            if writable_begun && !to_write {
                return None;
            }
            writable_begun = to_write;
            if count > 0 {
                let range = self.range(address, count.into())?;
                if to_write {
                    writable.push(range);
                } else {
                    readable.push(range);
                }
            }
            if flags & 1 == 0 {
                return Some((readable, writable));
            }
            left -= 1;
            index = next.into();
        }
        None
    }

    fn request(&mut self, readable: Ranges, writable: Ranges) -> Option<usize> {
        let out_len = readable
            .iter()
            .map(Range::len)
            .sum::<usize>()
            .checked_sub(16)?;
        let room = writable
            .iter()
            .map(Range::len)
            .sum::<usize>()
            .checked_sub(1)?;
        let status_at = writable.last()?.end - 1;
        let mut from = readable.into_iter().flatten();
        let mut to = writable.into_iter().flatten().take(room);
        let header: Vec<u8> = from.by_ref().take(16).map(|at| self.memory[at]).collect();
        let kind = u32::from_le_bytes(header[..4].try_into().unwrap());
        let sector = u64::from_le_bytes(header[8..].try_into().unwrap());
        let on_disk = |len: usize| {
            let start = usize::try_from(sector).ok()?.checked_mul(512)?;
            let end = start.checked_add(len)?;
            let fits = len.is_multiple_of(512) && end <= self.image.len();
            fits.then_some(start..end)
        };
        let (status, written) = match kind {
            VIRTIO_BLK_T_IN => match on_disk(room) {
                Some(range) => {
                    for at in range {
                        self.memory[to.next()?] = self.image[at];
                    }
                    (0, room)
                }
                None => (1, 0),
            },
            VIRTIO_BLK_T_OUT => match on_disk(out_len) {
                Some(range) if !self.readonly => {
                    for at in range {
                        self.image[at] = self.memory[from.next()?];
                    }
                    (0, 0)
                }
                _ => (1, 0),
            },
            VIRTIO_BLK_T_FLUSH => (0, 0),
            VIRTIO_BLK_T_GET_ID => {
                for (at, byte) in to.zip(self.serial) {
                    self.memory[at] = byte;
                }
                (0, room.min(20))
            }
            _ => (2, 0),
        };
        self.memory[status_at] = status;
        Some(written + usize::from(written == room))
    }

    fn range(&self, start: u64, len: u64) -> Option<Range<usize>> {
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (end <= self.memory.len()).then_some(start..end)
    }

    fn u16(&self, at: u64) -> u16 {
        let at = usize::try_from(at).unwrap();
        u16::from_le_bytes([self.memory[at], self.memory[at + 1]])
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).unwrap();
        self.memory[at..][..bytes.len()].copy_from_slice(bytes);
    }
}
