//! How often each kind of operation comes.

use std::fmt::{self, Display};
use std::str::FromStr;

use rand::Rng;
use thiserror::Error;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $weight:literal;)*) => {
        /// A kind of operation, under its name in fsstress where that has it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// Its name in a mix.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),* }
            }

            /// Its weight in the default mix.
            #[must_use]
            pub fn default_weight(self) -> u32 {
                match self { $(Kind::$kind => $weight),* }
            }
        }
    };
}

kinds! {
    /// A new regular file.
    Creat = "creat", 8;
    /// A new directory.
    Mkdir = "mkdir", 5;
    /// A fifo, a socket or a character device.
    Mknod = "mknod", 2;
    /// A symlink to a name in the same directory or below.
    Symlink = "symlink", 3;
    /// A hard link.
    Link = "link", 4;
    /// unlink(2).
    Unlink = "unlink", 6;
    /// rmdir(2).
    Rmdir = "rmdir", 3;
    /// rename(2), onto existing names too.
    Rename = "rename", 7;
    /// renameat2(2) with RENAME_NOREPLACE.
    Rnoreplace = "rnoreplace", 2;
    /// renameat2(2) with RENAME_EXCHANGE.
    Rexchange = "rexchange", 2;
    /// renameat2(2) with RENAME_WHITEOUT.
    Rwhiteout = "rwhiteout", 1;
    /// pread(2) of a path.
    Read = "read", 4;
    /// pwrite(2) to a path.
    Write = "write", 8;
    /// Loads from a shared mapping.
    Mread = "mread", 2;
    /// Stores to a shared mapping.
    Mwrite = "mwrite", 2;
    /// truncate(2), shrinking and growing.
    Truncate = "truncate", 3;
    /// fsync(2) of a path.
    Fsync = "fsync", 1;
    /// fdatasync(2) of a path.
    Fdatasync = "fdatasync", 1;
    /// syncfs(2); dear, so rare (once in some 400 operations).
    Sync = "sync", 1;
    /// stat(2), following symlinks.
    Stat = "stat", 8;
    /// lstat(2).
    Getattr = "getattr", 6;
    /// chmod(2) or utimensat(2).
    Setattr = "setattr", 4;
    /// lchown(2).
    Chown = "chown", 3;
    /// faccessat2(2) (not in fsstress).
    Access = "access", 1;
    /// Reading a directory to its end.
    Getdents = "getdents", 3;
    /// readlink(2).
    Readlink = "readlink", 2;
    /// open(2) into a slot (this and what follows is not in fsstress).
    Open = "open", 6;
    /// close(2) of a slot.
    Close = "close", 4;
    /// pwrite(2) on a slot.
    Pwrite = "pwrite", 4;
    /// pread(2) on a slot.
    Pread = "pread", 3;
    /// ftruncate(2) on a slot.
    Ftruncate = "ftruncate", 1;
    /// fstat(2) on a slot.
    Fstat = "fstat", 3;
    /// lseek(2) on a slot.
    Lseek = "lseek", 2;
    /// fsync(2) on a slot.
    Fsyncfd = "fsyncfd", 1;
}

/// Everything but `sync` counts this often, so that `sync` stays rare.
const SCALE: u32 = 4;

/// A weight for each kind.
///
/// Written `op=weight,…`: what is named gets that weight, the rest keeps the
/// default. `all=weight` sets every kind, so `all=0,creat=1,unlink=1` leaves two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// In the order of [`Kind::ALL`].
    weights: Vec<u32>,
}

/// A mix that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MixError {
    /// No such operation.
    #[error("mix: no operation `{0}`; there are {list}", list = names())]
    Unknown(String),
    /// Not `op=weight`.
    #[error("mix: `{0}` is not of the form op=weight, weight being 0 to 1000000")]
    Malformed(String),
    /// Nothing left to do.
    #[error("mix: every weight is 0, so there is nothing to run")]
    Empty,
}

/// The largest weight; keeps the sum far from overflow.
const MAX_WEIGHT: u32 = 1_000_000;

fn names() -> String {
    let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    format!("{} and all", names.join(" "))
}

impl Default for Mix {
    fn default() -> Self {
        let weight = |kind: &Kind| match kind {
            Kind::Sync => kind.default_weight(),
            _ => kind.default_weight() * SCALE,
        };
        Mix {
            weights: Kind::ALL.iter().map(weight).collect(),
        }
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut mix = Mix::default();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let malformed = || MixError::Malformed(item.into());
            let (name, weight) = item.split_once('=').ok_or_else(malformed)?;
            let weight: u32 = weight.parse().map_err(|_| malformed())?;
            if weight > MAX_WEIGHT {
                return Err(malformed());
            }
            if name == "all" {
                mix.weights.fill(weight);
                continue;
            }
            let at = Kind::ALL.iter().position(|kind| kind.name() == name);
            match at.and_then(|at| mix.weights.get_mut(at)) {
                Some(slot) => *slot = weight,
                None => return Err(MixError::Unknown(name.into())),
            }
        }
        if mix.weights.iter().all(|w| *w == 0) {
            Err(MixError::Empty)
        } else {
            Ok(mix)
        }
    }
}

impl Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (kind, weight)) in Kind::ALL.iter().zip(&self.weights).enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}={weight}", kind.name())?;
        }
        Ok(())
    }
}

impl Mix {
    /// A kind, each as likely as its weight says.
    pub(super) fn choose(&self, rng: &mut impl Rng) -> Kind {
        let total: u32 = self.weights.iter().sum();
        let mut left = rng.random_range(0..total.max(1));
        for (kind, weight) in Kind::ALL.iter().zip(&self.weights) {
            if left < *weight {
                return *kind;
            }
            left -= weight;
        }
        Kind::Stat
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("frob=1", "mix: no operation `frob`; there are creat mkdir mknod")]
    #[case("creat", "mix: `creat` is not of the form op=weight")]
    #[case("creat=-1", "mix: `creat=-1` is not of the form")]
    #[case("creat=1000001", "mix: `creat=1000001` is not of the form")]
    #[case("all=0", "mix: every weight is 0")]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        let error = text.parse::<Mix>().unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[test]
    fn names_are_unique_and_a_mix_prints_as_it_parses() {
        let mix: Mix = "creat=99, rename=0".parse().unwrap();
        assert_eq!(mix.to_string().parse(), Ok(mix.clone()));
        assert!(mix.to_string().starts_with("creat=99,mkdir="));
        assert_eq!("".parse(), Ok(Mix::default()));
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
