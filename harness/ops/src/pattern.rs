//! The bytes a write stores.
//!
//! A byte depends on the write's seed and on its own offset in the file, and
//! on nothing else: what a file holds tells which write it came from, and a
//! write that lands at a wrong offset shows. The mixing is the finaliser of
//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", 2014), so that a C program can make the same bytes.

/// The eight bytes at offset `8 * index`, the first in the low bits.
#[must_use]
pub fn word(seed: u64, index: u64) -> u64 {
    let mut z = seed
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(index.wrapping_mul(0xd134_2543_de82_ef95));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fill `into` with what a write of `seed` stores from offset `off` (bytes) on.
pub fn fill(seed: u64, off: u64, into: &mut [u8]) {
    let lead = usize::try_from(off % 8).unwrap_or(0);
    let mut index = off / 8;
    let (first, rest) = into.split_at_mut(((8 - lead) % 8).min(into.len()));
    if !first.is_empty() {
        let bytes = word(seed, index).to_le_bytes();
        first.copy_from_slice(&bytes[lead..lead + first.len()]);
        index = index.wrapping_add(1);
    }
    for chunk in rest.chunks_mut(8) {
        let bytes = word(seed, index).to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
        index = index.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_pattern_never_changes() {
        // Traces and C reproducers written today must read back tomorrow.
        let mut bytes = [0; 10];
        fill(7, 3, &mut bytes);
        let mut expected = word(7, 0).to_le_bytes()[3..].to_vec();
        expected.extend(&word(7, 1).to_le_bytes()[..5]);
        assert_eq!(bytes.as_slice(), expected.as_slice());
        assert_eq!(
            [word(0, 0), word(7, 1)],
            [0xe220_a839_7b1d_cdaf, 0xd625_5c3a_1f38_d553]
        );
    }

    #[test]
    fn seeds_and_offsets_are_told_apart() {
        let at = |seed, off| {
            let mut bytes = [0; 64];
            fill(seed, off, &mut bytes);
            bytes
        };
        assert_ne!(at(1, 0), at(2, 0));
        assert_ne!(at(1, 0), at(1, 64));
        assert_ne!(at(1, 0), at(1, 4096));
    }

    proptest! {
        #[test]
        fn two_halves_are_the_whole(seed: u64, off in 0u64..1 << 40, len in 0usize..200, cut in 0usize..200) {
            let cut = cut.min(len);
            let mut whole = vec![0; len];
            fill(seed, off, &mut whole);
            let mut halves = vec![0; len];
            let (a, b) = halves.split_at_mut(cut);
            fill(seed, off, a);
            fill(seed, off + cut as u64, b);
            prop_assert_eq!(whole, halves);
        }
    }
}
