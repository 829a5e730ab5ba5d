//! One build at a time on a cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::{Path, PathBuf};
use std::process;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use crate::spec::{Phase, Progress};

/// Why the cache could not be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// The lock file or its directory cannot be written.
    #[error("cannot lock the kernel cache at {}: {error}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The right to write into the cache. Processes that inherit the descriptor keep it, so that no
/// build starts beside the remains of a killed one.
#[derive(Debug)]
pub(crate) struct CacheLock(Flock<File>);

impl CacheLock {
    /// Waits for the lock, and says who is waited for.
    pub(crate) fn take(
        path: &Path,
        purpose: &str,
        progress: &mut dyn Progress,
    ) -> Result<Self, LockError> {
        let wrap = |error| LockError::Io {
            path: path.to_owned(),
            error,
        };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(wrap)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(wrap)?;
        let mut locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(wrap)?;
                let holder = if holder.is_empty() {
                    "another process"
                } else {
                    holder.trim_end()
                };
                progress.phase(Phase::Wait);
                progress.note(&format!("waiting for {holder}"));
                wait(file).map_err(wrap)?
            }
            Err((_, errno)) => return Err(wrap(errno.into())),
        };
        locked.set_len(0).map_err(wrap)?;
        locked.rewind().map_err(wrap)?;
        writeln!(locked, "process {}, which builds {purpose}", process::id()).map_err(wrap)?;
        Ok(Self(locked))
    }

    /// The descriptor that carries the lock.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn wait(mut file: File) -> io::Result<Flock<File>> {
    loop {
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(locked) => return Ok(locked),
            Err((again, Errno::EINTR)) => file = again,
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::spec::Silent;

    struct Notes(mpsc::Sender<String>);

    impl Progress for Notes {
        fn note(&mut self, text: &str) {
            self.0.send(text.to_owned()).unwrap();
        }
    }

    #[test]
    fn the_second_waits_and_says_for_whom() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = CacheLock::take(&path, "patched (fast)", &mut Silent).unwrap();
        let (told, notes) = mpsc::channel();
        let second = {
            let path = path.clone();
            thread::spawn(move || CacheLock::take(&path, "baseline", &mut Notes(told)).map(drop))
        };
        let note = notes.recv().unwrap();
        assert_eq!(
            note,
            format!(
                "waiting for process {}, which builds patched (fast)",
                process::id()
            )
        );
        drop(first);
        second.join().unwrap().unwrap();
    }
}
