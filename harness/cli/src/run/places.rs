//! What a case's rules have the server find in the share.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use lookback_wire::rules::{Kind, Rules};
use nix::{
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::mkfifo,
};
use tracing::warn;

/// Where a symlink points.
const TARGET: &str = "nowhere";
/// Major and minor number of a character device: /dev/null.
const NULL: (u64, u64) = (1, 3);

/// A place that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// This process may not make such a file.
    #[error("making a character device for the rule of {path:?} needs root (CAP_MKNOD)")]
    Privilege {
        /// The rule's path.
        path: String,
    },
    /// Anything else.
    #[error("cannot make {} for a rule: {source}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The files of one case. Dropping it removes them, whatever became of them
/// meanwhile.
#[derive(Debug, Default)]
pub struct Places {
    /// In the order they were made.
    made: Vec<PathBuf>,
}

impl Places {
    /// Makes what the rules speak of below `root`, and the directories above.
    /// A directory that is there already is left as it is.
    ///
    /// # Errors
    /// The first that can't be made; those before it are removed.
    pub fn make(root: &Path, rules: &Rules) -> Result<Self, PlaceError> {
        let mut places = Self::default();
        for (path, kind) in rules.places() {
            let (above, _) = path.rsplit_once('/').unwrap_or(("", path));
            let mut directory = root.to_owned();
            for name in above.split('/').filter(|name| !name.is_empty()) {
                directory.push(name);
                places.directory(&directory)?;
            }
            let file = root.join(path);
            match kind {
                Kind::Dir => places.directory(&file)?,
                _ => places.file(path, &file, kind)?,
            }
        }
        Ok(places)
    }

    fn directory(&mut self, path: &Path) -> Result<(), PlaceError> {
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
            return Ok(());
        }
        fs::create_dir(path)
            .and_then(|()| self.keep(path, 0o755))
            .map_err(failed(path))
    }

    fn file(&mut self, rule: &str, path: &Path, kind: Kind) -> Result<(), PlaceError> {
        let private = Mode::S_IRUSR | Mode::S_IWUSR;
        let made = match kind {
            Kind::Symlink => {
                symlink(TARGET, path).map_err(failed(path))?;
                self.made.push(path.to_owned());
                return Ok(());
            }
            Kind::Fifo => mkfifo(path, private).map_err(io::Error::from),
            Kind::Char => {
                let device = makedev(NULL.0, NULL.1);
                match mknod(path, SFlag::S_IFCHR, private, device) {
                    Err(nix::errno::Errno::EPERM) => {
                        let path = rule.to_owned();
                        return Err(PlaceError::Privilege { path });
                    }
                    made => made.map_err(io::Error::from),
                }
            }
            Kind::File | Kind::Dir => fs::File::create_new(path).map(drop),
        };
        made.and_then(|()| self.keep(path, 0o644))
            .map_err(failed(path))
    }

    /// It is there, and is this case's from now on. The process's umask has no
    /// say in its mode.
    fn keep(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        self.made.push(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::Make { path, source }
}

impl Drop for Places {
    fn drop(&mut self) {
        for path in self.made.drain(..).rev() {
            // The guest may have put anything in its place, or nothing.
            let removed = match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
                Ok(_) => fs::remove_file(&path),
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!("cannot remove {}: {error}", path.display());
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use rstest::rstest;

    use super::*;

    fn rules(lookup: &str) -> Rules {
        toml::from_str(&format!("lookup = [{lookup}]")).unwrap()
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A share's root with the run's own directory.
    fn share() -> tempfile::TempDir {
        let share = tempfile::tempdir().unwrap();
        fs::create_dir(share.path().join("stack")).unwrap();
        share
    }

    #[test]
    fn every_kind_is_made_and_removed() {
        let share = share();
        let rules = rules(
            r#"{ path = "stack" }, { path = "d" }, { path = "a/b/f", kind = "file" },
               { path = "a/p", kind = "fifo" }, { path = "l", kind = "symlink" }"#,
        );
        let places = Places::make(share.path(), &rules).unwrap();
        let meta = |name: &str| fs::symlink_metadata(share.path().join(name)).unwrap();
        assert_eq!(names(share.path()), ["a", "d", "l", "stack"]);
        assert!(meta("d").is_dir() && meta("a/b/f").is_file());
        assert!(meta("a/p").file_type().is_fifo() && meta("l").is_symlink());
        assert_eq!(meta("a/b/f").permissions().mode() & 0o7777, 0o644);
        assert_eq!(meta("d").permissions().mode() & 0o7777, 0o755);
        drop(places);
        assert_eq!(names(share.path()), ["stack"]);
    }

    #[test]
    fn a_device_is_made_or_the_lack_of_privilege_is_told() {
        let share = share();
        let device = share.path().join("c");
        match Places::make(
            share.path(),
            &rules(r#"{ path = "x" }, { path = "c", kind = "char" }"#),
        ) {
            Ok(places) => {
                assert!(fs::metadata(&device).unwrap().file_type().is_char_device());
                drop(places);
            }
            Err(error) => {
                assert!(matches!(error, PlaceError::Privilege { .. }), "{error}");
                assert!(error.to_string().contains("\"c\""), "{error}");
            }
        }
        assert_eq!(names(share.path()), ["stack"]);
    }

    #[rstest]
    #[case::gone(|d: &Path| fs::remove_dir(d).unwrap())]
    #[case::filled(|d: &Path| fs::write(d.join("f"), "").unwrap())]
    #[case::another_kind(|d: &Path| { fs::remove_dir(d).unwrap(); fs::write(d, "").unwrap(); })]
    #[case::a_link_elsewhere(|d: &Path| { fs::remove_dir(d).unwrap(); symlink("stack", d).unwrap(); })]
    fn whatever_the_guest_does_nothing_stays(#[case] guest: fn(&Path)) {
        let share = share();
        let places = Places::make(share.path(), &rules(r#"{ path = "d" }"#)).unwrap();
        guest(&share.path().join("d"));
        drop(places);
        assert_eq!(names(share.path()), ["stack"]);
    }

    #[test]
    fn what_was_there_is_named_and_stays() {
        let share = share();
        fs::write(share.path().join("f"), "precious").unwrap();
        let rules = rules(r#"{ path = "d" }, { path = "f", kind = "file" }"#);
        let error = Places::make(share.path(), &rules).unwrap_err().to_string();
        assert!(error.contains("/f for a rule: File exists"), "{error}");
        assert_eq!(names(share.path()), ["f", "stack"]);
    }
}
