//! Reads and writes by other means, and kept mappings.

use super::*;

/// The digest of what a write of `seed` stores in a range.
fn stored(seed: u64, off: u64, len: usize) -> Value {
    let mut bytes = vec![0; len];
    lookback_ops::pattern::fill(seed, off, &mut bytes);
    let digest = xxhash_rust::xxh3::xxh3_64(&bytes);
    Value::Data {
        len: len as u64,
        digest,
    }
}

#[rstest]
#[case(
    "writev f off=3 len=10001 seed=9 parts=3",
    "readv f off=3 len=10001 parts=4"
)]
#[case("writev f off=3 len=5 seed=9 parts=7", "read f off=3 len=5")]
#[case("dwrite f off=4k len=8k seed=9", "dread f off=4k len=8k")]
#[case("dwrite f off=0 len=3m seed=9", "read f off=0 len=3m")]
#[case("awrite f off=8k len=4k seed=9", "aread f off=8k len=4k")]
#[case("awrite f off=0 len=64k seed=9", "read f off=0 len=64k")]
#[case("uringwrite f off=5 len=70000 seed=9", "uringread f off=5 len=70000")]
#[case("write f off=5 len=70000 seed=9", "uringread f off=5 len=70000")]
fn what_is_written_is_read(#[case] write: &str, #[case] read: &str) {
    let outcomes = run(&format!("creat f\n{write}\n{read}"));
    let (Op::Io(lookback_ops::IoOp::Write { off, len, .. }) | Op::Write { off, len, .. }) =
        trace::parse(write).unwrap().remove(0).op
    else {
        unreachable!()
    };
    if outcomes[1].step == lookback_ops::outcome::UNSUPPORTED {
        // Only io_uring may be forbidden where this is built; the guest has it.
        assert!(write.starts_with("uring"), "{outcomes:?}");
        return;
    }
    assert_eq!(
        (outcomes[1].ret, outcomes[1].errno),
        (len.into(), 0),
        "{outcomes:?}"
    );
    if outcomes[2].step != lookback_ops::outcome::UNSUPPORTED {
        assert_eq!(outcomes[2].ret, i64::from(len), "{outcomes:?}");
        assert_eq!(outcomes[2].value, stored(9, off, len as usize));
    }
}

#[rstest]
#[case("readv f len=1", "open", libc::ENOENT)]
#[case("mkdir f\ndread f len=4k", "open", libc::EINVAL)]
#[case("creat f\nawrite f off=0 len=100", "aio write", libc::EINVAL)]
#[case("mkdir f\nreadv f len=1", "preadv", libc::EISDIR)]
#[case(
    "mknod f fifo\nopen 1 f rdwr|nonblock\nuringread f len=1",
    "uring read",
    libc::EAGAIN
)]
#[case("fdread 1 len=1", "slot", libc::EBADF)]
#[case("creat f\nopen 1 f rdonly\nfdwrite 1 len=1", "", libc::EBADF)]
#[case("mmap 1 1 len=1", "slot", libc::EBADF)]
#[case("creat f\nopen 1 f rdwr\nmmap 1 1 len=0", "mmap", libc::EINVAL)]
#[case("creat f\nopen 1 f rdwr\nmmap 1 1 off=1 len=1", "mmap", libc::EINVAL)]
#[case("creat f\nopen 1 f rdonly\nmmap 1 1 len=1", "mmap", libc::EACCES)]
#[case("creat f\nopen 1 f wronly\nmmap 1 1 len=1 ro", "mmap", libc::EACCES)]
#[case("mstore 1 len=1", "mapping", libc::EBADF)]
#[case("munmap 1", "mapping", libc::EBADF)]
#[case("msync 1", "mapping", libc::EBADF)]
#[case(
    "creat f\nopen 1 f rdonly\nmmap 1 1 len=1 ro\nmstore 1 len=1",
    "mapping",
    libc::EACCES
)]
#[case(
    "creat f\nopen 1 f rdwr\nmmap 1 1 len=9\nmload 1 off=5 len=5",
    "range",
    libc::ERANGE
)]
#[case(
    "creat f\nopen 1 f rdwr\nmmap 1 1 len=9\nmload 1 len=9",
    "SIGBUS",
    libc::EFAULT
)]
#[case(
    "creat f\nopen 1 f rdwr\nmmap 1 1 len=9\nmstore 1 len=9",
    "SIGBUS",
    libc::EFAULT
)]
#[case("clonerange f g len=1", "open", libc::ENOENT)]
#[case("mkdir f\ncreat g\nclonerange f g len=1", "clone", libc::EISDIR)]
#[case("mkdir f\ncreat g\ndeduperange f g len=1", "ioctl", libc::EISDIR)]
fn a_refusal_has_its_errno_and_step(#[case] text: &str, #[case] step: &str, #[case] errno: i32) {
    let outcome = last(text);
    assert_eq!(
        (outcome.ret, outcome.errno, outcome.step.as_str()),
        (-1, errno, step),
        "{text}"
    );
}

#[test]
fn a_position_moves_and_append_is_at_the_end() {
    let outcomes = run(
        "creat f\nopen 1 f rdwr\nfdwrite 1 len=10 seed=1\nfdwrite 1 len=10 seed=2\nlseek 1 10 set\n\
         fdread 1 len=100\nopen 2 f wronly|append\nlseek 2 0 set\nfdwrite 2 len=5 seed=3\nread f off=20 len=9",
    );
    assert_eq!(outcomes[5].value, stored(2, 0, 10));
    assert_eq!(outcomes[9].value, stored(3, 0, 5));
}

#[test]
fn a_mapping_outlives_its_slot_and_its_name() {
    let outcomes = run(
        "creat f\ntruncate f 10000\nlink f g\nopen 1 f rdwr\nmmap 7 1 off=4k len=8k\nclose 1\nunlink f\n\
         mstore 7 off=100 len=5000 seed=4\nmload 7 off=100 len=5000\nread g off=4196 len=5000\nmsync 7\n\
         munmap 7\nmunmap 7",
    );
    assert!(outcomes[..12].iter().all(|o| o.errno == 0), "{outcomes:?}");
    assert_eq!(outcomes[8].value, stored(4, 4196, 5000));
    assert_eq!(outcomes[9].value, outcomes[8].value);
    assert_eq!(outcomes[12].errno, libc::EBADF);
}

#[test]
fn a_mapping_ends_where_its_file_does() {
    let outcomes = run(
        "creat f\ntruncate f 5000\nopen 1 f rdwr\nmmap 1 1 len=16k\nmstore 1 off=4k len=4k seed=1\n\
         mstore 1 off=4k len=5k seed=1\nmload 1 off=5000 len=10\ntruncate f 4096\nmload 1 off=4k len=1\n\
         truncate f 12k\nmload 1 off=4k len=8k",
    );
    let (ret, errno): (Vec<_>, Vec<_>) = outcomes.iter().map(|o| (o.ret, o.errno)).unzip();
    assert_eq!(ret[4..], [904, -1, 0, 0, -1, 0, 8192]);
    assert_eq!((errno[5], errno[8]), (libc::EFAULT, libc::EFAULT));
    // After a fault the mapping is the file's again.
    let zeros = Value::Data {
        len: 8192,
        digest: xxhash_rust::xxh3::xxh3_64(&[0; 8192]),
    };
    assert_eq!(outcomes[10].value, zeros);
}

#[test]
fn equal_ranges_are_told_from_others() {
    // What has no shared extents refuses both; the rest has to know its data.
    let outcomes = run(
        "creat f\nwrite f len=8k seed=1\ncreat g\nclonerange f g len=8k\ndeduperange f g len=4k\n\
         write g len=4k seed=2\ndeduperange f g len=4k",
    );
    let [.., clone, same, _, other] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    if clone.errno == 0 {
        assert_eq!((same.ret, other.ret), (4096, 0));
        assert_eq!(other.value, Value::Text("differs".into()));
    } else {
        assert!(
            [libc::EOPNOTSUPP, libc::EINVAL].contains(&clone.errno),
            "{clone:?}"
        );
    }
}
