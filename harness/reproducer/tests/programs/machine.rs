//! Machines that lack something.

use std::os::unix::process::CommandExt;

use lookback_reproducer::Input;

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
