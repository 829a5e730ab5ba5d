//! Boots a guest: the [`Engine`] trait, and behind it our own machine on KVM and
//! QEMU's microvm.
//!
//! An engine takes a [`GuestSpec`] and gives back a running [`Guest`]: a
//! control stream, the console from its first byte, an end that can be awaited.
//! Whatever happens to this process, the guest does not outlive it.
//!
//! ```no_run
//! use lookback_engine::{Engine, GuestSpec, Request, choose};
//! use std::time::{Duration, Instant};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let choice = choose(Request::Auto, None)?;
//! println!("{}", choice.why);
//! let spec = GuestSpec {
//!     kernel: "bzImage".into(),
//!     initramfs: "initramfs.cpio".into(),
//!     run_dir: "target/lookback/runs/1".into(),
//!     ..GuestSpec::default()
//! };
//! let mut guest = choice.engine.boot(&spec)?;
//! if guest.wait(Instant::now() + Duration::from_secs(180))?.is_none() {
//!     eprintln!("{}", guest.console_tail(40));
//! }
//! # Ok(())
//! # }
//! ```

mod choose;
mod console;
mod error;
mod guest;
mod kvm;
mod probe;
mod process;
mod qemu;
mod socket_dir;
mod spec;

pub use choose::{Choice, Request, choose};
pub use error::Error;
pub use guest::{Engine, Exit, Guest, Snapshot};
pub use kvm::Kvm;
pub use probe::{Verdict, probe};
pub use qemu::{Accel, Qemu};
pub use socket_dir::SocketDir;
pub use spec::{Disk, GuestSpec, Share};
