//! The vhost-user-fs server: virtiofsd's passthrough plus backing entries in
//! LOOKUP replies.
//!
//! A guest that knows the lookup/backing extension (`lookback_wire::fuse`) is
//! answered by [rules](lookback_wire::rules): LOOKUP of a path of the share
//! may name a backing file of the guest. To any other guest this is an
//! ordinary virtiofs server. What reaches it is [counted](Counters), so that
//! [`bypass_violations`] can tell whether a backed file really was served by
//! the guest alone.
//!
//! ```no_run
//! use lookback_fs_backend::{Backend, BackendConfig, bypass_violations};
//! use lookback_wire::rules::{LookupRule, Rules};
//!
//! let mut config = BackendConfig::new("/run/backed.sock", "/srv/backed");
//! config.offer_backing = true;
//! let backend = Backend::spawn(config)?;
//! backend.set_rules(Rules::from(vec![LookupRule {
//!     path: "stack".into(),
//!     backing: Some(1),
//!     ..LookupRule::default()
//! }]))?;
//! // … boot a guest whose front end connects to the socket, run, end it …
//! assert!(bypass_violations(&backend.counters()).is_empty());
//! backend.stop()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//! One thread serves a connection, as virtiofsd's does by default: requests
//! are served in one order. A reply that a rule delays keeps nothing else
//! waiting; it is sent by a thread of its own.

mod aliases;
mod backend;
mod config;
mod control;
mod counters;
mod delays;
mod device;
mod init;
mod names;
mod observed;
pub mod opcode;
mod requests;
mod serve;
mod service;
mod session;
mod shared;
mod socket;

pub use backend::{Backend, BackendHandle};
pub use config::{BackendConfig, BackendError, Sessions};
pub use counters::{Counters, Imbalance, Violation, bypass_violations};
pub use requests::{LoggedRequest, Requests};
pub use serve::{ServeError, ServeOptions, load_rules, serve};
pub use socket::SocketError;
