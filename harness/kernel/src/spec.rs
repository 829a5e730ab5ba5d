//! What to build, and how a build tells where it is.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::layout::Layout;

/// The kernel with the repository's series.
pub const PATCHED: &str = "patched";
/// The kernel without any patch.
pub const BASELINE: &str = "baseline";
/// The kernel with the repository's series and the symbols of `extension.config` off.
pub const DISABLED: &str = "disabled";

/// What is wrong with a specification.
#[derive(Debug, Error)]
pub enum SpecError {
    /// The name would not do as a file name and as a part of a kernel release.
    #[error(
        "`{0}` cannot name a kernel: 1 to 32 of a-z, 0-9, `_` and `-`, the first a letter or digit"
    )]
    Name(String),
    /// The name has a meaning.
    #[error("`{0}` cannot name a kernel of your own: it is one from the start")]
    Taken(String),
    /// No such profile.
    #[error("no profile `{0}`: there are `fast`, `debug`, `kasan` and `kvm`")]
    Profile(String),
}

/// Which configuration a kernel gets over the common one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// For everyday runs.
    Fast,
    /// With KASAN, lockdep and the other checkers.
    Debug,
    /// With KASAN and little else, for long runs.
    Kasan,
    /// As [`Profile::Fast`], and a host of guests itself.
    Kvm,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::Fast, Self::Debug, Self::Kasan, Self::Kvm];

    /// Estimated steps of a first build, until one has been counted on this machine.
    pub(crate) const fn expected_steps(self) -> u64 {
        match self {
            Self::Fast => 1520,
            Self::Debug => 1600,
            Self::Kasan => 1560,
            Self::Kvm => 1620,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Debug => "debug",
            Self::Kasan => "kasan",
            Self::Kvm => "kvm",
        })
    }
}

impl FromStr for Profile {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text {
            "fast" => Ok(Self::Fast),
            "debug" => Ok(Self::Debug),
            "kasan" => Ok(Self::Kasan),
            "kvm" => Ok(Self::Kvm),
            other => Err(SpecError::Profile(other.to_owned())),
        }
    }
}

/// One kernel to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    /// What it is called in the cache and in `uname -r`.
    pub name: String,
    /// Its configuration.
    pub profile: Profile,
    /// What is applied, one after the other: a directory stands for its `*.patch` files in the
    /// order of their names, a file for itself.
    pub patches: Vec<PathBuf>,
    /// Whether the symbols of `extension.config` are on.
    pub extension: bool,
    /// Whether a bzImage is made beside the vmlinux, which takes some seconds.
    pub bzimage: bool,
    /// A kernel tree or tar archive; without one `$LINUX_SRC`, else Debian's package.
    pub src: Option<PathBuf>,
    /// Parallel jobs of make; without a number one for each CPU.
    pub jobs: Option<NonZeroUsize>,
}

impl BuildSpec {
    /// A kernel of any name and series.
    #[must_use]
    pub fn new(name: impl Into<String>, profile: Profile, patches: Vec<PathBuf>) -> Self {
        Self {
            name: name.into(),
            profile,
            patches,
            extension: true,
            bzimage: true,
            src: None,
            jobs: None,
        }
    }

    /// The kernel with the repository's series.
    #[must_use]
    pub fn patched(layout: &Layout, profile: Profile) -> Self {
        Self::new(PATCHED, profile, vec![layout.patches()])
    }

    /// The kernel without any patch.
    #[must_use]
    pub fn baseline(profile: Profile) -> Self {
        Self::new(BASELINE, profile, Vec::new())
    }

    /// The kernel with the repository's series compiled out: the symbols of `extension.config`
    /// are not set.
    #[must_use]
    pub fn disabled(layout: &Layout, profile: Profile) -> Self {
        Self {
            extension: false,
            ..Self::new(DISABLED, profile, vec![layout.patches()])
        }
    }

    /// The recipe of a name that has one from the start.
    #[must_use]
    pub fn named(layout: &Layout, name: &str, profile: Profile) -> Option<Self> {
        match name {
            PATCHED => Some(Self::patched(layout, profile)),
            BASELINE => Some(Self::baseline(profile)),
            DISABLED => Some(Self::disabled(layout, profile)),
            _ => None,
        }
    }

    /// What follows the version in the kernel release.
    pub(crate) fn local_version(&self) -> String {
        match self.profile {
            Profile::Fast => format!("-{}", self.name),
            profile => format!("-{}-{profile}", self.name),
        }
    }

    pub(crate) fn check(&self) -> Result<(), SpecError> {
        if is_name(&self.name) {
            Ok(())
        } else {
            Err(SpecError::Name(self.name.clone()))
        }
    }
}

/// Whether a kernel of somebody's own can have this name.
///
/// # Errors
/// If it would not do as a name, or is one from the start.
pub fn check_name(name: &str) -> Result<(), SpecError> {
    match name {
        PATCHED | BASELINE | DISABLED => Err(SpecError::Taken(name.to_owned())),
        name if is_name(name) => Ok(()),
        name => Err(SpecError::Name(name.to_owned())),
    }
}

/// Whether `text` can name a kernel. The limit leaves room in the 64 bytes of `utsname`.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=32).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|c| plain(c) || c == b'_' || c == b'-')
}

/// The stages of a build, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Another process is building.
    Wait,
    /// The source archive is unpacked.
    Extract,
    /// The series is applied.
    Patch,
    /// The configuration is made and checked.
    Configure,
    /// make runs.
    Compile,
    /// The products are put in place.
    Publish,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait => "waiting",
            Self::Extract => "extracting",
            Self::Patch => "patching",
            Self::Configure => "configuring",
            Self::Compile => "compiling",
            Self::Publish => "publishing",
        })
    }
}

/// Who is told how a build goes on.
pub trait Progress {
    /// A stage begins.
    fn phase(&mut self, phase: Phase) {
        let _ = phase;
    }

    /// So many steps of the stage are done, of so many where that can be known beforehand. An
    /// expected number is an estimate: `done` may pass it.
    fn step(&mut self, done: u64, expected: Option<u64>) {
        let _ = (done, expected);
    }

    /// A line the user should see.
    fn note(&mut self, text: &str) {
        let _ = text;
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("patched", true)]
    #[case("d21-iflags", true)]
    #[case("6x", true)]
    #[case("", false)]
    #[case("-x", false)]
    #[case("..", false)]
    #[case("a/b", false)]
    #[case("a b", false)]
    #[case("Mutant", false)]
    #[case("abcdefghijklmnopqrstuvwxyz0123456", false)]
    fn names(#[case] name: &str, #[case] good: bool) {
        assert_eq!(
            BuildSpec::new(name, Profile::Fast, Vec::new())
                .check()
                .is_ok(),
            good
        );
    }

    #[test]
    fn profiles_read_back() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse::<Profile>().ok(), Some(profile));
        }
        assert!("quick".parse::<Profile>().is_err());
    }
}
