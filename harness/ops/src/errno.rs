//! Error numbers by name.

use nix::errno::Errno;

/// Largest error number a system call returns (MAX_ERRNO, include/linux/err.h).
pub const MAX: i32 = 4095;

/// Second names of numbers that have two.
const ALIASES: [(&str, Errno); 3] = [
    ("EWOULDBLOCK", Errno::EAGAIN),
    ("ENOTSUP", Errno::EOPNOTSUPP),
    ("EDEADLOCK", Errno::EDEADLK),
];

/// `ENOENT` for 2, `0` for success, the number for what has no name.
#[must_use]
pub fn name(errno: i32) -> String {
    match Errno::from_raw(errno) {
        _ if errno == 0 => "0".to_owned(),
        Errno::UnknownErrno => errno.to_string(),
        known => format!("{known:?}"),
    }
}

/// 2 for `ENOENT`, or for `2`; `None` for what is no error.
#[must_use]
pub fn number(text: &str) -> Option<i32> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|n| (1..=MAX).contains(n));
    }
    let alias = ALIASES.iter().find(|(name, _)| *name == text);
    alias.map(|(_, errno)| *errno as i32).or_else(|| {
        (1..=MAX).find(|n| {
            let errno = Errno::from_raw(*n);
            errno != Errno::UnknownErrno && format!("{errno:?}") == text
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(0, "0")]
    #[case(2, "ENOENT")]
    #[case(39, "ENOTEMPTY")]
    #[case(9999, "9999")]
    fn names(#[case] errno: i32, #[case] expected: &str) {
        assert_eq!(name(errno), expected);
    }

    #[rstest::rstest]
    #[case("EIO", Some(5))]
    #[case("EWOULDBLOCK", Some(11))]
    #[case("ENOTSUP", Some(95))]
    #[case("524", Some(524))]
    #[case("0", None)]
    #[case("4096", None)]
    #[case("", None)]
    #[case("eio", None)]
    #[case("UnknownErrno", None)]
    fn numbers(#[case] text: &str, #[case] expected: Option<i32>) {
        assert_eq!(number(text), expected);
    }

    #[test]
    fn every_name_is_its_number() {
        for errno in 1..=MAX {
            assert_eq!(number(&name(errno)), Some(errno));
        }
    }
}
