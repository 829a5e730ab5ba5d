//! The root of a program: a share, with what every program expects mounted over
//! it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lookback_wire::exec::{ExecPlan, Mount, MountKind};
use nix::mount::{MsFlags, mount};
use thiserror::Error;

use crate::mounts::{self, MountError};

/// Where a program's share is mounted.
const ROOT: &str = "/mnt/host";

/// What every program expects: type, mount point, options.
const BASIC: [(&str, &str, Option<&str>); 5] = [
    ("proc", "/proc", None),
    ("sysfs", "/sys", None),
    ("devtmpfs", "/dev", None),
    ("devpts", "/dev/pts", Some("ptmxmode=0666,mode=0620,gid=5")),
    ("tmpfs", "/dev/shm", Some("mode=1777")),
];

/// What userspace adds to devtmpfs before anything else runs.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// A program's root can't be made.
#[derive(Debug, Error)]
pub enum RootError {
    /// A mount point is missing and can't be made: most often the share, which
    /// is read-only, does not have it.
    #[error(
        "{at} is no directory of the guest and can't be made there: {source} (a share that is \
         read-only must have it already)"
    )]
    MountPoint {
        /// In the program's root.
        at: String,
        /// Why not.
        source: io::Error,
    },
    /// A mount point that leads out of the program's root.
    #[error("{0} can't be mounted on: it is not an absolute path, or has a `..`")]
    Path(String),
    /// mount(2) or umount(2).
    #[error(transparent)]
    Mount(#[from] MountError),
}

/// What is mounted for one program. [`Root::clear`] unmounts it.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    /// In the order of mounting.
    mounted: Vec<PathBuf>,
}

impl Root {
    /// Mount all that the plan asks for.
    ///
    /// # Errors
    /// The first thing that can't be; what was mounted before it is unmounted.
    pub fn prepare(plan: &ExecPlan) -> Result<Root, RootError> {
        let mut root = Root {
            path: PathBuf::from(plan.root.as_ref().map_or("/", |_| ROOT)),
            mounted: Vec::new(),
        };
        match root.fill(plan) {
            Ok(()) => Ok(root),
            Err(error) => {
                // The first error says what matters.
                let _ = root.clear();
                Err(error)
            }
        }
    }

    fn fill(&mut self, plan: &ExecPlan) -> Result<(), RootError> {
        if let Some(tag) = &plan.root {
            let share = Some("virtiofs");
            self.mount(b"/", tag, share, MsFlags::MS_RDONLY, None)?;
            for (kind, at, options) in BASIC {
                self.mount(at.as_bytes(), kind, Some(kind), MsFlags::empty(), options)?;
            }
            self.link()?;
        }
        plan.mounts.iter().try_for_each(|wanted| self.add(wanted))
    }

    fn add(&mut self, wanted: &Mount) -> Result<(), RootError> {
        let layers;
        let (what, kind, options) = match &wanted.what {
            MountKind::Tmpfs => ("tmpfs", "tmpfs", Some("mode=1777")),
            MountKind::Share(tag) => (tag.as_str(), "virtiofs", None),
            MountKind::Overlay => {
                layers = self.layers(&wanted.at)?;
                ("overlay", "overlay", Some(layers.as_str()))
            }
        };
        self.mount(&wanted.at, what, Some(kind), MsFlags::empty(), options)
    }

    /// Make a mount of the agent's visible at `at` in the program's root.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn bind(&mut self, mount: &str, at: &str) -> Result<(), RootError> {
        self.mount(at.as_bytes(), mount, None, MsFlags::MS_BIND, None)
    }

    /// The options of an overlay on `at` whose upper layer is in the agent's own
    /// /tmp, a tmpfs.
    fn layers(&self, at: &[u8]) -> Result<String, RootError> {
        let lower = below(&self.path, at)?;
        let layer = format!("/tmp/overlay-{}", self.mounted.len());
        let made = fs::metadata(&lower).and_then(|meta| {
            for name in ["upper", "work"] {
                fs::create_dir_all(format!("{layer}/{name}"))?;
            }
            // The upper layer's mode is the mount's.
            fs::set_permissions(format!("{layer}/upper"), meta.permissions())
        });
        made.map_err(|source| RootError::MountPoint {
            at: String::from_utf8_lossy(at).into_owned(),
            source,
        })?;
        let lower = lower.display();
        Ok(format!(
            "lowerdir={lower},upperdir={layer}/upper,workdir={layer}/work"
        ))
    }

    fn mount(
        &mut self,
        at: &[u8],
        what: &str,
        kind: Option<&str>,
        flags: MsFlags,
        options: Option<&str>,
    ) -> Result<(), RootError> {
        let point = below(&self.path, at)?;
        make_point(&point).map_err(|source| RootError::MountPoint {
            at: String::from_utf8_lossy(at).into_owned(),
            source,
        })?;
        mount(Some(what), &point, kind, flags, options).map_err(|source| MountError::Mount {
            what: what.into(),
            on: point.display().to_string(),
            source,
        })?;
        self.mounted.push(point);
        Ok(())
    }

    /// devtmpfs is one for the whole guest: the links may be there from before.
    fn link(&self) -> Result<(), RootError> {
        for (to, at) in LINKS {
            match symlink(to, below(&self.path, at.as_bytes())?) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    let at = at.to_owned();
                    return Err(RootError::MountPoint { at, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the program's `/` is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Unmount everything, and what the program left mounted.
    ///
    /// # Errors
    /// [`MountError::Umount`], the first; the rest is unmounted all the same.
    pub fn clear(self) -> Result<(), MountError> {
        let mut result = Ok(());
        for point in self.mounted.iter().rev() {
            let unmounted = mounts::unmount(&point.display().to_string());
            result = result.and(unmounted);
        }
        result
    }
}

/// A path of the program's, as the agent names it.
fn below(root: &Path, path: &[u8]) -> Result<PathBuf, RootError> {
    let path = Path::new(OsStr::from_bytes(path));
    let relative = path.strip_prefix("/").ok();
    let inside = relative.filter(|path| !path.iter().any(|name| name == ".."));
    inside
        .map(|path| root.join(path))
        .ok_or_else(|| RootError::Path(path.display().to_string()))
}

/// A symbolic link would be followed in the agent's root, not in the program's.
fn make_point(point: &Path) -> io::Result<()> {
    match fs::symlink_metadata(point) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(_) => fs::create_dir_all(point),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(b"/", Some("/mnt/host"))]
    #[case(b"/tmp/a", Some("/mnt/host/tmp/a"))]
    #[case(b"tmp", None)]
    #[case(b"/a/../b", None)]
    #[case(b"", None)]
    fn a_mount_point_stays_in_the_root(#[case] at: &[u8], #[case] expected: Option<&str>) {
        let found = below(Path::new(ROOT), at).ok();
        assert_eq!(found.as_deref(), expected.map(Path::new));
    }

    #[test]
    fn a_mount_point_is_made_but_never_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        make_point(&at("a/b")).unwrap();
        make_point(&at("a/b")).unwrap();
        assert!(at("a/b").is_dir());
        symlink("a", at("link")).unwrap();
        fs::write(at("file"), "").unwrap();
        for name in ["link", "file"] {
            let kind = make_point(&at(name)).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::NotADirectory);
        }
    }
}
