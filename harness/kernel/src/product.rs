//! What a build leaves: the files of one kernel and the stamp that says what they were made from.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::layout::Layout;
use crate::spec::Profile;

/// Why products could not be put in place.
#[derive(Debug, Error)]
pub enum ProductError {
    /// A file of the kernel.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// make succeeded without making what was asked for.
    #[error("the build left no {}: {error}", path.display())]
    Absent {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A kernel in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its name.
    pub name: String,
    /// Its profile.
    pub profile: Profile,
    /// What `uname -r` says in it.
    pub release: String,
    /// The ELF image, with symbols.
    pub vmlinux: PathBuf,
    /// The compressed image, if one was asked for.
    pub bzimage: Option<PathBuf>,
    /// The whole configuration.
    pub config: PathBuf,
    /// What make said.
    pub log: PathBuf,
    /// The archive or tree it was built from.
    pub source: PathBuf,
    /// The version of the source.
    pub version: String,
    /// The file names of the patches, as applied.
    pub patches: Vec<String>,
    /// Symbols of the extension this source does not have.
    pub absent: Vec<String>,
    /// Whether the extension is in: every symbol of it was there, and on.
    pub extension: bool,
}

/// The stamp beside the products; written last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// A digest of everything that went in.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) profile: Profile,
    pub(crate) release: String,
    pub(crate) version: String,
    /// The archive or tree the build used.
    pub(crate) source: PathBuf,
    /// The source as the specification named it.
    pub(crate) src: Option<PathBuf>,
    /// The directories of the series.
    pub(crate) patch_dirs: Vec<PathBuf>,
    pub(crate) patches: Vec<String>,
    pub(crate) compiler: String,
    pub(crate) absent: Vec<String>,
    /// Whether the symbols of the extension were asked for.
    #[serde(default = "yes")]
    pub(crate) extension: bool,
    /// Sizes in bytes, to notice products that were cut short or tampered with.
    pub(crate) sizes: BTreeMap<String, u64>,
}

/// Of stamps from before there was a choice.
fn yes() -> bool {
    true
}

impl Stamp {
    /// Whether there is a bzImage.
    pub(crate) fn has_bzimage(&self) -> bool {
        self.sizes.contains_key(BZIMAGE)
    }
}

const STAMP: &str = "stamp.json";

/// The products: the name in the cache, and where make leaves it in the output tree.
const FILES: [(&str, &str); 3] = [
    ("vmlinux", "vmlinux"),
    (BZIMAGE, "arch/x86/boot/bzImage"),
    ("config", ".config"),
];

/// The product that a kernel may lack.
const BZIMAGE: &str = "bzImage";

const LOG: &str = "build.log";

/// The directory of one kernel.
pub(crate) fn directory(layout: &Layout, name: &str, profile: Profile) -> PathBuf {
    layout.built().join(format!("{name}.{profile}"))
}

/// The stamp of a kernel whose files are all there; `None` where a build is needed.
pub(crate) fn stamp(dir: &Path) -> Option<Stamp> {
    let text = fs::read(dir.join(STAMP)).ok()?;
    let stamp: Stamp = serde_json::from_slice(&text).ok()?;
    let whole = FILES.iter().all(|(name, _)| {
        let size = fs::metadata(dir.join(name)).ok().map(|meta| meta.len());
        match stamp.sizes.get(*name) {
            Some(recorded) => size == Some(*recorded),
            None => *name == BZIMAGE,
        }
    });
    whole.then_some(stamp)
}

/// The kernel a stamp stands for.
pub(crate) fn built(dir: &Path, stamp: Stamp) -> Built {
    Built {
        vmlinux: dir.join("vmlinux"),
        bzimage: stamp.has_bzimage().then(|| dir.join(BZIMAGE)),
        config: dir.join("config"),
        log: dir.join(LOG),
        name: stamp.name,
        profile: stamp.profile,
        release: stamp.release,
        source: stamp.source,
        version: stamp.version,
        patches: stamp.patches,
        extension: stamp.extension && stamp.absent.is_empty(),
        absent: stamp.absent,
    }
}

/// Copies the products of `obj` into `dir`, all of them or none. Without `bzimage` the one in
/// `obj`, if any, is an older kernel's.
pub(crate) fn publish(
    obj: &Path,
    log: &Path,
    dir: &Path,
    bzimage: bool,
    mut stamp: Stamp,
) -> Result<Built, ProductError> {
    let write = |path: &Path| {
        let path = path.to_owned();
        move |error| ProductError::Write { path, error }
    };
    let parent = dir.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(parent).map_err(write(parent))?;
    // A killed build leaves such a directory behind; only the holder of the lock is here.
    let partial = parent.join(".partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(write(&partial))?;
    }
    fs::create_dir(&partial).map_err(write(&partial))?;
    for (name, made) in FILES {
        if name == BZIMAGE && !bzimage {
            continue;
        }
        let from = obj.join(made);
        fs::metadata(&from).map_err(|error| ProductError::Absent {
            path: from.clone(),
            error,
        })?;
        let size = fs::copy(&from, partial.join(name)).map_err(write(&partial.join(name)))?;
        stamp.sizes.insert(name.to_owned(), size);
    }
    fs::copy(log, partial.join(LOG)).map_err(write(&partial.join(LOG)))?;
    let text = serde_json::to_vec_pretty(&stamp)
        .map_err(|error| write(&partial.join(STAMP))(error.into()))?;
    fs::write(partial.join(STAMP), text).map_err(write(&partial.join(STAMP)))?;
    exchange(&partial, dir).map_err(write(dir))?;
    Ok(built(dir, stamp))
}

/// Puts a directory in the place of another, which is removed.
fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, new, AT_FDCWD, old, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => return fs::remove_dir_all(new),
        Err(Errno::ENOENT) => {}
        // NFS and some FUSE file systems exchange nothing, overlayfs no directory of a lower
        // layer. Then the stamp goes first: without it the rest counts for nothing.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EXDEV) => {
            fs::remove_file(old.join(STAMP)).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            fs::remove_dir_all(old)?;
        }
        Err(errno) => return Err(errno.into()),
    }
    fs::rename(new, old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(key: &str) -> Stamp {
        Stamp {
            key: key.to_owned(),
            name: "patched".to_owned(),
            profile: Profile::Fast,
            release: "6.12.1-patched".to_owned(),
            version: "6.12.1".to_owned(),
            source: PathBuf::from("/usr/src/x"),
            src: None,
            patch_dirs: Vec::new(),
            patches: Vec::new(),
            compiler: String::new(),
            absent: Vec::new(),
            extension: true,
            sizes: BTreeMap::new(),
        }
    }

    fn output(dir: &Path, text: &str) -> (PathBuf, PathBuf) {
        let obj = dir.join("obj");
        fs::create_dir_all(obj.join("arch/x86/boot")).unwrap();
        for (_, made) in FILES {
            fs::write(obj.join(made), text).unwrap();
        }
        let log = dir.join("log");
        fs::write(&log, "").unwrap();
        (obj, log)
    }

    #[test]
    fn a_second_build_replaces_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("built/patched.fast");
        for text in ["one", "three"] {
            let (obj, log) = output(dir.path(), text);
            let built = publish(&obj, &log, &target, true, blank(text)).unwrap();
            assert_eq!(fs::read_to_string(built.bzimage.unwrap()).unwrap(), text);
            assert_eq!(stamp(&target).unwrap().key, text);
        }
        assert!(!dir.path().join("built/.partial").exists());
    }

    #[test]
    fn a_missing_product_leaves_the_old_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("built/patched.fast");
        let (obj, log) = output(dir.path(), "one");
        publish(&obj, &log, &target, true, blank("one")).unwrap();
        fs::remove_file(obj.join("vmlinux")).unwrap();
        let error = publish(&obj, &log, &target, true, blank("two")).unwrap_err();
        assert!(matches!(error, ProductError::Absent { .. }), "{error}");
        assert_eq!(stamp(&target).unwrap().key, "one");
    }

    #[test]
    fn an_older_kernels_bzimage_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("built/patched.fast");
        let (obj, log) = output(dir.path(), "one");
        let built = publish(&obj, &log, &target, false, blank("one")).unwrap();
        assert_eq!(built.bzimage, None);
        assert!(!target.join("bzImage").exists());
        assert!(!stamp(&target).unwrap().has_bzimage());
    }

    #[test]
    fn a_truncated_product_is_no_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("built/patched.fast");
        let (obj, log) = output(dir.path(), "one");
        publish(&obj, &log, &target, true, blank("one")).unwrap();
        fs::write(target.join("bzImage"), "on").unwrap();
        assert!(stamp(&target).is_none());
    }
}
