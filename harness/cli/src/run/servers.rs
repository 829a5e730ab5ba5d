//! The servers of the two shares.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lookback_engine::{Share, SocketDir};
use lookback_fs_backend::{Backend, BackendConfig, BackendHandle, Counters, Requests};
use lookback_wire::{
    control::{OUTSIDE, STACK, TAG_BACKED, TAG_PLAIN},
    rules::Rules,
};

use crate::{
    failure::Failure,
    run::places::{PlaceError, Places},
};

/// Requests that a server keeps for a case's log: some 200 bytes each.
const LOGGED: usize = 20_000;

/// The servers of the two shares, each with a directory of the guest's.
#[derive(Debug)]
pub struct Servers {
    backed: BackendHandle,
    plain: BackendHandle,
    /// Root of the backed share.
    backed_root: PathBuf,
    /// Root of the plain share.
    plain_root: PathBuf,
}

/// Whether the servers can play their part in a case.
#[derive(Debug)]
pub enum Begun {
    /// They can, as long as this is kept.
    Ready(Places),
    /// This process lacks what it takes; a sentence.
    Unable(String),
}

impl Servers {
    /// Starts both. The backed share's root holds the two directories the
    /// guest expects there; the plain one's begins empty.
    pub fn start(directory: &Path, sockets: &SocketDir) -> Result<Self, Failure> {
        let make = |name: &str| {
            let path = directory.join(name);
            match fs::create_dir_all(&path) {
                Ok(()) => Ok(path),
                Err(error) => Err(Failure::io("make the directory", path)(error)),
            }
        };
        for name in ["share-backed", "share-plain"] {
            let path = make(name)?;
            // As on the guest's own file systems; the process's umask has no say.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .map_err(Failure::io("set the mode of", &path))?;
        }
        make(&format!("share-backed/{STACK}"))?;
        make(&format!("share-backed/{OUTSIDE}"))?;
        make(&format!("share-plain/{OUTSIDE}"))?;

        let start = |tag: &str, offer_backing| {
            let shared = directory.join(format!("share-{tag}"));
            let mut config = BackendConfig::new(sockets.socket(tag), shared);
            config.tag = Some(tag.to_owned());
            config.offer_backing = offer_backing;
            config.log_requests = LOGGED;
            Backend::spawn(config)
        };
        Ok(Self {
            backed: start(TAG_BACKED, true)?,
            plain: start(TAG_PLAIN, false)?,
            backed_root: directory.join("share-backed"),
            plain_root: directory.join("share-plain"),
        })
    }

    /// What the guest's devices connect to.
    pub fn shares(&self) -> Vec<Share> {
        [(TAG_BACKED, &self.backed), (TAG_PLAIN, &self.plain)]
            .map(|(tag, server)| Share {
                tag: tag.to_owned(),
                socket: server.socket().to_owned(),
            })
            .into()
    }

    /// Makes the backed share have what the rules speak of and answer by them,
    /// and both count from zero.
    pub fn begin_case(&self, rules: &Rules) -> Result<Begun, Failure> {
        let places = match Places::make(&self.backed_root, rules) {
            Ok(places) => places,
            Err(error @ PlaceError::Privilege { .. }) => {
                return Ok(Begun::Unable(error.to_string()));
            }
            Err(PlaceError::Make { path, source }) => {
                return Err(Failure::io("make what a rule speaks of,", path)(source));
            }
        };
        self.backed.set_rules(rules.clone())?;
        self.backed.reset_counters();
        self.plain.reset_counters();
        Ok(Begun::Ready(places))
    }

    /// Removes what a case left in the two shares; the guest has unmounted
    /// them. What stays costs the host space, and nothing else.
    pub fn clear_case(&self, id: &str) {
        for share in [&self.backed_root, &self.plain_root] {
            for directory in [share.join(id), share.join(OUTSIDE).join(id)] {
                match fs::remove_dir_all(&directory) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!("can't remove {}: {error}", directory.display());
                    }
                    _ => {}
                }
            }
        }
    }

    /// The newest requests of each share since, by its tag.
    pub fn requests(&self) -> [(&'static str, Requests); 2] {
        [(TAG_BACKED, &self.backed), (TAG_PLAIN, &self.plain)]
            .map(|(tag, server)| (tag, server.requests()))
    }

    /// What both were asked since: of the backed share, then of the plain one.
    pub fn counters(&self) -> (Counters, Counters) {
        (self.backed.counters(), self.plain.counters())
    }
}
