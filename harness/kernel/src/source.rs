//! The kernel source a build starts from.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::digest::{Digest, short};
use crate::layout::Layout;
use crate::lock::CacheLock;
use crate::run::{RunError, Tool};
use crate::spec::{Phase, Progress};

/// What Debian's linux-source package installs.
const DEBIAN_SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";

/// Why there is no source to build.
#[derive(Debug, Error)]
pub enum SourceError {
    /// No source was named, and Debian's is not installed.
    #[error(
        "no kernel source: {DEBIAN_SOURCE} is missing; install: apt-get install \
         linux-source-6.12, or set LINUX_SRC to a kernel tree"
    )]
    NotInstalled,
    /// The named source cannot be read.
    #[error("cannot read the kernel source {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The directory holds something else.
    #[error("{} is not a Linux source tree: {missing} is missing from it", path.display())]
    NotLinux {
        /// Which.
        path: PathBuf,
        /// What a kernel tree has.
        missing: &'static str,
    },
    /// A kernel was built inside the tree, and nothing tells its products from the source.
    #[error(
        "{} holds a built kernel and is no git checkout: run `make mrproper` there",
        .0.display()
    )]
    Unclean(PathBuf),
    /// git does not list the tree.
    #[error("git cannot list the files of {}: {message}", path.display())]
    Git {
        /// The tree.
        path: PathBuf,
        /// What git said.
        message: String,
    },
    /// The archive does not unpack.
    #[error("cannot unpack {}: {error}", archive.display())]
    Extract {
        /// The archive.
        archive: PathBuf,
        /// Why.
        error: RunError,
    },
    /// The unpacked tree cannot be put into the cache.
    #[error("cannot keep the kernel source in {}: {error}", path.display())]
    Keep {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Where pristine files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// An archive, unpacked into the cache once.
    Archive { path: PathBuf, id: String },
    /// A tree somebody works in; never written to.
    Tree { path: PathBuf, id: String },
}

impl Source {
    /// The named source, else `$LINUX_SRC`, else Debian's.
    pub(crate) fn locate(named: Option<&Path>) -> Result<Self, SourceError> {
        let from_environment = env::var_os("LINUX_SRC").filter(|value| !value.is_empty());
        let path = match (named, from_environment) {
            (Some(path), _) => path.to_owned(),
            (None, Some(path)) => PathBuf::from(path),
            (None, None) if Path::new(DEBIAN_SOURCE).is_file() => PathBuf::from(DEBIAN_SOURCE),
            (None, None) => return Err(SourceError::NotInstalled),
        };
        let read = |error| SourceError::Read {
            path: path.clone(),
            error,
        };
        let path = path.canonicalize().map_err(read)?;
        let meta = fs::metadata(&path).map_err(read)?;
        let stem = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let stem = stem.unwrap_or_default();
        let stem = stem.split(".tar").next().unwrap_or_default();
        if meta.is_dir() {
            for missing in ["Makefile", "Kconfig", "Kbuild"] {
                if !path.join(missing).is_file() {
                    return Err(SourceError::NotLinux { path, missing });
                }
            }
            let id = short(&format!("tree\0{}", path.display()));
            return Ok(Self::Tree {
                id: format!("{stem}-{id}"),
                path,
            });
        }
        let time = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let id = short(&format!(
            "tarball\0{}\0{}\0{time}",
            path.display(),
            meta.size()
        ));
        Ok(Self::Archive {
            id: format!("{stem}-{id}"),
            path,
        })
    }

    /// What names this source in the cache.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Archive { id, .. } | Self::Tree { id, .. } => id,
        }
    }

    /// The archive or tree.
    pub(crate) fn origin(&self) -> &Path {
        match self {
            Self::Archive { path, .. } | Self::Tree { path, .. } => path,
        }
    }

    /// Where the pristine files are, once [`Self::prepare`] has run.
    pub(crate) fn pristine(&self, layout: &Layout) -> PathBuf {
        match self {
            Self::Archive { id, .. } => layout.sources().join(id),
            Self::Tree { path, .. } => path.clone(),
        }
    }

    /// Adds what identifies the state of the source. Of a tree that is the size and time of each
    /// of the files that `relevant` takes.
    pub(crate) fn digest(
        &self,
        digest: &mut Digest,
        relevant: impl Fn(&Path) -> bool,
    ) -> Result<(), SourceError> {
        digest.field(self.id());
        let Self::Tree { path, .. } = self else {
            return Ok(());
        };
        for file in self.files(path)? {
            if !relevant(&file) {
                continue;
            }
            digest.field(file.as_os_str().as_bytes());
            // A file deleted but still in git's index counts as such.
            if let Ok(meta) = fs::symlink_metadata(path.join(&file)) {
                digest
                    .field(meta.size().to_le_bytes())
                    .field(meta.mtime().to_le_bytes())
                    .field(meta.mtime_nsec().to_le_bytes());
            }
        }
        Ok(())
    }

    /// Unpacks an archive that is not in the cache yet.
    pub(crate) fn prepare(
        &self,
        layout: &Layout,
        lock: &CacheLock,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        let Self::Archive { path: archive, id } = self else {
            return Ok(());
        };
        let sources = layout.sources();
        let whole = sources.join(id);
        if whole.is_dir() {
            return Ok(());
        }
        progress.phase(Phase::Extract);
        let keep = |error| SourceError::Keep {
            path: sources.clone(),
            error,
        };
        // Only the holder of the lock writes here, so a partial tree is a killed one's.
        let partial = sources.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(keep)?;
        }
        fs::create_dir_all(&partial).map_err(keep)?;
        let tool = Tool {
            lock,
            log: &layout.cache.join("extract.log"),
            argv: vec![
                "tar".into(),
                "--extract".into(),
                "--verbose".into(),
                "--strip-components=1".into(),
                "--no-same-owner".into(),
                "--directory".into(),
                partial.clone().into(),
                "--file".into(),
                archive.clone().into(),
            ],
            env: vec![("LC_ALL", "C".to_owned())],
            append: false,
        };
        let mut done = 0;
        let unpacked = tool.run(|_| {
            done += 1;
            progress.step(done, None);
        });
        if let Err(error) = unpacked {
            let _ = fs::remove_dir_all(&partial);
            return Err(SourceError::Extract {
                archive: archive.clone(),
                error,
            });
        }
        for missing in ["Makefile", "Kconfig", "Kbuild"] {
            if !partial.join(missing).is_file() {
                let _ = fs::remove_dir_all(&partial);
                return Err(SourceError::NotLinux {
                    path: archive.clone(),
                    missing,
                });
            }
        }
        fs::rename(&partial, &whole).map_err(keep)
    }

    /// The files and symbolic links of the source, relative to `root`, its pristine tree. A git
    /// checkout is asked, so that a kernel built inside it does no harm.
    pub(crate) fn files(&self, root: &Path) -> Result<BTreeSet<PathBuf>, SourceError> {
        if matches!(self, Self::Tree { .. }) && root.join(".git").exists() {
            return git_files(root);
        }
        if root.join(".config").exists() || root.join("include/config").exists() {
            return Err(SourceError::Unclean(root.to_owned()));
        }
        let mut files = BTreeSet::new();
        let mut dirs = vec![PathBuf::new()];
        while let Some(dir) = dirs.pop() {
            let read = |error| SourceError::Read {
                path: root.join(&dir),
                error,
            };
            for entry in fs::read_dir(root.join(&dir)).map_err(read)? {
                let entry = entry.map_err(read)?;
                let path = dir.join(entry.file_name());
                if entry.file_type().map_err(read)?.is_dir() {
                    dirs.push(path);
                } else {
                    files.insert(path);
                }
            }
        }
        Ok(files)
    }
}

/// What is tracked or could be: products of a build are ignored by the kernel's own rules.
fn git_files(root: &Path) -> Result<BTreeSet<PathBuf>, SourceError> {
    let fail = |message: String| SourceError::Git {
        path: root.to_owned(),
        message,
    };
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        // Another user's checkout is only read.
        .args(["-c", "safe.directory=*"])
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fail(error.to_string()))?;
    if !output.status.success() {
        return Err(fail(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Ok(output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name)))
        .collect())
}

/// The version in a tree's Makefile, such as `6.12.57`.
pub(crate) fn version(tree: &Path) -> Result<String, SourceError> {
    let path = tree.join("Makefile");
    let text = fs::read_to_string(&path).map_err(|error| SourceError::Read { path, error })?;
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))
            .map_or("", str::trim)
    };
    Ok(format!(
        "{}.{}.{}{}",
        value("VERSION"),
        value("PATCHLEVEL"),
        value("SUBLEVEL"),
        value("EXTRAVERSION")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dir: &Path) -> PathBuf {
        let tree = dir.join("linux");
        fs::create_dir_all(tree.join("fs")).unwrap();
        fs::write(
            tree.join("Makefile"),
            "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 7\nEXTRAVERSION = -rc1\n",
        )
        .unwrap();
        for file in ["Kconfig", "Kbuild", "fs/x.c"] {
            fs::write(tree.join(file), "").unwrap();
        }
        tree
    }

    #[test]
    fn the_version_is_the_makefiles() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(version(&tree(dir.path())).unwrap(), "6.12.7-rc1");
    }

    #[test]
    fn a_missing_source_is_named() {
        let error = Source::locate(Some(Path::new("/nonexistent/linux"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/linux"), "{error}");
    }

    #[test]
    fn another_directory_is_not_taken_for_a_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let error = Source::locate(Some(dir.path())).unwrap_err();
        assert!(
            matches!(
                error,
                SourceError::NotLinux {
                    missing: "Makefile",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn an_edit_changes_the_digest_of_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree(dir.path());
        let source = Source::locate(Some(&tree)).unwrap();
        let digest = |relevant: fn(&Path) -> bool| {
            let mut digest = Digest::default();
            source.digest(&mut digest, relevant).unwrap();
            digest.hex()
        };
        let (all, kconfig) = (|_: &Path| true, |path: &Path| path.ends_with("Kconfig"));
        let before = (digest(all), digest(kconfig));
        fs::write(tree.join("fs/x.c"), "int x;").unwrap();
        assert_ne!(digest(all), before.0);
        assert_eq!(digest(kconfig), before.1);
    }

    #[test]
    fn a_built_tree_without_git_is_refused_and_with_git_filtered() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree(dir.path());
        fs::write(tree.join(".config"), "").unwrap();
        fs::write(tree.join(".gitignore"), ".*\n*.o\n!.gitignore\n").unwrap();
        fs::write(tree.join("fs/x.o"), "").unwrap();
        let source = Source::locate(Some(&tree)).unwrap();
        assert!(matches!(source.files(&tree), Err(SourceError::Unclean(_))));
        let made = Command::new("git")
            .arg("init")
            .arg("-q")
            .arg(&tree)
            .status()
            .unwrap();
        assert!(made.success());
        let files = source.files(&tree).unwrap();
        assert!(files.contains(Path::new("fs/x.c")));
        assert!(!files.contains(Path::new("fs/x.o")));
        assert!(!files.contains(Path::new(".config")));
    }
}
