//! Values that are words in a file of rules and numbers in a message.

use std::fmt;
use std::str::FromStr;

use lookback_ops::errno;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::fuse::{ENTRY_BACKING, ENTRY_BPF, ENTRY_REMOVE_BACKING, ENTRY_REMOVE_BPF};

/// `entry_type`: `"backing"`, `"bpf"`, `"remove-backing"`, `"remove-bpf"` or
/// any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryType(pub u32);

/// An error number: its name, or the number itself where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

/// File type and permissions, in octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// Bytes, in hexadecimal digits; blanks between them are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

const TYPES: [(&str, u32); 4] = [
    ("backing", ENTRY_BACKING),
    ("bpf", ENTRY_BPF),
    ("remove-backing", ENTRY_REMOVE_BACKING),
    ("remove-bpf", ENTRY_REMOVE_BPF),
];

impl FromStr for EntryType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        TYPES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|&(_, number)| Self(number))
            .or_else(|| text.parse().ok().map(Self))
            .ok_or_else(|| {
                format!("{text:?} is no entry type: backing, bpf, remove-backing, remove-bpf or a number")
            })
    }
}

impl fmt::Display for EntryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TYPES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Errno {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        errno::number(text).map(Self).ok_or_else(|| {
            format!(
                "{text:?} is no error: a name as in errno(3), or 1 to {}",
                errno::MAX
            )
        })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&errno::name(self.0))
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|&mode| mode <= 0o177_777)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no mode: octal digits, at most 177777"))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected hexadecimal digits, two for each byte".to_owned();
        let digits: Option<Vec<u8>> = text
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let digits = digits.ok_or_else(wrong)?;
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(wrong());
        }
        Ok(Self(
            pairs.iter().map(|[high, low]| high << 4 | low).collect(),
        ))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text or a number in a file; itself in a message, which has no types to
/// tell one from the other.
macro_rules! text_or_inner {
    ($($name:ident($inner:ty), $expects:literal;)*) => {
        $(
            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    if serializer.is_human_readable() {
                        serializer.collect_str(self)
                    } else {
                        self.0.serialize(serializer)
                    }
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    struct Text;

                    impl Visitor<'_> for Text {
                        type Value = $name;

                        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                            f.write_str($expects)
                        }

                        fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                            $name::of_number(number)
                                .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
                        }

                        fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                            text.parse().map_err(E::custom)
                        }
                    }

                    if deserializer.is_human_readable() {
                        deserializer.deserialize_any(Text)
                    } else {
                        <$inner>::deserialize(deserializer).map($name)
                    }
                }
            }
        )*
    };
}

text_or_inner! {
    EntryType(u32), "an entry type: a name or a number";
    Errno(i32), "the name of an error in quotes, such as \"ENOENT\"";
    Mode(u32), "octal digits in quotes, such as \"0644\"";
    Bytes(Vec<u8>), "hexadecimal digits in quotes";
}

impl EntryType {
    fn of_number(number: i64) -> Option<Self> {
        u32::try_from(number).ok().map(Self)
    }
}

impl Errno {
    fn of_number(_: i64) -> Option<Self> {
        None
    }
}

// A bare 644 would be a decimal number.
impl Mode {
    fn of_number(_: i64) -> Option<Self> {
        None
    }
}

impl Bytes {
    fn of_number(_: i64) -> Option<Self> {
        None
    }
}
