//! A timeout as a person writes it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A timeout of the server's replies: `"50ms"`, `"1s"`, `"1h"`, `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timeout {
    ms: u64,
}

impl Timeout {
    /// Of this many milliseconds.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// In milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.ms
    }
}

/// Without spaces: part of a case's id.
impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0");
        }
        let text = humantime::format_duration(Duration::from_millis(self.ms)).to_string();
        f.write_str(&text.replace(' ', ""))
    }
}

const EXPECTED: &str =
    "a time in whole milliseconds or more, such as \"50ms\", \"1s\", \"1h\" or 0";

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Timeout;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Timeout, E> {
                match value {
                    0 => Ok(Timeout::default()),
                    _ => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timeout, E> {
                let bad = || E::invalid_value(de::Unexpected::Str(text), &self);
                let time = humantime::parse_duration(text).map_err(|_| bad())?;
                if time.subsec_nanos() % 1_000_000 != 0 {
                    return Err(bad());
                }
                u64::try_from(time.as_millis())
                    .map(Timeout::from_ms)
                    .map_err(|_| bad())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        t: Timeout,
    }

    #[rstest::rstest]
    #[case("0", 0, "0")]
    #[case("\"0\"", 0, "0")]
    #[case("\"50ms\"", 50, "50ms")]
    #[case("\"1s\"", 1000, "1s")]
    #[case("\"1h\"", 3_600_000, "1h")]
    #[case("\"1m 30s\"", 90_000, "1m30s")]
    fn as_written(#[case] text: &str, #[case] ms: u64, #[case] shown: &str) {
        let holder: Holder = toml::from_str(&format!("t = {text}")).unwrap();
        assert_eq!(holder.t.ms(), ms);
        assert_eq!(holder.t.to_string(), shown);
    }

    #[rstest::rstest]
    #[case("5")]
    #[case("-1")]
    #[case("\"5\"")]
    #[case("\"10us\"")]
    #[case("\"soon\"")]
    #[case("true")]
    fn mistakes(#[case] text: &str) {
        let error = toml::from_str::<Holder>(&format!("t = {text}")).unwrap_err();
        assert!(error.message().contains("such as \"50ms\""), "{error}");
    }
}
