//! The tree make sees: links to pristine files, and files of its own where a series differs.
//!
//! One tree serves every kernel of a source and profile. Going from one series to another
//! replaces the files whose content differs and no others, so that make rebuilds what depends on
//! them and no more.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::series::{FileContent, Overlay};
use crate::source::{Source, SourceError};

/// Why the tree could not be brought up to date.
#[derive(Debug, Error)]
pub enum WorktreeError {
    /// A file of the tree or of the list beside it.
    #[error("cannot prepare {}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The source cannot be listed.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// The directory of one source and profile.
#[derive(Debug)]
pub(crate) struct Worktree {
    dir: PathBuf,
}

impl Worktree {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The source tree for make.
    pub(crate) fn src(&self) -> PathBuf {
        self.dir.join("src")
    }

    /// The output tree of make.
    pub(crate) fn obj(&self) -> PathBuf {
        self.dir.join("obj")
    }

    /// A configuration made before, by the digest of what it was made from.
    pub(crate) fn saved_config(&self, digest: &str) -> PathBuf {
        self.dir.join("configs").join(digest)
    }

    /// What make said last.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("build.log")
    }

    /// The paths that are, or may be, files of the tree's own.
    fn own(&self) -> PathBuf {
        self.dir.join("own-files")
    }

    /// Makes the tree equal to `pristine` with `overlay` on it.
    pub(crate) fn sync(
        &self,
        source: &Source,
        pristine: &Path,
        overlay: &Overlay,
    ) -> Result<(), WorktreeError> {
        let mut own = self.read_own()?;
        own.extend(overlay.keys().cloned());
        match source {
            Source::Archive { .. } => self.populate(source, pristine)?,
            Source::Tree { .. } => self.follow(source, pristine, &own)?,
        }
        // Written before the first file is: a sync that is cut short is then redone whole.
        self.write_own(&own)?;
        for path in &own {
            let target = self.src().join(path);
            let fail = |error| WorktreeError::Io {
                path: target.clone(),
                error,
            };
            let wanted = match overlay.get(path) {
                Some(content) => content.clone(),
                None => FileContent::read(&pristine.join(path)).map_err(fail)?,
            };
            if FileContent::read(&target).map_err(fail)? == wanted {
                continue;
            }
            // A file that goes back to its pristine content is a copy and no link: a link would
            // bring the old time along, and make would not see the change.
            match wanted {
                Some(content) => content.create(&target),
                None => fs::remove_file(&target),
            }
            .map_err(fail)?;
        }
        Ok(())
    }

    /// Links an unpacked archive, once: it never changes. Hard links cost no blocks.
    fn populate(&self, source: &Source, pristine: &Path) -> Result<(), WorktreeError> {
        let src = self.src();
        if src.is_dir() {
            return Ok(());
        }
        let partial = self.dir.join("src.partial");
        let fail = |error| WorktreeError::Io {
            path: partial.clone(),
            error,
        };
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(fail)?;
        }
        fs::create_dir_all(&partial).map_err(fail)?;
        let mut made = BTreeSet::new();
        for file in source.files(pristine)? {
            let (from, to) = (pristine.join(&file), partial.join(&file));
            let fail = |error| WorktreeError::Io {
                path: to.clone(),
                error,
            };
            if let Some(dir) = file.parent().filter(|dir| !made.contains(*dir)) {
                fs::create_dir_all(partial.join(dir)).map_err(fail)?;
                made.insert(dir.to_owned());
            }
            fs::hard_link(&from, &to).map_err(fail)?;
        }
        fs::rename(&partial, &src).map_err(fail)
    }

    /// Follows a tree somebody works in: symbolic links, so that an edit there is seen here with
    /// its time, however the editor saves.
    fn follow(
        &self,
        source: &Source,
        pristine: &Path,
        own: &BTreeSet<PathBuf>,
    ) -> Result<(), WorktreeError> {
        let src = self.src();
        let fail_at = |path: &Path| {
            let path = path.to_owned();
            move |error| WorktreeError::Io {
                path: path.clone(),
                error,
            }
        };
        fs::create_dir_all(&src).map_err(fail_at(&src))?;
        let wanted: BTreeSet<PathBuf> = source
            .files(pristine)?
            .into_iter()
            .filter(|file| fs::symlink_metadata(pristine.join(file)).is_ok())
            .collect();
        let mut dirs = vec![PathBuf::new()];
        while let Some(dir) = dirs.pop() {
            let fail = fail_at(&src.join(&dir));
            for entry in fs::read_dir(src.join(&dir)).map_err(&fail)? {
                let entry = entry.map_err(&fail)?;
                let path = dir.join(entry.file_name());
                if entry.file_type().map_err(&fail)?.is_dir() {
                    dirs.push(path);
                } else if !wanted.contains(&path) && !own.contains(&path) {
                    fs::remove_file(src.join(&path)).map_err(&fail)?;
                }
            }
        }
        let mut made = BTreeSet::new();
        for file in wanted.iter().filter(|file| !own.contains(*file)) {
            let (from, to) = (pristine.join(file), src.join(file));
            let fail = fail_at(&to);
            // A link of the source's own is relative to where it stands.
            let target = fs::read_link(&from).unwrap_or_else(|_| from.clone());
            if fs::read_link(&to).is_ok_and(|there| there == target) {
                continue;
            }
            if let Some(dir) = file.parent().filter(|dir| !made.contains(*dir)) {
                fs::create_dir_all(src.join(dir)).map_err(&fail)?;
                made.insert(dir.to_owned());
            }
            match fs::remove_file(&to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
                _ => symlink(&target, &to).map_err(&fail)?,
            }
        }
        Ok(())
    }

    fn read_own(&self) -> Result<BTreeSet<PathBuf>, WorktreeError> {
        let path = self.own();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().map(PathBuf::from).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(WorktreeError::Io { path, error }),
        }
    }

    fn write_own(&self, own: &BTreeSet<PathBuf>) -> Result<(), WorktreeError> {
        let path = self.own();
        let fail = |error| WorktreeError::Io {
            path: path.clone(),
            error,
        };
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).map_err(fail)?;
        for line in own {
            writeln!(file, "{}", line.display()).map_err(fail)?;
        }
        file.persist(&path).map_err(|error| fail(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    struct Bench {
        _dir: tempfile::TempDir,
        pristine: PathBuf,
        tree: Worktree,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let pristine = dir.path().join("linux");
        fs::create_dir_all(pristine.join("fs")).unwrap();
        for (file, text) in [
            ("Makefile", "VERSION = 6"),
            ("fs/x.c", "x"),
            ("fs/y.c", "y"),
        ] {
            fs::write(pristine.join(file), text).unwrap();
        }
        let work = dir.path().join("work");
        fs::create_dir(&work).unwrap();
        Bench {
            _dir: dir,
            pristine,
            tree: Worktree::new(work),
        }
    }

    fn overlay(files: &[(&str, Option<&str>)]) -> Overlay {
        let content = |text: &str| FileContent {
            bytes: text.as_bytes().to_vec(),
            executable: false,
        };
        files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), text.map(content)))
            .collect()
    }

    impl Bench {
        fn sync(&self, archive: bool, files: &[(&str, Option<&str>)]) {
            let (path, id) = (self.pristine.clone(), "linux".to_owned());
            let source = if archive {
                Source::Archive { path, id }
            } else {
                Source::Tree { path, id }
            };
            self.tree
                .sync(&source, &self.pristine, &overlay(files))
                .unwrap();
        }

        fn read(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.tree.src().join(path)).ok()
        }

        fn changed(&self, path: &str) -> (u64, i64, i64) {
            let meta = fs::metadata(self.tree.src().join(path)).unwrap();
            (meta.ino(), meta.mtime(), meta.mtime_nsec())
        }
    }

    #[rstest::rstest]
    fn switching_series_touches_only_what_differs(#[values(true, false)] archive: bool) {
        let bench = bench();
        bench.sync(archive, &[("fs/x.c", Some("X")), ("fs/new.c", Some("n"))]);
        assert_eq!(bench.read("fs/x.c").as_deref(), Some("X"));
        assert_eq!(bench.read("fs/new.c").as_deref(), Some("n"));
        let (x, y) = (bench.changed("fs/x.c"), bench.changed("fs/y.c"));

        bench.sync(archive, &[("fs/x.c", Some("X")), ("fs/y.c", None)]);
        assert_eq!(bench.changed("fs/x.c"), x);
        assert_eq!(bench.read("fs/new.c"), None);
        assert_eq!(bench.read("fs/y.c"), None);

        bench.sync(archive, &[]);
        assert_eq!(bench.read("fs/x.c").as_deref(), Some("x"));
        assert_eq!(bench.read("fs/y.c").as_deref(), Some("y"));
        // Newer than what was built from the patched one, not as old as the pristine.
        assert!(bench.changed("fs/x.c").1 >= x.1 && bench.changed("fs/x.c") != x);
        assert_ne!(bench.changed("fs/y.c"), y);
        for (file, text) in [("fs/x.c", "x"), ("fs/y.c", "y")] {
            assert_eq!(fs::read_to_string(bench.pristine.join(file)).unwrap(), text);
        }
    }

    #[test]
    fn a_working_tree_is_followed() {
        let bench = bench();
        bench.sync(false, &[]);
        fs::write(bench.pristine.join("fs/z.c"), "z").unwrap();
        fs::remove_file(bench.pristine.join("fs/y.c")).unwrap();
        bench.sync(false, &[]);
        assert_eq!(bench.read("fs/z.c").as_deref(), Some("z"));
        assert_eq!(bench.read("fs/y.c"), None);
    }

    #[test]
    fn a_partial_tree_is_not_taken_for_a_whole_one() {
        let bench = bench();
        fs::create_dir_all(bench.tree.dir.join("src.partial/fs")).unwrap();
        bench.sync(true, &[]);
        assert_eq!(bench.read("fs/y.c").as_deref(), Some("y"));
    }
}
