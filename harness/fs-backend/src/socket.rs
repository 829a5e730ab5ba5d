//! The listening socket: taken only if nobody serves there, gone afterwards.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a socket can't be served on.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another server accepts connections there.
    #[error("busy socket {}: another server is listening on it", path.display())]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has this name, and is left alone.
    #[error("{}: exists and is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// bind(2) and what belongs to it.
    #[error("socket {}: {source}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A listening socket whose file goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens on `path`. A socket file nobody listens on any more (its
    /// server was killed) is replaced.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Bind {
            path: path.to_owned(),
            source,
        };
        match fs::symlink_metadata(path) {
            Ok(meta) if !meta.file_type().is_socket() => {
                return Err(SocketError::NotASocket {
                    path: path.to_owned(),
                });
            }
            Ok(_) => match UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?;
                }
                Ok(_) => {
                    return Err(SocketError::Busy {
                        path: path.to_owned(),
                    });
                }
                Err(error) => return Err(failed(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(path).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => SocketError::Busy {
                path: path.to_owned(),
            },
            _ => failed(error),
        })?;
        let socket = Self {
            listener,
            path: path.to_owned(),
        };
        // Whoever may connect reads and writes the share as this process. The
        // mode bind gave it depends on the umask, which is the process's.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(socket)
    }

    /// The listener, for a library that wants its own.
    pub(crate) fn listener(&self) -> Result<UnixListener, SocketError> {
        self.listener
            .try_clone()
            .map_err(|source| SocketError::Bind {
                path: self.path.clone(),
                source,
            })
    }

    /// A duplicate of the connection that was accepted here and is open.
    ///
    /// The vhost-user library accepts for itself and keeps the stream, but a
    /// connection can only be ended from outside by shutdown(2) on it. Of all
    /// of the process's sockets it is the one that bears the listener's
    /// address and has a peer.
    pub(crate) fn accepted(&self) -> io::Result<Option<UnixStream>> {
        let ours = self.listener.local_addr()?;
        for entry in fs::read_dir("/proc/self/fd")? {
            let entry = entry?;
            let is_socket = fs::read_link(entry.path())
                .is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
            let number = entry.file_name().to_str().and_then(|n| n.parse().ok());
            let (true, Some(number)) = (is_socket, number) else {
                continue;
            };
            // SAFETY: `number` was open a moment ago. Should another thread
            // have closed it since, duplicating it fails or yields a
            // duplicate of what took its place; neither touches memory, and
            // the borrow ends with the call.
            let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
            let Ok(duplicate) = borrowed.try_clone_to_owned() else {
                continue;
            };
            let stream = UnixStream::from(duplicate);
            if stream.peer_addr().is_ok()
                && stream.local_addr().is_ok_and(|theirs| same(&theirs, &ours))
            {
                return Ok(Some(stream));
            }
        }
        Ok(None)
    }
}

fn same(a: &SocketAddr, b: &SocketAddr) -> bool {
    a.as_pathname().is_some()
        && a.as_pathname() == b.as_pathname()
        && a.as_abstract_name().is_none()
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Somebody who removed it already wanted the same.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_socket_lives_as_long_as_its_server() {
        let dir = dir();
        let path = dir.path().join("s");
        let socket = Socket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_live_server_is_left_alone() {
        let dir = dir();
        let path = dir.path().join("s");
        let _live = Socket::bind(&path).unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::Busy { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "busy socket {}: another server is listening on it",
                path.display()
            )
        );
        assert!(path.exists());
    }

    #[test]
    fn a_dead_server_s_socket_is_replaced() {
        let dir = dir();
        let path = dir.path().join("s");
        // A listener that is closed leaves its file, as a killed server does.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = Socket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(socket);
    }

    #[test]
    fn what_is_no_socket_is_kept() {
        let dir = dir();
        let path = dir.path().join("notes");
        fs::write(&path, "precious").unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = dir();
        let path = dir.path().join("no/s");
        let error = Socket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("no/s"), "{error}");
    }

    #[test]
    fn the_accepted_connection_is_found_among_others() {
        let dir = dir();
        let ours = Socket::bind(&dir.path().join("ours")).unwrap();
        let theirs = Socket::bind(&dir.path().join("theirs")).unwrap();
        let _noise = UnixStream::pair().unwrap();
        let _c = UnixStream::connect(dir.path().join("theirs")).unwrap();
        let _s = theirs.listener.accept().unwrap();
        assert!(ours.accepted().unwrap().is_none());

        let mut client = UnixStream::connect(dir.path().join("ours")).unwrap();
        let _server = ours.listener.accept().unwrap();
        let found = ours.accepted().unwrap().unwrap();
        found.shutdown(std::net::Shutdown::Both).unwrap();
        let end = io::Read::read(&mut client, &mut [0]).unwrap();
        assert_eq!(end, 0);
    }
}
