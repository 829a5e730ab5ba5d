//! A driver that writes whatever it likes into its tables and rings.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Driver, INDIRECT, NEXT, WRITE};

/// A descriptor: address, length, flags, next.
pub type Raw = (u64, u32, u16, u16);

/// Around what a driver with 16 descriptors does.
pub const SIZE: u16 = 16;

/// Addresses: those that mean something, any in memory, around its end, any.
pub fn address(known: &'static [u64], memory: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => proptest::sample::select(known),
        2 => 0..memory,
        1 => memory - 600..memory + 600,
        1 => any::<u64>(),
    ]
}

pub fn length() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => proptest::sample::select(&[0, 1, 8, 16, 20, 32, 512, 513, 1024][..]),
        2 => 0..3000u32,
        1 => any::<u32>(),
    ]
}

fn flags() -> impl Strategy<Value = u16> {
    prop_oneof![
        8 => proptest::sample::select(&[0, NEXT, WRITE, NEXT | WRITE, INDIRECT][..]),
        1 => any::<u16>(),
    ]
}

fn next() -> impl Strategy<Value = u16> {
    prop_oneof![8 => 0..=SIZE, 1 => any::<u16>()]
}

pub fn descriptor(known: &'static [u64], memory: u64) -> impl Strategy<Value = Raw> {
    (address(known, memory), length(), flags(), next())
}

/// What a driver does beside its requests.
#[derive(Clone, Debug)]
pub struct Mischief {
    scribbles: Vec<(u16, Raw)>,
    heads: Vec<u16>,
    avail_index: Option<u16>,
}

impl Mischief {
    pub fn do_to(&self, driver: &mut Driver) {
        for &(index, (address, len, flags, next)) in &self.scribbles {
            driver.describe(index, address, len, flags, next);
        }
        for &head in &self.heads {
            driver.offer(head);
        }
        if let Some(index) = self.avail_index {
            driver.set_avail_index(index);
        }
    }

    /// Where the device may write on behalf of a scribble; `None` if anywhere.
    pub fn writes(&self) -> Option<Vec<(u64, u64)>> {
        let mut ranges = Vec::new();
        for &(_, (address, len, flags, _)) in &self.scribbles {
            if flags & INDIRECT != 0 {
                return None;
            }
            if flags & WRITE != 0 {
                ranges.push((address, address.saturating_add(len.into())));
            }
        }
        Some(ranges)
    }
}

pub fn mischief(known: &'static [u64], memory: u64) -> impl Strategy<Value = Mischief> {
    let scribbles = vec((0..SIZE, descriptor(known, memory)), 0..6);
    let head = prop_oneof![8 => 0..=SIZE, 1 => any::<u16>()];
    let avail_index = prop_oneof![
        6 => Just(None),
        1 => (0..=SIZE + 1).prop_map(Some),
        1 => any::<u16>().prop_map(Some),
    ];
    (scribbles, vec(head, 0..4), avail_index).prop_map(|(scribbles, heads, avail_index)| Mischief {
        scribbles,
        heads,
        avail_index,
    })
}
