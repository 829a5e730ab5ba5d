//! How often each kind of operation comes.

use std::fmt::{self, Display};
use std::str::FromStr;

use rand::Rng;
use thiserror::Error;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $weight:literal $(, $plain:ident)?;)*) => {
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

            /// Its weight in the default mix, in units of [`SCALE`].
            fn default_weight(self) -> u32 {
                match self { $(Kind::$kind => $weight),* }
            }

            /// The arm `plain` gives it the result that ext4 does. Where it
            /// can't, nearly all that follows on the same file differs, too.
            #[must_use]
            pub fn works_on_plain(self) -> bool {
                match self { $(Kind::$kind => true $(&& kinds!(@ $plain))?,)* }
            }
        }
    };
    (@ not_on_plain) => { false };
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
    /// preadv(2).
    Readv = "readv", 1;
    /// pread(2) with O_DIRECT.
    Dread = "dread", 1, not_on_plain;
    /// io_submit(2) of a read, with O_DIRECT.
    Aread = "aread", 1, not_on_plain;
    /// A read through io_uring(7).
    UringRead = "uring_read", 1;
    /// pwrite(2) to a path.
    Write = "write", 8;
    /// pwritev(2).
    Writev = "writev", 2;
    /// pwrite(2) with O_DIRECT.
    Dwrite = "dwrite", 2, not_on_plain;
    /// io_submit(2) of a write, with O_DIRECT.
    Awrite = "awrite", 1, not_on_plain;
    /// A write through io_uring(7).
    UringWrite = "uring_write", 1;
    /// Loads from a shared mapping.
    Mread = "mread", 2;
    /// Stores to a shared mapping.
    Mwrite = "mwrite", 2;
    /// truncate(2), shrinking and growing.
    Truncate = "truncate", 3;
    /// fallocate(2), with FALLOC_FL_KEEP_SIZE and without.
    Fallocate = "fallocate", 1;
    /// FALLOC_FL_PUNCH_HOLE.
    Punch = "punch", 2;
    /// FALLOC_FL_ZERO_RANGE.
    Zero = "zero", 2;
    /// FALLOC_FL_COLLAPSE_RANGE.
    Collapse = "collapse", 1, not_on_plain;
    /// FALLOC_FL_INSERT_RANGE.
    Insert = "insert", 1, not_on_plain;
    /// copy_file_range(2).
    CopyRange = "copyrange", 2;
    /// FICLONERANGE, which ext4 does not have.
    CloneRange = "clonerange", 1;
    /// FIDEDUPERANGE, likewise.
    DedupeRange = "deduperange", 1;
    /// splice(2) into a pipe and out of it.
    Splice = "splice", 2;
    /// fsync(2) of a path.
    Fsync = "fsync", 1;
    /// fdatasync(2) of a path.
    Fdatasync = "fdatasync", 1;
    /// syncfs(2); dear, so rare.
    Sync = "sync", 1;
    /// stat(2), following symlinks.
    Stat = "stat", 8;
    /// lstat(2).
    Getattr = "getattr", 6;
    /// chmod(2) or utimensat(2).
    Setattr = "setattr", 4;
    /// lchown(2).
    Chown = "chown", 3;
    /// lsetxattr(2) in user.
    Setfattr = "setfattr", 3;
    /// lgetxattr(2) in user.
    Getfattr = "getfattr", 1;
    /// llistxattr(2).
    Listfattr = "listfattr", 1;
    /// lremovexattr(2) in user.
    Removefattr = "removefattr", 1;
    /// lsetxattr(2) in trusted. and security., until there is no more room.
    AttrSet = "attr_set", 2, not_on_plain;
    /// lremovexattr(2) in trusted. and security.
    AttrRemove = "attr_remove", 1, not_on_plain;
    /// Reading a directory to its end.
    Getdents = "getdents", 3;
    /// readlink(2).
    Readlink = "readlink", 2;
    /// faccessat2(2) (this and what follows is not in fsstress).
    Access = "access", 1;
    /// A POSIX ACL, set, read or removed.
    Acl = "acl", 2, not_on_plain;
    /// Attributes as chattr(1) sets them; `a` and `i` not for long.
    Chattr = "chattr", 1, not_on_plain;
    /// Attributes as lsattr(1) tells them.
    Lsattr = "lsattr", 1, not_on_plain;
    /// statfs(2).
    Statfs = "statfs", 1;
    /// open(2) into a slot.
    Open = "open", 6;
    /// close(2) of a slot.
    Close = "close", 4;
    /// pwrite(2) on a slot.
    Pwrite = "pwrite", 4;
    /// pread(2) on a slot.
    Pread = "pread", 3;
    /// write(2) on a slot.
    Fdwrite = "fdwrite", 2;
    /// read(2) on a slot.
    Fdread = "fdread", 2;
    /// ftruncate(2) on a slot.
    Ftruncate = "ftruncate", 1;
    /// fstat(2) on a slot.
    Fstat = "fstat", 3;
    /// lseek(2) on a slot.
    Lseek = "lseek", 2;
    /// fsync(2) on a slot.
    Fsyncfd = "fsyncfd", 1;
    /// readlink(2) of /proc/self/fd/N.
    Fdpath = "fdpath", 1;
    /// open(2) with O_TMPFILE, a write, and linkat(2).
    Tmpfile = "tmpfile", 1, not_on_plain;
    /// mmap(2) of a slot, kept.
    Mmap = "mmap", 3;
    /// Stores to a kept mapping.
    Mstore = "mstore", 3;
    /// Loads from a kept mapping.
    Mload = "mload", 3;
    /// msync(2).
    Msync = "msync", 1;
    /// munmap(2).
    Munmap = "munmap", 1;
    /// flock(2) on a slot.
    Flock = "flock", 2;
    /// F_SETLK on a slot.
    Lock = "lock", 2;
    /// F_GETLK on a slot.
    Getlock = "getlock", 1;
    /// F_SETLEASE on a slot, given back soon.
    Lease = "lease", 1;
    /// Somebody without privileges, for a stretch.
    Creds = "creds", 1;
    /// umask(2).
    Umask = "umask", 1;
    /// sync(2) and drop_caches; dear, so rare.
    Dropcaches = "dropcaches", 1;
}

/// Everything but what is dear counts this often.
const SCALE: u32 = 4;

/// A weight for each kind.
///
/// Written `op=weight,…`: what is named gets that weight, the rest keeps the
/// default. `all=weight` sets every kind, so `all=0,creat=1,unlink=1` leaves two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// What `all` says.
    all: Option<u32>,
    /// What is named, in the order of [`Kind::ALL`].
    named: Vec<Option<u32>>,
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
        Mix {
            all: None,
            named: vec![None; Kind::ALL.len()],
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
                mix = Mix {
                    all: Some(weight),
                    ..Mix::default()
                };
                continue;
            }
            let at = Kind::ALL.iter().position(|kind| kind.name() == name);
            match at.and_then(|at| mix.named.get_mut(at)) {
                Some(slot) => *slot = Some(weight),
                None => return Err(MixError::Unknown(name.into())),
            }
        }
        if mix.weights().all(|(_, weight)| weight == 0) {
            Err(MixError::Empty)
        } else {
            Ok(mix)
        }
    }
}

impl Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all.map(|weight| ("all", weight));
        let named = Kind::ALL.iter().zip(&self.named);
        let named = named.filter_map(|(kind, weight)| Some((kind.name(), (*weight)?)));
        for (i, (name, weight)) in all.into_iter().chain(named).enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}={weight}")?;
        }
        Ok(())
    }
}

impl Mix {
    /// This mix for a load that runs on the arm `plain`, too: without the kinds
    /// that [`Kind::works_on_plain`] rules out, unless they were named.
    #[must_use]
    pub fn on_plain(&self) -> Mix {
        let named = self.named.iter().zip(Kind::ALL).map(|(named, kind)| {
            let left_out = (!kind.works_on_plain()).then_some(0);
            named.or(left_out)
        });
        Mix {
            all: self.all,
            named: named.collect(),
        }
    }

    /// Whether `kind` can come.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.weights().any(|(k, weight)| k == kind && weight > 0)
    }

    fn weights(&self) -> impl Iterator<Item = (Kind, u32)> {
        let kinds = Kind::ALL.iter().zip(&self.named);
        kinds.map(|(kind, named)| {
            let weight = named.or(self.all).unwrap_or_else(|| match kind {
                Kind::Sync | Kind::Dropcaches => kind.default_weight(),
                _ => kind.default_weight() * SCALE,
            });
            (*kind, weight)
        })
    }

    /// A kind, each as likely as its weight says.
    pub(super) fn choose(&self, rng: &mut impl Rng) -> Kind {
        let total: u32 = self.weights().map(|(_, weight)| weight).sum();
        let mut left = rng.random_range(0..total.max(1));
        for (kind, weight) in self.weights() {
            if left < weight {
                return kind;
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

    #[rstest]
    #[case("", "")]
    #[case("creat=99, rename=0", "creat=99,rename=0")]
    #[case("creat=5,all=0,unlink=1", "all=0,unlink=1")]
    fn a_mix_prints_as_it_parses(#[case] text: &str, #[case] printed: &str) {
        let mix: Mix = text.parse().unwrap();
        assert_eq!(mix.to_string(), printed);
        assert_eq!(printed.parse(), Ok(mix));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[rstest]
    #[case("", false)]
    #[case("all=1", false)]
    #[case("collapse=1", true)]
    #[case("all=0,collapse=1", true)]
    #[case("collapse=1,all=1", false)]
    fn on_plain_what_it_can_t_do_is_left_out_unless_named(#[case] text: &str, #[case] has: bool) {
        let mix: Mix = text.parse().unwrap();
        assert!(mix.has(Kind::Collapse));
        let mix = mix.on_plain();
        assert_eq!((mix.has(Kind::Collapse), mix.has(Kind::Acl)), (has, false));
        assert_eq!(mix.has(Kind::Creat), text != "all=0,collapse=1");
    }
}
