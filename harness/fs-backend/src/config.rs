//! What to serve, and why it can't be.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lookback_wire::rules::{Rules, RulesError, SERVER_TIMEOUT_MS};
use thiserror::Error;

use crate::device::MAX_TAG_LEN;
use crate::socket::SocketError;

/// How many front ends a backend serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// One: the backend finishes when it disconnects.
    One,
    /// One after the other, until the backend is stopped.
    Many,
}

/// What to serve, where and how.
#[derive(Debug, Clone)]
pub struct BackendConfig {
    /// The vhost-user socket to listen on.
    pub socket: PathBuf,
    /// The directory of the host that is the root of the share.
    pub shared_dir: PathBuf,
    /// The tag, for a front end that asks the backend for it (QEMU's
    /// vhost-user-fs-device has its own).
    pub tag: Option<String>,
    /// The rules to begin with.
    pub rules: Rules,
    /// Offer backing entries to a guest that knows them. Without, INIT is
    /// answered as by virtiofsd, and no rule's backing entry is ever sent.
    pub offer_backing: bool,
    /// Refuse everything that would change the share.
    pub readonly: bool,
    /// How long the guest may trust a name, unless a rule says otherwise.
    pub entry_timeout: Duration,
    /// How long the guest may trust attributes, unless a rule says otherwise.
    pub attr_timeout: Duration,
    /// Open files with O_DIRECT where the guest does, so that its alignment
    /// errors are the host file system's.
    pub allow_direct_io: bool,
    /// How many front ends to serve.
    pub sessions: Sessions,
    /// How many requests are kept with their replies, the newest; 0 for none.
    pub log_requests: usize,
}

impl BackendConfig {
    /// An ordinary virtiofs server for one front end, with the timeouts of
    /// virtiofsd's `--cache auto`.
    pub fn new(socket: impl Into<PathBuf>, shared_dir: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            shared_dir: shared_dir.into(),
            tag: None,
            rules: Rules::default(),
            offer_backing: false,
            readonly: false,
            entry_timeout: Duration::from_millis(SERVER_TIMEOUT_MS),
            attr_timeout: Duration::from_millis(SERVER_TIMEOUT_MS),
            allow_direct_io: true,
            sessions: Sessions::One,
            log_requests: 0,
        }
    }
}

/// Why a backend does not serve, or stopped to.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The shared directory can't be used.
    #[error("shared directory {}: {source}", path.display())]
    SharedDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// virtiofsd takes its root as a string.
    #[error("shared directory {}: the path is not UTF-8", path.display())]
    NotUtf8 {
        /// The directory.
        path: PathBuf,
    },
    /// The tag does not fit the device's configuration space.
    #[error("tag {tag:?}: a tag has 1 to {MAX_TAG_LEN} bytes")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// A rule is wrong.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The socket can't be served on.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// RLIMIT_NOFILE can't be raised: the server keeps a file open for every
    /// inode the guest knows.
    #[error("the limit of open files: {0}")]
    OpenFiles(String),
    /// A system call the backend can't do without.
    #[error("{call}: {source}")]
    System {
        /// Which.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The front end and the backend don't understand each other.
    #[error("vhost-user on {}: {reason}", socket.display())]
    VhostUser {
        /// The socket.
        socket: PathBuf,
        /// What the library says.
        reason: String,
    },
    /// The serving thread panicked.
    #[error("the backend's thread panicked")]
    Panic,
}

pub(crate) fn system(call: &'static str) -> impl Fn(io::Error) -> BackendError {
    move |source| BackendError::System { call, source }
}
