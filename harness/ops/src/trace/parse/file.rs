//! Words as an operation of `op::FileOp`.

use super::super::args::{Args, Fault, Word};
use super::super::words::{FALLOCATE_MODES, IOCTLS, XATTR_FLAGS};
use super::values::{SLOT, fits, hex, joined, required};
use crate::attrs;
use crate::op::{FileOp, Ioctl, Path, XattrFlag};

const XATTR: &str = "the name of an extended attribute";
const HANDLE: &str = "the number of a handle, 0 to 65535";

/// The operation `word` names, if it is one of these.
pub(super) fn op(word: &Word, args: &mut Args) -> Result<Option<FileOp>, Fault> {
    Ok(Some(match word.bare.as_str() {
        "setxattr" => FileOp::SetXattr {
            path: args.path()?,
            name: args.text(XATTR)?,
            value: bytes(args)?,
            flag: if args.is_empty() {
                XattrFlag::Any
            } else {
                args.one_of(&XATTR_FLAGS, "create or replace")?
            },
        },
        "getxattr" => FileOp::GetXattr {
            path: args.path()?,
            name: args.text(XATTR)?,
        },
        "listxattr" => FileOp::ListXattr { path: args.path()? },
        "removexattr" => FileOp::RemoveXattr {
            path: args.path()?,
            name: args.text(XATTR)?,
        },
        "fallocate" => {
            let path = args.path()?;
            let [off, len] = args.named(["off", "len"])?;
            FileOp::Fallocate {
                path,
                off: fits(off, Some(0))?,
                len: required(args, len)?,
                mode: joined(
                    args,
                    &FALLOCATE_MODES,
                    "keep, punch, collapse, zero, insert, unshare, joined by |, or 0xBITS",
                )?,
            }
        }
        "copyrange" => {
            let (from, to, from_off, to_off, len) = between(args)?;
            FileOp::CopyRange {
                from,
                to,
                from_off,
                to_off,
                len,
            }
        }
        "clonerange" => {
            let (from, to, from_off, to_off, len) = between(args)?;
            FileOp::CloneRange {
                from,
                to,
                from_off,
                to_off,
                len,
            }
        }
        "deduperange" => {
            let (from, to, from_off, to_off, len) = between(args)?;
            FileOp::DedupeRange {
                from,
                to,
                from_off,
                to_off,
                len,
            }
        }
        "splice" => {
            let (from, to) = (args.path()?, args.path()?);
            let [off, len] = args.named(["off", "len"])?;
            FileOp::Splice {
                from,
                to,
                off: fits(off, Some(0))?,
                len: required(args, len)?,
            }
        }
        "chattr" => FileOp::Chattr {
            path: args.path()?,
            flags: flags(args)?,
        },
        "lsattr" => FileOp::Lsattr { path: args.path()? },
        "ioctl" => FileOp::Ioctl {
            path: args.path()?,
            what: ioctl(args)?,
        },
        "statfs" => FileOp::Statfs { path: args.path()? },
        "linkfd" => FileOp::LinkFd {
            slot: args.number(SLOT)?,
            path: args.path()?,
        },
        "fdpath" => FileOp::FdPath {
            slot: args.number(SLOT)?,
        },
        "handle" => FileOp::Handle {
            slot: args.number(HANDLE)?,
            path: args.path()?,
        },
        "openhandle" => FileOp::OpenHandle {
            handle: args.number(HANDLE)?,
            slot: args.number(SLOT)?,
        },
        "watch" => FileOp::Watch {
            slot: args.number(SLOT)?,
            path: args.path()?,
        },
        "cached" => FileOp::Cached { path: args.path()? },
        "exec" => FileOp::Exec { path: args.path()? },
        _ => return Ok(None),
    }))
}

/// Two paths, `soff=`, `doff=`, `len=`.
fn between(args: &mut Args) -> Result<(Path, Path, u64, u64, u64), Fault> {
    let (from, to) = (args.path()?, args.path()?);
    let [from_off, to_off, len] = args.named(["soff", "doff", "len"])?;
    let (from_off, to_off) = (fits(from_off, Some(0))?, fits(to_off, Some(0))?);
    Ok((from, to, from_off, to_off, required(args, len)?))
}

/// An attribute's value: text, or `hex:` and digits.
fn bytes(args: &mut Args) -> Result<Vec<u8>, Fault> {
    const EXPECTED: &str = "a value, as text or hex:DIGITS";
    let word = args.next(EXPECTED)?;
    let Some(digits) = word.bare.strip_prefix("hex:") else {
        return word.text(EXPECTED).map(String::into_bytes);
    };
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        u8::from_str_radix(text, 16).ok().filter(|_| hex)
    };
    let pairs = digits.as_bytes().chunks_exact(2);
    let whole = pairs.remainder().is_empty() && word.quoted.is_none();
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes
        .filter(|_| whole)
        .ok_or_else(|| word.fault("hex: and pairs of hexadecimal digits"))
}

fn flags(args: &mut Args) -> Result<u32, Fault> {
    const EXPECTED: &str = "letters of chattr(1), - or 0xBITS";
    let word = args.bare(EXPECTED)?;
    attrs::bits(&word.bare).ok_or_else(|| word.fault(EXPECTED))
}

fn ioctl(args: &mut Args) -> Result<Ioctl, Fault> {
    let names: Vec<_> = IOCTLS.iter().map(|(name, _)| *name).collect();
    let expected = format!("an ioctl ({}) or 0xNUMBER", names.join(" "));
    match args.peek().and_then(|word| hex(&word.bare)) {
        Some(number) => {
            args.bare(&expected)?;
            Ok(Ioctl::Number(number))
        }
        None => args.one_of(&IOCTLS, &expected),
    }
}
