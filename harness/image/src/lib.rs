//! The guest's initramfs and ext4 images.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use lookback_image::{Ext4Spec, e2fsck, ext4_pair, initramfs};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let run = Path::new("target/lookback/runs/1");
//! initramfs(Path::new("lookback-agent"), &run.join("initramfs.cpio"))?;
//! let spec = Ext4Spec::read(Path::new("images/ext4.toml"))?;
//! let pair = ext4_pair(run, &spec)?;
//! // The guest runs and unmounts.
//! let report = e2fsck(&pair.lower)?;
//! assert!(report.clean, "{}", report.text);
//! # Ok(())
//! # }
//! ```

mod cpio;
mod elf;
mod ext4;
mod fsck;
mod initramfs;
mod tool;

pub use ext4::{Ext4Error, Ext4Pair, Ext4Spec, ext4_pair};
pub use fsck::{FsckError, FsckReport, e2fsck};
pub use initramfs::{InitramfsError, initramfs};
pub use tool::ToolError;
