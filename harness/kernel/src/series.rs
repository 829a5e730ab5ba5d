//! A patch series and what it makes of the files it touches.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::digest::Digest;

/// Why a series could not be applied.
#[derive(Debug, Error)]
pub enum SeriesError {
    /// A file or directory of the series cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A directory that was to bring patches brings none.
    #[error("{} holds no *.patch file", .0.display())]
    Empty(PathBuf),
    /// The scratch copy cannot be written.
    #[error("cannot prepare the files the series touches: {0}")]
    Scratch(io::Error),
    /// `patch` cannot be started.
    #[error("cannot run patch: {0}")]
    Start(io::Error),
    /// A patch does not fit this source.
    #[error("{} does not apply to Linux {version}:\n{output}{rejects}", patch.display())]
    Reject {
        /// The patch.
        patch: PathBuf,
        /// The version of the source.
        version: String,
        /// What patch(1) said.
        output: String,
        /// The hunks it refused.
        rejects: String,
    },
}

/// The patches of a kernel, in the order they are applied.
#[derive(Debug)]
pub(crate) struct Series(Vec<(PathBuf, Vec<u8>)>);

/// What a file of the tree is to be; `None` where it is to be absent.
pub(crate) type Overlay = BTreeMap<PathBuf, Option<FileContent>>;

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileContent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) executable: bool,
}

impl FileContent {
    /// Reads a file through symbolic links; `None` where there is none.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let executable = fs::metadata(path)?.permissions().mode() & 0o111 != 0;
        Ok(Some(Self { bytes, executable }))
    }

    /// Writes it as a new file: whatever was there may be a link to a pristine one.
    pub(crate) fn create(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(dir)?;
        let mode = if self.executable { 0o755 } else { 0o644 };
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(mode))
            .tempfile_in(dir)?;
        io::Write::write_all(&mut file, &self.bytes)?;
        file.persist(path)?;
        Ok(())
    }
}

impl Series {
    /// Reads the `*.patch` files of each directory, in the order of their names, and each file.
    pub(crate) fn read(sources: &[PathBuf]) -> Result<Self, SeriesError> {
        let mut patches = Vec::new();
        for source in sources {
            for file in files(source)? {
                let bytes = fs::read(&file).map_err(read(&file))?;
                patches.push((file, bytes));
            }
        }
        Ok(Self(patches))
    }

    /// The first `count` patches.
    pub(crate) fn prefix(&self, count: usize) -> Self {
        Self(self.0[..count.min(self.0.len())].to_vec())
    }

    /// The files of the patches.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(path, _)| path.as_path())
    }

    /// The names of the patches.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0
            .iter()
            .filter_map(|(path, _)| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    pub(crate) fn digest(&self, digest: &mut Digest) {
        digest.field(self.0.len().to_string());
        for (_, bytes) in &self.0 {
            digest.field(bytes);
        }
    }

    /// Applies the series to copies of the files it touches and tells what they became.
    pub(crate) fn apply(
        &self,
        pristine: &Path,
        version: &str,
        scratch: &Path,
    ) -> Result<Overlay, SeriesError> {
        let mut touched = BTreeSet::new();
        for (_, bytes) in &self.0 {
            touched.extend(touches(bytes));
        }
        for path in &touched {
            let content = FileContent::read(&pristine.join(path)).map_err(SeriesError::Scratch)?;
            if let Some(content) = content {
                content
                    .create(&scratch.join(path))
                    .map_err(SeriesError::Scratch)?;
            }
        }
        let rejects = tempfile::NamedTempFile::new().map_err(SeriesError::Scratch)?;
        for (patch, _) in &self.0 {
            apply_one(patch, version, scratch, rejects.path())?;
        }
        touched
            .into_iter()
            .map(|path| {
                let content = FileContent::read(&scratch.join(&path));
                content
                    .map(|content| (path, content))
                    .map_err(SeriesError::Scratch)
            })
            .collect()
    }
}

/// The patches a path stands for.
fn files(source: &Path) -> Result<Vec<PathBuf>, SeriesError> {
    if !source.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut files: Vec<PathBuf> = fs::read_dir(source)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .map_err(read(source))?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "patch")
    });
    if files.is_empty() {
        return Err(SeriesError::Empty(source.to_owned()));
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> impl FnOnce(io::Error) -> SeriesError + use<> {
    let path = path.to_owned();
    move |error| SeriesError::Read { path, error }
}

fn apply_one(
    patch: &Path,
    version: &str,
    scratch: &Path,
    rejects: &Path,
) -> Result<(), SeriesError> {
    let patch = patch.canonicalize().map_err(|error| SeriesError::Read {
        path: patch.to_owned(),
        error,
    })?;
    // No fuzz: a hunk that lands in a context nobody reviewed is worse than a rejected one.
    let output = Command::new("patch")
        .args([
            "-p1",
            "--batch",
            "--forward",
            "--fuzz=0",
            "--no-backup-if-mismatch",
        ])
        .arg("--reject-file")
        .arg(rejects)
        .arg("--input")
        .arg(&patch)
        .current_dir(scratch)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(SeriesError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let rejects = fs::read(rejects).map_err(SeriesError::Scratch)?;
    Err(SeriesError::Reject {
        patch,
        version: version.to_owned(),
        output: text,
        rejects: String::from_utf8_lossy(&rejects).into_owned(),
    })
}

/// The files a patch may touch, by its headers. A removed line that looks like a header adds a
/// name too many, which costs a copy and no more; names that lead out of the tree are left for
/// patch(1) to refuse.
fn touches(bytes: &[u8]) -> BTreeSet<PathBuf> {
    let mut touched = BTreeSet::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let strip = ["--- ", "+++ "]
            .iter()
            .find_map(|mark| line.strip_prefix(mark));
        let whole = ["rename from ", "rename to ", "copy from ", "copy to "]
            .iter()
            .find_map(|mark| line.strip_prefix(mark));
        let named = strip
            .and_then(|name| name.split('\t').next())
            .and_then(|name| name.split_once('/').map(|(_, rest)| rest))
            .or(whole);
        let Some(name) = named else { continue };
        let path = PathBuf::from(name.trim_end());
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if inside && !path.as_os_str().is_empty() && !line.ends_with(" /dev/null") {
            touched.insert(path);
        }
    }
    touched
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CHANGE: &str = "--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n";
    const ADD: &str = "--- /dev/null\n+++ b/fs/new.c\n@@ -0,0 +1 @@\n+new\n";
    const REMOVE: &str = "--- a/fs/gone.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n";

    fn apply(patches: &[(&str, &str)]) -> Result<Overlay, SeriesError> {
        let dir = tempfile::tempdir().unwrap();
        let pristine = dir.path().join("pristine");
        fs::create_dir_all(pristine.join("fs")).unwrap();
        fs::write(pristine.join("fs/x.c"), "one\ntwo\n").unwrap();
        fs::write(pristine.join("fs/gone.c"), "gone\n").unwrap();
        let series = dir.path().join("patches");
        let scratch = dir.path().join("scratch");
        fs::create_dir(&series).unwrap();
        fs::create_dir(&scratch).unwrap();
        for (name, text) in patches {
            fs::write(series.join(name), text).unwrap();
        }
        let overlay = Series::read(&[series])?.apply(&pristine, "6.12.1", &scratch);
        assert_eq!(
            fs::read_to_string(pristine.join("fs/x.c")).unwrap(),
            "one\ntwo\n"
        );
        overlay
    }

    fn text(overlay: &Overlay, path: &str) -> Option<String> {
        overlay[Path::new(path)]
            .as_ref()
            .map(|content| String::from_utf8(content.bytes.clone()).unwrap())
    }

    #[test]
    fn changes_adds_and_removes() {
        let overlay = apply(&[
            ("1.patch", CHANGE),
            ("2.patch", ADD),
            ("3.patch", REMOVE),
            ("README", "-"),
        ])
        .unwrap();
        assert_eq!(text(&overlay, "fs/x.c").as_deref(), Some("one\nTWO\n"));
        assert_eq!(text(&overlay, "fs/new.c").as_deref(), Some("new\n"));
        assert_eq!(text(&overlay, "fs/gone.c"), None);
    }

    #[test]
    fn a_patch_that_does_not_fit_is_named_with_its_rejects() {
        let error = apply(&[("1.patch", CHANGE), ("2-again.patch", CHANGE)]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("2-again.patch does not apply to Linux 6.12.1"),
            "{text}"
        );
        assert!(text.contains("+TWO"), "{text}");
    }

    #[test]
    fn a_context_that_moved_on_is_not_guessed() {
        let fuzzy = CHANGE.replace(" one", " another");
        assert!(matches!(
            apply(&[("1.patch", &fuzzy)]),
            Err(SeriesError::Reject { .. })
        ));
    }

    #[rstest]
    #[case("--- a/../../etc/passwd\n+++ b/x\n")]
    #[case("--- a/x\n+++ b//etc/passwd\n")]
    fn nothing_outside_the_tree(#[case] patch: &str) {
        assert!(matches!(
            apply(&[("1.patch", patch)]),
            Err(SeriesError::Reject { .. })
        ));
    }

    #[test]
    fn a_file_stands_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        let series = dir.path().join("series");
        fs::create_dir(&series).unwrap();
        fs::write(series.join("1.patch"), CHANGE).unwrap();
        fs::write(dir.path().join("mutant.diff"), ADD).unwrap();
        let read = Series::read(&[series, dir.path().join("mutant.diff")]).unwrap();
        assert_eq!(read.names(), ["1.patch", "mutant.diff"]);
        assert_eq!(read.prefix(1).names(), ["1.patch"]);
    }

    #[test]
    fn nothing_where_patches_were_to_be_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("README"), "").unwrap();
        let error = Series::read(&[dir.path().to_owned()]).unwrap_err();
        assert!(error.to_string().ends_with("holds no *.patch file"));
        let error = Series::read(&[dir.path().join("none")]).unwrap_err();
        assert!(error.to_string().contains("none: No such file"), "{error}");
    }

    #[test]
    fn order_counts_and_names_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |files: &[(&str, &str)]| {
            let dir = tempfile::tempdir_in(dir.path()).unwrap();
            for (name, text) in files {
                fs::write(dir.path().join(name), text).unwrap();
            }
            let mut digest = Digest::default();
            Series::read(&[dir.path().to_owned()])
                .unwrap()
                .digest(&mut digest);
            digest.hex()
        };
        let one = digest(&[("1.patch", CHANGE), ("2.patch", ADD)]);
        assert_eq!(one, digest(&[("01.patch", CHANGE), ("02.patch", ADD)]));
        assert_ne!(one, digest(&[("2.patch", CHANGE), ("1.patch", ADD)]));
    }
}
