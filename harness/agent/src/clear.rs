//! Removing what a case left, whatever it made of it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::exec::make_removable;

/// Remove `dir` and everything below it; nothing is fine, too.
///
/// # Errors
/// Those of unlink(2), rmdir(2) and what reading a directory takes.
pub fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // ext4 keeps files with the attributes `i` and `a`, and directories
        // with them keep what is in them.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            release(dir)?;
            fs::remove_dir_all(dir)
        }
        other => other,
    }
}

/// Take those attributes away from `dir` and all below it.
fn release(dir: &Path) -> io::Result<()> {
    make_removable(&open(dir)?)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            release(&entry.path())?;
        } else if kind.is_file() {
            make_removable(&open(&entry.path())?)?;
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use lookback_ops::trace;

    use super::*;
    use crate::board::Board;
    use crate::exec::{Bases, Mount, World};

    #[test]
    fn nothing_stays_of_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let case = dir.path().join("case");
        remove(&case).unwrap();
        fs::create_dir_all(case.join("d/e")).unwrap();
        fs::write(case.join("d/f"), "x").unwrap();
        std::os::unix::fs::symlink("/", case.join("l")).unwrap();
        remove(&case).unwrap();
        assert!(!case.exists());
    }

    // Where this machine lets us set the attributes at all.
    #[test]
    fn attributes_keep_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let case = dir.path().join("case");
        fs::create_dir(&case).unwrap();
        let root = case.to_str().unwrap().to_owned();
        let bases = Bases {
            arm: root.clone(),
            lower: root.clone(),
            outside: root.clone(),
            root,
            mount: Mount::Local,
        };
        let mut world = World::new(bases, Board::new().unwrap());
        let text = "mkdir d\ncreat d/f\ncreat d/g\nchattr d/f i\nchattr d/g a\nchattr d i";
        let lines = trace::parse(text).unwrap();
        if lines.iter().any(|line| world.run(&line.op).errno != 0) {
            return;
        }
        assert!(fs::remove_dir_all(&case).is_err());
        remove(&case).unwrap();
        assert!(!case.exists());
    }
}
