//! Inode attributes by the letters of chattr(1).

/// Letters, in lsattr(1)'s order, with their FS_*_FL bits (linux/fs.h) and
/// whether a user may set them.
const LETTERS: [(char, u32, bool); 21] = [
    ('s', 0x0000_0001, true),
    ('u', 0x0000_0002, true),
    ('S', 0x0000_0008, true),
    ('D', 0x0001_0000, true),
    ('i', 0x0000_0010, true),
    ('a', 0x0000_0020, true),
    ('d', 0x0000_0040, true),
    ('A', 0x0000_0080, true),
    ('c', 0x0000_0004, true),
    ('E', 0x0000_0800, false),
    ('j', 0x0000_4000, true),
    ('I', 0x0000_1000, false),
    ('t', 0x0000_8000, true),
    ('T', 0x0002_0000, true),
    ('e', 0x0008_0000, false),
    ('C', 0x0080_0000, true),
    ('x', 0x0200_0000, true),
    ('P', 0x2000_0000, true),
    ('F', 0x4000_0000, true),
    ('N', 0x1000_0000, false),
    ('V', 0x0010_0000, false),
];

/// The bits that setting attributes replaces; the others are the file
/// system's own.
#[must_use]
pub fn settable() -> u32 {
    let mine = LETTERS.iter().filter(|(_, _, settable)| *settable);
    mine.fold(0, |bits, (_, bit, _)| bits | bit)
}

/// The letters of `bits`, `-` for none; bits without a letter in hexadecimal,
/// with a `0x` and all the others.
#[must_use]
pub fn letters(bits: u32) -> String {
    let known = LETTERS.iter().fold(0, |known, (_, bit, _)| known | bit);
    if bits & !known != 0 {
        return format!("{bits:#x}");
    }
    if bits == 0 {
        return "-".to_owned();
    }
    let set = LETTERS.iter().filter(|(_, bit, _)| bits & bit != 0);
    set.map(|(letter, _, _)| *letter).collect()
}

/// What [`letters`] writes, in any order.
#[must_use]
pub fn bits(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x") {
        let plain = hex.bytes().all(|b| b.is_ascii_hexdigit());
        return u32::from_str_radix(hex, 16).ok().filter(|_| plain);
    }
    if text == "-" {
        return Some(0);
    }
    let bit = |letter| Some(LETTERS.iter().find(|(l, _, _)| *l == letter)?.1);
    let all = text
        .chars()
        .try_fold(0, |bits, letter| Some(bits | bit(letter)?));
    all.filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[rstest::rstest]
    #[case("-", Some(0))]
    #[case("ia", Some(0x30))]
    #[case("0x400", Some(0x400))]
    #[case("", None)]
    #[case("q", None)]
    #[case("0x+1", None)]
    fn reads(#[case] text: &str, #[case] expected: Option<u32>) {
        assert_eq!(bits(text), expected);
    }

    #[test]
    fn what_ext4_keeps_to_itself_is_not_replaced() {
        assert_eq!(settable() & bits("EIe").unwrap(), 0);
        assert_eq!(settable() & bits("ia").unwrap(), 0x30);
    }

    proptest! {
        #[test]
        fn letters_read_back(flags: u32) {
            prop_assert_eq!(bits(&letters(flags)), Some(flags));
        }
    }
}
