//! Machines that lack something.

use std::os::unix::process::CommandExt;

use std::process::Command;

use lookback_ops::Line;
use lookback_reproducer::{Input, Must, Stamp, TreeCheck, When, c_program};
use lookback_wire::control::Phase;
use rstest::rstest;

use crate::made::{Made, is_root, parsed, told};

/// Somebody who is not root.
const NOBODY: u32 = 65534;

#[test]
fn what_is_missing_is_named() {
    let trace = parsed("stat d/f\nstat f");
    let setup = parsed("mkdir d\nopen 1 d rdonly|directory\ncreat @fd1/f 0600");
    let made = Made::of(&Input {
        setup: &setup,
        trace: &trace,
        ..Input::default()
    });
    let (status, said) = made.run();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("ran       1 stat d/f: 0\n"), "{said}");
    let (status, said) = made.run();
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("must be an empty directory"), "{said}");
    let (status, said) = told(&made.command().arg("--help").output().unwrap());
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("usage: "), "{said}");
    let (status, said) = told(&made.command().arg("/no/where").output().unwrap());
    assert_eq!(status, 2, "{said}");

    let setup = parsed("rmdir d");
    let (status, said) = Made::of(&Input {
        setup: &setup,
        trace: &trace,
        ..Input::default()
    })
    .run();
    assert_eq!(status, 77, "{said}");
    assert!(said.contains("setup: rmdir d: No such file"), "{said}");

    if !is_root() {
        return;
    }
    let trace = parsed("chown d 1:1");
    let made = Made::of(&Input {
        trace: &trace,
        ..Input::default()
    });
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(made.dir.path(), open).unwrap();
    let (status, said) = told(&made.command().uid(NOBODY).output().unwrap());
    assert_eq!(status, 77, "{said}");
    assert!(said.contains("root"), "{said}");
}

/// A program that does `trace` and looks at a time of `f`.
fn timed(trace: &[Line], stamp: Stamp) -> String {
    let trees = [TreeCheck {
        phase: Phase::Warm,
        path: "f".into(),
        must: Must::HaveTime(stamp, When::Line(1)),
    }];
    c_program(&Input {
        trace,
        trees: &trees,
        ..Input::default()
    })
    .unwrap()
}

/// Run on a file system of its own, in a mount namespace.
#[rstest]
#[case::no_xattrs(
    "-t ramfs",
    "setxattr f user.a x",
    77,
    "the file system has no extended attributes"
)]
#[case::xattrs("-t tmpfs", "chmod f 0600", 0, "all as expected")]
#[case::noatime(
    "-t tmpfs -o noatime",
    "chmod f 0600",
    77,
    "the file system is not mounted relatime"
)]
#[case::strictatime(
    "-t tmpfs -o strictatime",
    "chmod f 0600",
    77,
    "the file system is not mounted relatime"
)]
fn a_mount_that_can_not_show_it_is_named(
    #[case] mount: &str,
    #[case] line: &str,
    #[case] status: i32,
    #[case] shown: &str,
) {
    let trace = parsed(&format!("creat f\n{line}"));
    let made = Made::of_text(&timed(&trace, Stamp::Atime));
    let script = format!("mount {mount} none . && cd . && exec ../reproducer \"$PWD\"");
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !is_root() {
        command.arg("--map-root-user");
    }
    let output = command
        .args(["sh", "-c", &script])
        .current_dir(made.dir.path().join("arm"))
        .output();
    let (saw, said) = told(&output.unwrap());
    assert_eq!(saw, status, "{said}");
    assert!(said.contains(shown), "{said}");
}

#[test]
fn times_of_whole_seconds_show_no_line() {
    let trace = parsed("creat f");
    let text = timed(&trace, Stamp::Ctime);
    let (status, said) = Made::of_text(&text).run();
    assert_eq!(status, 0, "{said}");
    // What fstat says on an ext4 whose inodes have 128 bytes.
    let asks = "fstat(fd, &st)";
    assert_eq!(text.matches(asks).count(), 1, "{text}");
    let whole = text.replace(asks, "(st.st_ctim.tv_nsec = 0)");
    let (status, said) = Made::of_text(&whole).run();
    assert_eq!(status, 77, "{said}");
    assert!(
        said.contains("keeps no time to less than a second"),
        "{said}"
    );
}
