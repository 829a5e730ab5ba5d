//! Error numbers by name.

use nix::errno::Errno;

/// `ENOENT` for 2, `0` for success, the number for what has no name.
pub(crate) fn name(errno: i32) -> String {
    match Errno::from_raw(errno) {
        _ if errno == 0 => "0".to_owned(),
        Errno::UnknownErrno => errno.to_string(),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[rstest::rstest]
    #[case(0, "0")]
    #[case(2, "ENOENT")]
    #[case(39, "ENOTEMPTY")]
    #[case(9999, "9999")]
    fn names(#[case] errno: i32, #[case] expected: &str) {
        assert_eq!(name(errno), expected);
    }
}
