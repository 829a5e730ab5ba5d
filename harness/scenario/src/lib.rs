//! Scenario files: TOML in, plans of cases out.
//!
//! A [`Library`] is a directory of scenario files. [`Library::plans`] turns
//! names from the command line into [`Plan`]s: what the guest runs and what
//! the server answers, one per case and matrix value.
//!
//! ```
//! use lookback_scenario::{Overrides, Scenario};
//!
//! let scenario = Scenario::parse("link.toml".as_ref(), r#"
//!     name = "link"
//!     about = "A hard link is the same inode"
//!
//!     [matrix]
//!     entry_timeout = ["0", "1h"]
//!
//!     [[case]]
//!     name = "two-names"
//!     about = "both names show two links"
//!     setup = "creat a"
//!     trace = """
//!     link a b
//!     stat a
//!     stat b
//!     """
//! "#)?;
//! let ids: Vec<_> =
//!     scenario.expand(&Overrides::default()).into_iter().map(|plan| plan.case.id).collect();
//! assert_eq!(ids, ["link.two-names.entry-0", "link.two-names.entry-1h"]);
//! # Ok::<(), lookback_scenario::ScenarioError>(())
//! ```

mod answers;
mod error;
mod expand;
mod expiry;
mod file;
mod library;
mod position;
mod reach;
pub mod recording;
mod scenario;
pub mod shrink;
#[cfg(test)]
mod tests;
mod timeout;

pub use answers::Server;
pub use error::ScenarioError;
pub use expand::{Overrides, Plan};
pub use library::Library;
pub use recording::Recording;
pub use scenario::{ALL_PHASES, Case, DEFAULT_SEED, EVERY_IN_TURN, Fsstress, Scenario};
pub use timeout::Timeout;
