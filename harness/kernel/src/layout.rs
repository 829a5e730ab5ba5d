//! Where the cache and the patch series are.

use std::env;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::spec::Profile;

/// Why the cache or the series was not found.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// Neither variable names a place for a cache.
    #[error("no place for the kernel cache: set XDG_CACHE_HOME or HOME")]
    NoCache,
    /// No checkout around the current directory.
    #[error("no guest-kernel/config/base.config in {} or above it", .0.display())]
    NoSeries(PathBuf),
}

/// The two directories a build works between.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Where everything built is kept; nothing in it is precious.
    pub cache: PathBuf,
    /// The repository's `guest-kernel/`.
    pub guest_kernel: PathBuf,
}

impl Layout {
    /// The cache under `${XDG_CACHE_HOME:-~/.cache}/lookback/kernel`, and the `guest-kernel/` of
    /// the checkout around the current directory, else of the one this was compiled in.
    ///
    /// # Errors
    /// Without a home directory, or without a checkout.
    pub fn discover() -> Result<Self, LayoutError> {
        // The XDG base directory specification has relative paths ignored.
        let absolute = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let cache = absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .ok_or(LayoutError::NoCache)?
            .join("lookback/kernel");
        let here = env::current_dir().unwrap_or_default();
        let compiled = Path::new(env!("CARGO_MANIFEST_DIR"));
        let guest_kernel = here
            .ancestors()
            .chain(compiled.ancestors())
            .map(|dir| dir.join("guest-kernel"))
            .find(|dir| dir.join("config/base.config").is_file())
            .ok_or_else(|| LayoutError::NoSeries(here.clone()))?;
        Ok(Self {
            cache,
            guest_kernel,
        })
    }

    /// The series of the kernel `patched`.
    #[must_use]
    pub fn patches(&self) -> PathBuf {
        self.guest_kernel.join("patches")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.cache.join("lock")
    }

    /// Held while the prefixes of the series are built.
    pub(crate) fn series_lock(&self) -> PathBuf {
        self.cache.join("lock.series")
    }

    pub(crate) fn sources(&self) -> PathBuf {
        self.cache.join("source")
    }

    pub(crate) fn work(&self, source: &str, profile: Profile) -> PathBuf {
        self.cache.join("work").join(format!("{source}.{profile}"))
    }

    /// The trees in which the prefixes of the series are built.
    pub(crate) fn series_work(&self, source: &str) -> PathBuf {
        self.cache.join("work").join(format!("{source}.series"))
    }

    pub(crate) fn built(&self) -> PathBuf {
        self.cache.join("built")
    }

    /// How many steps the last build of this profile from nothing took.
    pub(crate) fn steps(&self, profile: Profile) -> PathBuf {
        self.cache.join(format!("steps.{profile}"))
    }
}
