//! The backend's life: from a configuration to threads that serve, and back.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use lookback_wire::rules::{Rules, RulesError};
use nix::sys::resource::{Resource, getrlimit};
use tracing::warn;
use virtiofsd::limits::setup_rlimit_nofile;

use crate::config::{BackendConfig, BackendError, system};
use crate::control::Control;
use crate::counters::Counters;
use crate::device::MAX_TAG_LEN;
use crate::requests::Requests;
use crate::session::ServerThread;
use crate::shared::Shared;
use crate::socket::Socket;

/// virtiofsd's default, too: a file is open for every inode the guest knows.
const OPEN_FILES: u64 = 1_000_000;

/// Starts backends.
#[derive(Debug)]
pub struct Backend;

impl Backend {
    /// Listens on the socket and serves it in threads of this process.
    ///
    /// When this returns a front end may connect. Raises the process's
    /// RLIMIT_NOFILE. To give files to other users than the process's own,
    /// as a guest's root may, the process must be root.
    ///
    /// # Errors
    /// Everything that can be known before a front end connects.
    pub fn spawn(config: BackendConfig) -> Result<BackendHandle, BackendError> {
        config.rules.check()?;
        if let Some(tag) = &config.tag
            && !(1..=MAX_TAG_LEN).contains(&tag.len())
        {
            return Err(BackendError::Tag { tag: tag.clone() });
        }
        let root = root(&config.shared_dir)?;
        let limit = raise_open_files()?;
        let socket = Socket::bind(&config.socket)?;

        let shared = Arc::new(Shared::new(config.rules.clone(), config.log_requests));
        let control = Arc::new(Control::new()?);
        let (ready, started) = mpsc::sync_channel(1);
        let path = config.socket.clone();
        let server = ServerThread {
            config,
            root,
            // Half: a run has two backends in one process.
            guest_files: limit / 2,
            shared: Arc::clone(&shared),
            control: Arc::clone(&control),
        };
        let thread = thread::Builder::new()
            .name("fs-backend".to_owned())
            .spawn(move || {
                let result = server.run(socket, &ready);
                server.control.done.signal();
                result
            })
            .map_err(system("starting a thread"))?;
        let handle = BackendHandle {
            socket: path,
            shared,
            control,
            thread: Some(thread),
        };
        match started.recv() {
            Ok(()) => Ok(handle),
            // The thread ended before it was ready, and knows why.
            Err(mpsc::RecvError) => match handle.wait() {
                Err(error) => Err(error),
                Ok(()) => Err(BackendError::Panic),
            },
        }
    }
}

/// A running backend. Dropping it stops it.
pub struct BackendHandle {
    socket: PathBuf,
    shared: Arc<Shared>,
    control: Arc<Control>,
    thread: Option<JoinHandle<Result<(), BackendError>>>,
}

impl fmt::Debug for BackendHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendHandle")
            .field("socket", &self.socket)
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl BackendHandle {
    /// The socket a front end connects to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Replaces the rules. Names the guest has looked up already keep their
    /// answer until they expire.
    ///
    /// # Errors
    /// A rule is wrong; the rules in force stay.
    pub fn set_rules(&self, rules: Rules) -> Result<(), RulesError> {
        rules.check()?;
        self.shared.set_rules(rules);
        Ok(())
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.shared.rules().clone()
    }

    /// What reached the server since the last reset.
    pub fn counters(&self) -> Counters {
        self.shared.counters().clone()
    }

    /// The newest requests since the last reset, as many as the configuration
    /// has room for.
    pub fn requests(&self) -> Requests {
        self.shared
            .log()
            .map(|log| log.requests())
            .unwrap_or_default()
    }

    /// Starts counting anew, the LOOKUPs of each rule's path included, and
    /// forgets the requests; returns the counts so far. Do so while nothing is mounted: which nodeids are
    /// backed is counted, too.
    pub fn reset_counters(&self) -> Counters {
        self.shared.reset()
    }

    /// Whether the backend serves no more: the one front end disconnected, or
    /// it failed.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Becomes readable when the backend has finished.
    pub fn finished(&self) -> BorrowedFd<'_> {
        self.control.done.as_fd()
    }

    /// Waits until the backend finishes by itself.
    ///
    /// # Errors
    /// Why it did, unless a front end simply disconnected.
    pub fn wait(mut self) -> Result<(), BackendError> {
        self.join()
    }

    /// Stops the backend, hanging up on a front end that is still connected.
    ///
    /// # Errors
    /// It had failed before.
    pub fn stop(mut self) -> Result<(), BackendError> {
        self.control.stop();
        self.join()
    }

    fn join(&mut self) -> Result<(), BackendError> {
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| BackendError::Panic)?,
            None => Ok(()),
        }
    }
}

impl Drop for BackendHandle {
    fn drop(&mut self) {
        self.control.stop();
        if let Err(error) = self.join() {
            warn!("{}: {error}", self.socket.display());
        }
    }
}

/// Raises RLIMIT_NOFILE to what a guest may need, or as far as it goes; returns
/// the limit.
fn raise_open_files() -> Result<u64, BackendError> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| system("getrlimit")(errno.into()))?;
    if soft >= OPEN_FILES {
        return Ok(soft);
    }
    setup_rlimit_nofile(Some(OPEN_FILES))
        .or_else(|_| setup_rlimit_nofile(Some(hard)))
        .map_err(BackendError::OpenFiles)
}

/// The share's root as the passthrough opens it: absolute, without symlinks.
fn root(shared_dir: &Path) -> Result<String, BackendError> {
    let path = || shared_dir.to_owned();
    let unusable = |source| BackendError::SharedDir {
        path: path(),
        source,
    };
    let root = fs::canonicalize(shared_dir).map_err(unusable)?;
    if !fs::metadata(&root).map_err(unusable)?.is_dir() {
        return Err(unusable(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    root.into_os_string()
        .into_string()
        .map_err(|_| BackendError::NotUtf8 { path: path() })
}

#[cfg(test)]
mod tests;
