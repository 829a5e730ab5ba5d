//! Operations on extended attributes, ranges, inodes, locks and mounts.

use super::*;

fn text(trace: &str) -> String {
    let outcome = last(trace);
    match outcome.value {
        Value::Text(text) | Value::Link(text) => text,
        _ => panic!("{trace}: {outcome:?}"),
    }
}

#[rstest]
#[case("creat f\nsetxattr f user.a x replace", "", libc::ENODATA)]
#[case(
    "creat f\nsetxattr f user.a x\nsetxattr f user.a y create",
    "",
    libc::EEXIST
)]
#[case("creat f\ngetxattr f user.a", "length", libc::ENODATA)]
#[case("listxattr f", "length", libc::ENOENT)]
#[case("creat f\nremovexattr f user.a", "", libc::ENODATA)]
#[case("creat f\nfallocate f len=0", "fallocate", libc::EINVAL)]
#[case("creat f\nfallocate f len=1 0x40000000", "fallocate", libc::EOPNOTSUPP)]
#[case("mkdir d\nfallocate d len=1", "open", libc::EISDIR)]
#[case("creat f\ncopyrange f f len=0", "copy_file_range", 0)]
#[case("creat f\ncopyrange f g len=1", "open", libc::ENOENT)]
#[case(
    "creat f\nmkdir d\ncopyrange d f len=1",
    "copy_file_range",
    libc::EISDIR
)]
#[case("creat f\nmkdir d\nsplice d f len=1", "splice in", libc::EINVAL)]
#[case("ioctl f unknown", "open", libc::ENOENT)]
#[case("creat f\nioctl f unknown", "ioctl", libc::ENOTTY)]
#[case("statfs f", "", libc::ENOENT)]
#[case("flock 1 sh", "slot", libc::EBADF)]
#[case("stat @fd1/f", "slot", libc::EBADF)]
#[case("openhandle 1 2", "handle", libc::EBADF)]
#[case("handle 1 f", "", libc::ENOENT)]
#[case("watch 1 f", "", libc::ENOENT)]
#[case("exec f", "", libc::ENOENT)]
#[case("creat f\nexec f", "", libc::EACCES)]
#[case("creat f 0755\nwrite f len=100 seed=1\nexec f", "", libc::ENOEXEC)]
#[case("creat f 0755\nopen 1 f rdwr\nexec f", "", libc::ETXTBSY)]
#[case("rootdir .", "unsupported", libc::EOPNOTSUPP)]
#[case("register 1 .", "unsupported", libc::EOPNOTSUPP)]
#[case("unregister 1", "unsupported", libc::EOPNOTSUPP)]
#[case("abort", "unsupported", libc::EOPNOTSUPP)]
fn a_refusal_has_its_errno_and_step(#[case] trace: &str, #[case] step: &str, #[case] errno: i32) {
    let outcome = last(trace);
    let step = if errno == 0 { "" } else { step };
    assert_eq!(
        (outcome.errno, outcome.step.as_str()),
        (errno, step),
        "{trace}"
    );
}

#[test]
fn an_extended_attribute_is_set_and_seen() {
    let outcomes = run(
        "creat f\nsetxattr f user.b hex:00ff\nsetxattr f user.a \"\"\ngetxattr f user.b\n\
                        getxattr f user.a\nlistxattr f\nremovexattr f user.b\nlistxattr f",
    );
    let digest = xxhash_rust::xxh3::xxh3_64(&[0, 255]);
    assert_eq!(outcomes[3].value, Value::Data { len: 2, digest });
    assert_eq!((outcomes[3].ret, outcomes[4].ret), (2, 0));
    let names = |outcome: &Outcome| match &outcome.value {
        Value::Names(names) => names
            .iter()
            .filter(|name| name.starts_with("user."))
            .cloned()
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(names(&outcomes[5]), ["user.a", "user.b"]);
    assert_eq!(names(&outcomes[7]), ["user.a"]);
}

#[rstest]
#[case("copyrange f g soff=10 doff=20 len=3000", 3000)]
#[case("copyrange f g soff=4000 len=9000", 1000)]
#[case("splice f g off=10 len=4990", 4990)]
#[case("splice f g len=1m", 5000)]
fn what_is_copied_is_counted(#[case] copy: &str, #[case] count: i64) {
    let outcome = last(&format!(
        "creat f\nwrite f len=5000 seed=3\ncreat g\n{copy}"
    ));
    assert_eq!((outcome.ret, outcome.errno), (count, 0));
}

#[rstest]
#[case("copyrange f g len=70k")]
#[case("splice f g len=200k")]
fn what_is_copied_is_the_same(#[case] copy: &str) {
    let outcomes = run(&format!(
        "creat f\nwrite f len=70000 seed=3\ncreat g\n{copy}\nread f len=70000\nread g len=70000"
    ));
    assert_eq!(outcomes[4].ret, 70000);
    assert_eq!(outcomes[4], outcomes[5]);
}

#[test]
fn a_range_is_allocated_behind_the_end() {
    let outcomes =
        run("creat f\nfallocate f len=9k keep\nstat f\nfallocate f off=1 len=9k\nstat f");
    let size = |outcome: &Outcome| match &outcome.value {
        Value::Stat(stat) => stat.size,
        other => panic!("{other:?}"),
    };
    assert_eq!((size(&outcomes[2]), size(&outcomes[4])), (0, 9217));
}

#[test]
fn a_file_without_a_name_gets_one() {
    let outcomes = run(
        "open 1 . rdwr|tmpfile 0600\npwrite 1 len=7\nfdpath 1\nlinkfd 1 f\nstat f\n\
         fdpath 1\nopen 2 f rdonly\nfdpath 2\nunlink f\nfdpath 2\nopen 3 . rdonly\nfdpath 3",
    );
    assert_eq!(outcomes[2].value, Value::Link("# (deleted)".into()));
    assert_eq!((outcomes[3].errno, outcomes[4].errno), (0, 0));
    assert_eq!(outcomes[7].value, Value::Link("f".into()));
    assert_eq!(outcomes[9].value, Value::Link("f (deleted)".into()));
    assert_eq!(outcomes[11].value, Value::Link(String::new()));
}

#[test]
fn a_slot_is_a_place_for_paths() {
    let outcomes =
        run("mkdir d\nopen 1 d rdonly|directory\nrename d e\ncreat @fd1/f\nstat e/f\nstat @fd1");
    assert!(outcomes.iter().all(|o| o.errno == 0), "{outcomes:?}");
    let mode = match &outcomes[5].value {
        Value::Stat(stat) => stat.mode >> 12,
        other => panic!("{other:?}"),
    };
    assert_eq!(mode, 0o04);
}

#[test]
fn locks_of_open_files_meet() {
    let outcomes = run(
        "creat f\nopen 1 f rdwr\nopen 2 f rdwr\nflock 1 ex\nflock 2 sh\nflock 1 un\nflock 2 sh",
    );
    let errnos: Vec<_> = outcomes[3..].iter().map(|o| o.errno).collect();
    assert_eq!(errnos, [0, libc::EWOULDBLOCK, 0, 0]);
    // A process does not stand in its own way.
    let own = "creat f\nopen 1 f rdwr\nlock 1 wr off=10 len=5\n";
    assert_eq!(text(&format!("{own}getlock 1 wr")), "un");
    assert_eq!(
        last(&format!("{own}open 2 f rdonly\nlock 2 wr")).errno,
        libc::EBADF
    );
    assert_eq!(last(&format!("{own}lock 1 wr off=-1")).errno, libc::EINVAL);
    assert_eq!(last("creat f\nopen 1 f rdonly\nlease 1 rd").errno, 0);
    assert_eq!(
        last("creat f\nopen 1 f rdwr\nlease 1 rd").errno,
        libc::EAGAIN
    );
}

#[test]
fn a_file_system_tells_its_sizes() {
    let told = text("statfs .");
    assert!(
        told.starts_with("bsize=") && told.contains(" namelen=255"),
        "{told}"
    );
}

#[test]
fn a_watch_is_closed_like_a_file() {
    let outcomes = run("creat f\nwatch 1 f\nunlink f\nclose 1\nclose 1");
    let errnos: Vec<_> = outcomes.iter().map(|o| o.errno).collect();
    assert_eq!(errnos, [0, 0, 0, 0, libc::EBADF]);
}

#[test]
fn a_path_walked_a_moment_ago_is_cached() {
    // Where the temporary directory's file system can tell so at all.
    let outcome = last("creat f\nstat f\ncached f");
    assert!([0, libc::EAGAIN].contains(&outcome.errno), "{outcome:?}");
}

#[test]
fn a_repetition_that_differs_is_told() {
    assert_eq!(last("repeat 3 creat f").errno, libc::EEXIST);
    assert_eq!(last("creat f\nrepeat 3 creat f").errno, libc::EEXIST);
    assert_eq!(last("creat f\nrepeat 100 stat f").errno, 0);
    let once = last("creat f\nwrite f len=9 seed=1\nrepeat 5 read f len=9");
    assert_eq!(once.ret, 9);
}

#[test]
fn paths_are_shown_below_their_base() {
    let bases = Bases {
        arm: "/mnt/backed/stack".into(),
        lower: "/mnt/lower/case".into(),
        outside: "/mnt/backed/outside/case".into(),
        root: "/mnt/backed".into(),
        mount: Mount::Virtiofs { tag: "backed" },
    };
    let shown = |path| bases.relative(path);
    assert_eq!(shown("/mnt/backed/stack/d/f"), Some("d/f"));
    assert_eq!(shown("/mnt/backed/stacked"), Some("stacked"));
    assert_eq!(shown("/mnt/lower/case"), Some(""));
    assert_eq!(shown("/mnt/lower/case (deleted)"), Some(" (deleted)"));
    assert_eq!(shown("/mnt/lower/cases"), None);
    assert_eq!(shown("/mnt/backed/outside/case/f"), Some("f"));
}
