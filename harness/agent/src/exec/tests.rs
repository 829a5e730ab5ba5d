//! Operations, run in a directory of this machine.

mod files;
mod io;
mod program;

use lookback_ops::{Outcome, Value, trace};
use rstest::rstest;

use super::*;

/// Run a trace in a fresh directory: every outcome.
fn run(text: &str) -> Vec<Outcome> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let bases = Bases {
        arm: format!("{root}/arm"),
        lower: format!("{root}/arm"),
        outside: format!("{root}/outside"),
        root: root.to_owned(),
        mount: Mount::Local,
    };
    std::fs::create_dir(&bases.arm).unwrap();
    std::fs::create_dir(&bases.outside).unwrap();
    let mut world = World::new(bases, Board::new().unwrap());
    trace::parse(text)
        .unwrap()
        .iter()
        .map(|line| world.run(&line.op))
        .collect()
}

fn last(text: &str) -> Outcome {
    run(text).pop().unwrap()
}

#[rstest]
#[case("creat a\ncreat a", "open", libc::EEXIST)]
#[case("mkdir a\nmkdir a", "", libc::EEXIST)]
#[case("stat a", "", libc::ENOENT)]
#[case("mkdir d\ncreat d/f\nrmdir d", "", libc::ENOTEMPTY)]
#[case("mkdir d\nunlink d", "", libc::EISDIR)]
#[case("creat f\ncreat g\nrename f g noreplace", "", libc::EEXIST)]
#[case("creat f\nrename f g exchange", "", libc::ENOENT)]
#[case("mkdir d\nrename d d/e", "", libc::EINVAL)]
#[case("write f len=1", "open", libc::ENOENT)]
#[case("mkdir d\nwrite d len=1", "open", libc::EISDIR)]
#[case("mknod p fifo\nwrite p len=1", "open", libc::ENXIO)]
#[case("mknod p fifo\nread p len=1", "pread", libc::ESPIPE)]
#[case("fstat 1", "slot", libc::EBADF)]
#[case("creat f\nopen 1 f rdonly\npwrite 1 len=1", "", libc::EBADF)]
#[case("creat f\nopen 1 f rdonly\nlseek 1 -1 set", "", libc::EINVAL)]
#[case("creat f\ntruncate f 18446744073709551615", "", libc::EINVAL)]
#[case("symlink l l\nstat l", "", libc::ELOOP)]
#[case("creat f\nreadlink f", "", libc::EINVAL)]
#[case("creat f\nreaddir f", "open", libc::ENOTDIR)]
#[case("creat f\naccess f 0100", "", libc::EINVAL)]
fn a_refusal_has_its_errno_and_step(#[case] text: &str, #[case] step: &str, #[case] errno: i32) {
    let outcome = last(text);
    assert_eq!(
        (outcome.ret, outcome.errno, outcome.step.as_str()),
        (-1, errno, step),
        "{text}"
    );
}

#[rstest]
#[case("write f off=3 len=5000 seed=9", "read f off=3 len=5000")]
#[case(
    "truncate f 8192\nmwrite f off=4097 len=1000 seed=9",
    "mread f off=4097 len=1000"
)]
#[case("write f off=5 len=3m seed=9", "read f off=5 len=3m")]
#[case(
    "open 1 f rdwr\npwrite 1 off=10 len=20 seed=9",
    "pread 1 off=10 len=20"
)]
fn what_is_written_is_read(#[case] write: &str, #[case] read: &str) {
    let outcomes = run(&format!("creat f\n{write}\n{read}"));
    let read = trace::parse(read).unwrap().remove(0).op;
    let (off, len) = match read {
        Op::Read { off, len, .. } | Op::MmapRead { off, len, .. } | Op::Pread { off, len, .. } => {
            (off, len)
        }
        _ => unreachable!(),
    };
    let mut bytes = vec![0; len as usize];
    lookback_ops::pattern::fill(9, off, &mut bytes);
    let digest = xxhash_rust::xxh3::xxh3_64(&bytes);
    let [.., written, read] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    assert_eq!((written.ret, written.errno), (i64::from(len), 0));
    assert_eq!(
        read.value,
        Value::Data {
            len: len.into(),
            digest
        }
    );
}

#[test]
fn a_mapping_is_cut_at_the_end_of_the_file() {
    let cut = last("creat f\ntruncate f 10\nmwrite f off=4 len=100 seed=1");
    assert_eq!((cut.ret, cut.errno), (6, 0));
    assert_eq!(last("creat f\nmread f off=4 len=100").ret, 0);
}

#[test]
fn a_directory_lists_its_entries_by_name() {
    let outcome = last("mkdir d\ncreat b\nsymlink x a\nreaddir .");
    let Value::Entries(entries) = outcome.value else {
        panic!("{outcome:?}")
    };
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.name.as_str(), e.d_type, e.ino_agrees))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", libc::DT_LNK, true),
            ("b", libc::DT_REG, true),
            ("d", libc::DT_DIR, true)
        ]
    );
}

#[test]
fn an_unlinked_open_file_lives_on() {
    let outcomes =
        run("creat f\nopen 1 f rdwr\nunlink f\npwrite 1 len=7\nfstat 1\nclose 1\nclose 1");
    let Value::Stat(stat) = &outcomes[4].value else {
        panic!("{outcomes:?}")
    };
    assert_eq!((stat.nlink, stat.size), (0, 7));
    assert_eq!((outcomes[5].errno, outcomes[6].errno), (0, libc::EBADF));
}

#[test]
fn attributes_are_set_and_seen() {
    let outcome = last("creat f 0600\nchmod f 04711\nutimens f atime=omit mtime=5:7\nlstat f");
    let Value::Stat(stat) = outcome.value else {
        panic!("{outcome:?}")
    };
    assert_eq!((stat.mode, stat.mtime), (0o104_711, (5, 7)));
}

#[test]
fn the_other_bases_are_other_places() {
    let outcomes = run("creat @outside/f\nstat f\nstat @outside/f\ncreat g\nstat @lower/g\nsync");
    let errnos: Vec<_> = outcomes.iter().map(|o| o.errno).collect();
    assert_eq!(errnos, [0, libc::ENOENT, 0, 0, 0, 0]);
}
