//! A short-named private directory for unix sockets.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;

/// The longest parent that leaves room for `/lookback-PID-N/NAME.sock` in the
/// 107 bytes of a socket's path.
const PARENT_MAX: usize = 50;

/// A directory of mode 0700 for the sockets of one run, removed with all it
/// holds on drop. A run directory's own path is often too long for a unix
/// socket (107 bytes).
#[derive(Debug)]
pub struct SocketDir {
    path: PathBuf,
}

impl SocketDir {
    /// Makes one under `$XDG_RUNTIME_DIR`, or under `/tmp` where that is unset,
    /// too long or not writable.
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
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("lookback-{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(SocketDir { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    return Err(Error::SocketDir {
                        parent: parent.to_owned(),
                        source,
                    });
                }
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
}
