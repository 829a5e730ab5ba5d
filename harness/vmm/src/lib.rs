//! A machine on KVM that boots a kernel directly in long mode.
//!
//! No firmware, no PCI, no ACPI: virtio-mmio devices on the kernel's command
//! line, an MP table, a serial console, the in-kernel interrupt controllers.
//! Guest memory is one memfd, which vhost-user backends map.
//!
//! ```no_run
//! use lookback_vmm::{Config, Machine, Streams};
//! use std::os::unix::net::UnixStream;
//! use std::time::{Duration, Instant};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut console, serial) = UnixStream::pair()?;
//! let (_agent, control) = UnixStream::pair()?;
//! let config = Config {
//!     kernel: "vmlinux".into(),
//!     initramfs: "initramfs.cpio".into(),
//!     cmdline: "panic=-1".into(),
//!     memory_mib: 512,
//!     cpus: 2,
//!     control_port: "lookback.control".into(),
//!     disks: Vec::new(),
//!     shares: Vec::new(),
//! };
//! let machine = Machine::boot(&config, Streams { serial, control })?;
//! std::io::copy(&mut console, &mut std::io::stdout())?;
//! println!("{:?}", machine.wait(Instant::now() + Duration::from_secs(60)));
//! # Ok(())
//! # }
//! ```

mod boot;
pub mod complaints;
mod config;
mod cpu;
mod error;
pub mod layout;
mod machine;
pub mod memory;
mod port;
pub mod segment;
pub mod virtio;

pub use boot::{BootError, ImageError};
pub use config::{Config, Disk, Share, Streams};
pub use error::Error;
pub use machine::{End, Machine, Snapshot};
