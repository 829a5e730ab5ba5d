//! The backend alone, for any vhost-user-fs front end.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lookback_wire::rules::{Rules, RulesError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use thiserror::Error;

use crate::backend::Backend;
use crate::config::{BackendConfig, BackendError, Sessions};
use crate::counters::Counters;

/// What `lookback serve` is told.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The vhost-user socket to listen on.
    pub socket: PathBuf,
    /// The directory to share.
    pub shared_dir: PathBuf,
    /// A TOML file of rules. With one, backing entries are offered.
    pub rules: Option<PathBuf>,
    /// The tag, for front ends that ask the backend for it.
    pub tag: Option<String>,
    /// Refuse everything that would change the share.
    pub readonly: bool,
    /// How long the guest may trust names and attributes, unless a rule says
    /// otherwise; virtiofsd's second if absent.
    pub timeout: Option<Duration>,
}

/// Why serving ended other than by its shutdown.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The rules can't be read.
    #[error("rules {}: {source}", path.display())]
    ReadRules {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The rules are not TOML, or not rules.
    #[error("rules {}:{line}:{column}: {what}", path.display())]
    ParseRules {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// A rule is wrong.
    #[error("rules {}: {source}", path.display())]
    CheckRules {
        /// The file.
        path: PathBuf,
        /// Which and why.
        source: RulesError,
    },
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Waiting for the shutdown failed.
    #[error("poll: {0}")]
    Poll(io::Error),
}

/// Reads and checks a file of rules.
///
/// # Errors
/// All name the file.
pub fn load_rules(path: &Path) -> Result<Rules, ServeError> {
    let text = fs::read_to_string(path).map_err(|source| ServeError::ReadRules {
        path: path.to_owned(),
        source,
    })?;
    let rules: Rules = toml::from_str(&text).map_err(|error| parse_error(path, &text, &error))?;
    rules.check().map_err(|source| ServeError::CheckRules {
        path: path.to_owned(),
        source,
    })?;
    Ok(rules)
}

/// toml's own message shows the line below itself; one line is enough for a
/// file that an editor opens at the place.
fn parse_error(path: &Path, text: &str, error: &toml::de::Error) -> ServeError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ServeError::ParseRules {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        what: error.message().replace('\n', ", "),
    }
}

/// Serves one front end after the other until `shutdown` becomes readable (an
/// eventfd, a signalfd, the read end of a pipe). Returns what was asked for.
///
/// # Errors
/// What keeps it from serving. A front end that is lost is no reason to stop.
pub fn serve(options: &ServeOptions, shutdown: impl AsFd) -> Result<Counters, ServeError> {
    let mut config = BackendConfig::new(&options.socket, &options.shared_dir);
    config.sessions = Sessions::Many;
    config.tag.clone_from(&options.tag);
    config.readonly = options.readonly;
    if let Some(timeout) = options.timeout {
        config.entry_timeout = timeout;
        config.attr_timeout = timeout;
    }
    if let Some(path) = &options.rules {
        config.rules = load_rules(path)?;
        config.offer_backing = true;
    }
    let backend = Backend::spawn(config)?;
    loop {
        let mut fds = [
            PollFd::new(shutdown.as_fd(), PollFlags::POLLIN),
            PollFd::new(backend.finished(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(errno) => return Err(ServeError::Poll(errno.into())),
        }
    }
    let counters = backend.counters();
    backend.stop()?;
    Ok(counters)
}
