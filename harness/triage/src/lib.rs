//! Reads a guest's console: oops, KASAN, lockdep, hung task, leaks; titles,
//! frames and signatures.
//!
//! A [`Watcher`] takes the console as it comes, in chunks of any size, from the
//! first byte, and gives back a [`Finding`] for each thing the kernel complained
//! about. What one event printed in several reports is one finding: the panic
//! after an oops and the fault after a KASAN report belong to what came first.
//!
//! ```
//! use lookback_triage::{Kind, Watcher};
//!
//! let mut watcher = Watcher::new();
//! let mut findings = watcher.push(b"[    2.5] fine\n[    3.100000] EXT4-fs error (device vda): ");
//! findings.extend(watcher.push(b"ext4_lookup:1787: inode #12: comm agent: bad entry\n"));
//! findings.extend(watcher.finish());
//! assert_eq!(findings.len(), 1);
//! assert_eq!(findings[0].kind, Kind::FsError);
//! assert_eq!(findings[0].title, "EXT4-fs error in ext4_lookup");
//! ```

mod finding;
mod frames;
mod header;
mod line;
mod report;
mod title;
mod watcher;

pub use finding::{Finding, Kind};
pub use watcher::Watcher;
