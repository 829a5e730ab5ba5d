//! `op::FileOp` as text.

use std::fmt::{self, Display, Formatter};

use super::super::words::{FALLOCATE_MODES, IOCTLS, XATTR_FLAGS};
use super::{Text, Words, word};
use crate::attrs;
use crate::op::{FileOp, Ioctl, XattrFlag};

impl Display for FileOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            FileOp::SetXattr {
                path,
                name,
                value,
                flag,
            } => {
                write!(f, "setxattr {path} {} {}", Text(name), Bytes(value))?;
                match flag {
                    XattrFlag::Any => Ok(()),
                    flag => write!(f, " {}", word(&XATTR_FLAGS, flag)),
                }
            }
            FileOp::GetXattr { path, name } => write!(f, "getxattr {path} {}", Text(name)),
            FileOp::ListXattr { path } => write!(f, "listxattr {path}"),
            FileOp::RemoveXattr { path, name } => write!(f, "removexattr {path} {}", Text(name)),
            FileOp::Fallocate {
                path,
                off,
                len,
                mode,
            } => {
                write!(f, "fallocate {path} off={off} len={len}")?;
                if *mode == 0 {
                    Ok(())
                } else {
                    write!(f, " {}", Modes(*mode))
                }
            }
            FileOp::CopyRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => write!(
                f,
                "copyrange {from} {to} soff={from_off} doff={to_off} len={len}"
            ),
            FileOp::CloneRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => write!(
                f,
                "clonerange {from} {to} soff={from_off} doff={to_off} len={len}"
            ),
            FileOp::DedupeRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => write!(
                f,
                "deduperange {from} {to} soff={from_off} doff={to_off} len={len}"
            ),
            FileOp::Splice { from, to, off, len } => {
                write!(f, "splice {from} {to} off={off} len={len}")
            }
            FileOp::Chattr { path, flags } => write!(f, "chattr {path} {}", attrs::letters(*flags)),
            FileOp::Lsattr { path } => write!(f, "lsattr {path}"),
            FileOp::Ioctl { path, what } => match what {
                Ioctl::Number(number) => write!(f, "ioctl {path} {number:#x}"),
                what => write!(f, "ioctl {path} {}", word(&IOCTLS, what)),
            },
            FileOp::Statfs { path } => write!(f, "statfs {path}"),
            FileOp::LinkFd { slot, path } => write!(f, "linkfd {slot} {path}"),
            FileOp::FdPath { slot } => write!(f, "fdpath {slot}"),
            FileOp::Handle { slot, path } => write!(f, "handle {slot} {path}"),
            FileOp::OpenHandle { handle, slot } => write!(f, "openhandle {handle} {slot}"),
            FileOp::Watch { slot, path } => write!(f, "watch {slot} {path}"),
            FileOp::Cached { path } => write!(f, "cached {path}"),
            FileOp::Exec { path } => write!(f, "exec {path}"),
        }
    }
}

/// An attribute's value: text where it is some, else `hex:` and digits.
struct Bytes<'a>(&'a [u8]);

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if !text.contains('\0') && !text.starts_with("hex:") => Text(text).fmt(f),
            _ => {
                f.write_str("hex:")?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// fallocate(2)'s modes; bits without a name in hexadecimal.
struct Modes(u32);

impl Display for Modes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (mut words, mut left) = (Words::default(), self.0);
        for (word, bit) in FALLOCATE_MODES {
            if left & bit != 0 {
                words.push(word);
                left &= !bit;
            }
        }
        if left != 0 {
            words.push(&format!("{left:#x}"));
        }
        f.write_str(&words.0)
    }
}
