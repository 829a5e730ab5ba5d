//! A short-named private directory for unix sockets.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::kill;
use nix::unistd::{Pid, geteuid};

use crate::error::Error;

/// What the directories' names begin with.
const PREFIX: &str = "lookback-";
/// The longest parent that leaves room for `/lookback-PID-N/NAME.sock` in the
/// 107 bytes of a socket's path.
const PARENT_MAX: usize = 50;

/// A directory of mode 0700 for the sockets of one run, removed with all it
/// holds on drop. A run directory's own path is often too long for a unix
/// socket (107 bytes).
///
/// A process that is killed leaves its directory behind: the next one removes
/// it. The directory is locked (flock) as long as its owner lives, since a
/// process id alone would not tell an owner in another PID namespace that
/// shares `/tmp`.
#[derive(Debug)]
pub struct SocketDir {
    path: PathBuf,
    _lock: File,
}

impl SocketDir {
    /// Makes one under `$XDG_RUNTIME_DIR`, or under `/tmp` where that is unset,
    /// too long or not writable. Those of dead processes are removed from there.
    pub fn new() -> Result<Self, Error> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        if let Some(parent) = runtime
            && parent.is_absolute()
            && parent.as_os_str().as_bytes().len() <= PARENT_MAX
            && let Ok(dir) = Self::under(&parent)
        {
            return Ok(dir);
        }
        Self::under(Path::new("/tmp"))
    }

    fn under(parent: &Path) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        sweep(parent);
        let failed = |source| Error::SocketDir {
            parent: parent.to_owned(),
            source,
        };
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let locked = File::open(&path).and_then(|dir| dir.lock().map(|()| dir));
                    return match locked {
                        Ok(lock) => Ok(SocketDir { path, _lock: lock }),
                        Err(source) => {
                            // The error that counts is the first.
                            let _ = fs::remove_dir(&path);
                            Err(failed(source))
                        }
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(failed(source)),
            }
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the socket `name` in it.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes what killed processes left in `parent`. Nothing depends on it, so
/// what cannot be removed is only noted.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let owner = entry.file_name().to_str().and_then(owner);
        if let Some(owner) = owner
            && is_stale(&entry.path(), owner)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!("cannot remove {}: {error}", entry.path().display());
        }
    }
}

/// The process a directory's name tells of: `lookback-PID-N`.
fn owner(name: &str) -> Option<Pid> {
    let (pid, number) = name.strip_prefix(PREFIX)?.split_once('-')?;
    number.parse::<u32>().ok()?;
    // kill(2) takes 0 and less for groups of processes.
    pid.parse().ok().filter(|pid| *pid > 0).map(Pid::from_raw)
}

/// Ours, with nobody alive who made it. A process id that was given anew keeps
/// the directory for another time.
fn is_stale(path: &Path, owner: Pid) -> bool {
    let is_ours = fs::symlink_metadata(path)
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == geteuid().as_raw());
    is_ours
        && kill(owner, None) == Err(nix::Error::ESRCH)
        && File::open(path).is_ok_and(|dir| dir.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn is_private_and_leaves_nothing() {
        let dir = SocketDir::under(Path::new("/tmp")).unwrap();
        let other = SocketDir::under(Path::new("/tmp")).unwrap();
        assert_ne!(dir.path(), other.path());
        let listener = UnixListener::bind(dir.socket("backed.sock")).unwrap();
        let path = dir.path().to_owned();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        drop(dir);
        assert!(!path.exists());
        drop(listener);
    }

    /// The id of a process that is gone.
    fn dead() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let stale = parent.path().join(format!("{PREFIX}{}-3", dead()));
        fs::create_dir(&stale).unwrap();
        drop(UnixListener::bind(stale.join("backed")).unwrap());
        let _dir = SocketDir::under(parent.path()).unwrap();
        assert!(!stale.exists());
    }

    #[test]
    fn what_is_not_surely_ours_and_dead_stays() {
        let parent = tempfile::tempdir().unwrap();
        let dead = dead();
        let names = [
            format!("{PREFIX}{}-0", std::process::id()),
            format!("{PREFIX}{dead}"),
            format!("{PREFIX}{dead}-0.bak"),
            format!("{PREFIX}-{dead}-0"),
            format!("{PREFIX}0-0"),
            format!("other-{dead}-0"),
        ];
        for name in &names {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let target = parent.path().join("precious");
        fs::create_dir(&target).unwrap();
        let link = parent.path().join(format!("{PREFIX}{dead}-1"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let file = parent.path().join(format!("{PREFIX}{dead}-2"));
        fs::write(&file, "").unwrap();
        let locked = parent.path().join(format!("{PREFIX}{dead}-3"));
        fs::create_dir(&locked).unwrap();
        let lock = File::open(&locked).unwrap();
        lock.lock().unwrap();

        sweep(parent.path());
        for name in &names {
            assert!(parent.path().join(name).exists(), "{name}");
        }
        assert!(target.exists() && link.is_symlink() && file.exists());
        assert!(locked.exists(), "somebody holds it");
        drop(lock);
        sweep(parent.path());
        assert!(!locked.exists());
    }

    #[test]
    fn another_user_s_directory_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(format!("{PREFIX}{}-0", dead()));
        fs::create_dir(&path).unwrap();
        // Only root can give a directory away; anyone else owns no other's.
        if std::os::unix::fs::chown(&path, Some(geteuid().as_raw() + 1), None).is_ok() {
            sweep(parent.path());
            assert!(path.exists());
        }
    }
}
