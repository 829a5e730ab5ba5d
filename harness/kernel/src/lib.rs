//! Builds and finds guest kernels.
//!
//! A kernel is a *name* (`patched`, `baseline`, a mutant) in a *profile*
//! (`fast`, `debug`). [`build`] turns a [`BuildSpec`] into files under the
//! cache and returns at once when nothing that went in has changed; [`find`]
//! looks up what was built; [`ensure`] does whichever of the two is needed.
//!
//! ```no_run
//! use lookback_kernel::{BuildSpec, Layout, Profile, Silent, build};
//!
//! # fn main() -> Result<(), lookback_kernel::Error> {
//! let layout = Layout::discover()?;
//! let built = build(&layout, &BuildSpec::patched(&layout, Profile::Fast), &mut Silent)?;
//! println!("{} is {}", built.vmlinux.display(), built.release);
//! # Ok(())
//! # }
//! ```

mod build;
mod check;
mod config;
mod digest;
mod find;
mod kbuild;
mod layout;
mod lock;
mod product;
mod pvh;
mod run;
mod series;
mod source;
mod spec;
mod toolchain;
mod worktree;

pub use build::{Error, build, ensure};
pub use check::{CheckError, CheckedPatch, check_series};
pub use config::ConfigError;
pub use find::{FindError, KernelFiles, find, list};
pub use layout::{Layout, LayoutError};
pub use lock::LockError;
pub use product::{Built, ProductError};
pub use run::RunError;
pub use series::SeriesError;
pub use source::SourceError;
pub use spec::{
    BASELINE, BuildSpec, DISABLED, PATCHED, Phase, Profile, Progress, Silent, SpecError, check_name,
};
pub use toolchain::{PACKAGES, ToolError};
pub use worktree::WorktreeError;
