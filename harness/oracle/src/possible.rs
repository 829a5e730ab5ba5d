//! Errnos that say something is wrong, whatever an operation met.

use lookback_ops::{FileOp, Op, Outcome};
use nix::errno::Errno;

/// Step of an operation whose mapping lost its file's end (mmap(2), SIGBUS).
const SIGBUS: &str = "SIGBUS";

/// The errno has a name. Numbers from 512 on are for the kernel alone
/// (include/linux/errno.h).
pub(crate) fn anywhere(errno: i32) -> bool {
    errno == 0 || Errno::from_raw(errno) != Errno::UnknownErrno
}

/// Other operations at the same time, on sound disks with a server that
/// answers, can lead to the outcome's errno.
pub(crate) fn in_a_race(op: &Op, outcome: &Outcome) -> bool {
    match Errno::from_raw(outcome.errno) {
        Errno::EIO | Errno::EUCLEAN | Errno::ENOTCONN => false,
        // A handle outlives its file. A path does not: what a lookup found
        // stale is looked up once more (`retry_estale`).
        Errno::ESTALE => matches!(op.innermost(), Op::File(FileOp::OpenHandle { .. })),
        // Every pointer of ours is good; a page can be cut off while it is used.
        Errno::EFAULT => outcome.step == SIGBUS,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::testing::{failed, path};

    #[rstest]
    #[case(0, true)]
    #[case(Errno::EIO as i32, true)]
    #[case(512, false)]
    #[case(524, false)]
    fn names(#[case] errno: i32, #[case] expected: bool) {
        assert_eq!(anywhere(errno), expected);
    }

    #[rstest]
    #[case::io(Errno::EIO, "", false)]
    #[case::corrupted(Errno::EUCLEAN, "", false)]
    #[case::stale(Errno::ESTALE, "", false)]
    #[case::aborted(Errno::ENOTCONN, "", false)]
    #[case::pointer(Errno::EFAULT, "pread", false)]
    #[case::truncated(Errno::EFAULT, SIGBUS, true)]
    #[case::gone(Errno::ENOENT, "", true)]
    #[case::there(Errno::EEXIST, "", true)]
    fn races(#[case] errno: Errno, #[case] step: &str, #[case] expected: bool) {
        let outcome = Outcome {
            step: step.into(),
            ..failed(errno as i32)
        };
        assert_eq!(
            in_a_race(&Op::Unlink { path: path("f") }, &outcome),
            expected
        );
    }

    #[test]
    fn a_handle_may_be_stale() {
        let op = Op::File(FileOp::OpenHandle { handle: 0, slot: 0 });
        assert!(in_a_race(&op, &failed(Errno::ESTALE as i32)));
        assert!(!in_a_race(&op, &failed(Errno::EIO as i32)));
    }
}
