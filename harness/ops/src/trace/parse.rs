//! Words as an operation.

mod file;
mod io;
mod lock;
mod map;
mod mount;
mod values;
mod wrapper;

use super::args::{Args, EXPECTATION, Fault, Word, digits};
use super::words::{OPS, WHENCE, creates};
use crate::errno;
use crate::op::{Line, Op};
use values::{
    SIZE, SLOT, decimal, kind, mask, milliseconds, open_flags, optional_id, pair, range,
    rename_flags, stored, time,
};

/// Mode of `creat`, `mknod` and `open` where none is given.
const FILE_MODE: u32 = 0o644;
/// Mode of `mkdir` where none is given.
const DIR_MODE: u32 = 0o755;

/// One line, worker and operation.
pub(super) fn line(args: &mut Args) -> Result<Line, Fault> {
    let named = args
        .peek()
        .filter(|w| w.quoted.is_none())
        .and_then(|w| worker(&w.bare));
    if named.is_some() {
        args.next("")?;
    }
    let expect = args.expectation()?.map(expectation).transpose()?;
    let op = op(args)?;
    args.finish()?;
    Ok(Line {
        worker: named.unwrap_or(0),
        op,
        expect,
    })
}

/// What stands behind the arrow.
fn expectation(word: Word) -> Result<i32, Fault> {
    match word.bare.as_str() {
        _ if word.quoted.is_some() => None,
        "ok" => Some(0),
        name => errno::number(name),
    }
    .ok_or_else(|| word.fault(EXPECTATION))
}

/// `p1:` or `1:`.
fn worker(word: &str) -> Option<u16> {
    let number = word.strip_suffix(':')?;
    digits(number.strip_prefix('p').unwrap_or(number))?
        .parse()
        .ok()
}

fn op(args: &mut Args) -> Result<Op, Fault> {
    let word = args.bare("an operation")?;
    if let Some(op) = file::op(&word, args)? {
        return Ok(Op::File(op));
    }
    if let Some(op) = io::op(&word, args)? {
        return Ok(Op::Io(op));
    }
    if let Some(op) = map::op(&word, args)? {
        return Ok(Op::Map(op));
    }
    if let Some(op) = lock::op(&word, args)? {
        return Ok(Op::Lock(op));
    }
    if let Some(op) = mount::op(&word, args)? {
        return Ok(Op::Mount(op));
    }
    if let Some(op) = wrapper::op(&word, args)? {
        return Ok(op);
    }
    Ok(match word.bare.as_str() {
        "creat" => Op::Creat {
            path: args.path()?,
            mode: args.octal_or(FILE_MODE)?,
        },
        "mkdir" => Op::Mkdir {
            path: args.path()?,
            mode: args.octal_or(DIR_MODE)?,
        },
        "mknod" => Op::Mknod {
            path: args.path()?,
            kind: kind(args)?,
            mode: args.octal_or(FILE_MODE)?,
        },
        "symlink" => Op::Symlink {
            target: args.text("a symlink's target")?,
            path: args.path()?,
        },
        "link" => Op::Link {
            old: args.path()?,
            new: args.path()?,
        },
        "unlink" => Op::Unlink { path: args.path()? },
        "rmdir" => Op::Rmdir { path: args.path()? },
        "rename" => Op::Rename {
            old: args.path()?,
            new: args.path()?,
            flags: rename_flags(args)?,
        },
        "stat" => Op::Stat { path: args.path()? },
        "lstat" => Op::Lstat { path: args.path()? },
        "chmod" => Op::Chmod {
            path: args.path()?,
            mode: args.octal()?,
        },
        "chown" => {
            let path = args.path()?;
            let (uid, gid) = pair(args, "UID:GID, `-` for as it is", optional_id)?;
            Op::Chown { path, uid, gid }
        }
        "utimens" => {
            let path = args.path()?;
            Op::Utimens {
                path,
                atime: time(args, "atime=")?,
                mtime: time(args, "mtime=")?,
            }
        }
        "truncate" => Op::Truncate {
            path: args.path()?,
            size: args.number(SIZE)?,
        },
        "access" => Op::Access {
            path: args.path()?,
            mask: mask(args)?,
        },
        "readlink" => Op::Readlink { path: args.path()? },
        "readdir" => Op::Readdir { path: args.path()? },
        "write" => {
            let path = args.path()?;
            let (off, len, seed) = stored(args)?;
            Op::Write {
                path,
                off,
                len,
                seed,
            }
        }
        "mwrite" => {
            let path = args.path()?;
            let (off, len, seed) = stored(args)?;
            Op::MmapWrite {
                path,
                off,
                len,
                seed,
            }
        }
        "read" => {
            let path = args.path()?;
            let (off, len) = range(args)?;
            Op::Read { path, off, len }
        }
        "mread" => {
            let path = args.path()?;
            let (off, len) = range(args)?;
            Op::MmapRead { path, off, len }
        }
        "fsync" => Op::Fsync { path: args.path()? },
        "fdatasync" => Op::Fdatasync { path: args.path()? },
        "open" => {
            let (slot, path, flags) = (args.number(SLOT)?, args.path()?, open_flags(args)?);
            let mode = args.octal_or(if creates(flags) { FILE_MODE } else { 0 })?;
            Op::Open {
                slot,
                path,
                flags,
                mode,
            }
        }
        "close" => Op::Close {
            slot: args.number(SLOT)?,
        },
        "pwrite" => {
            let slot = args.number(SLOT)?;
            let (off, len, seed) = stored(args)?;
            Op::Pwrite {
                slot,
                off,
                len,
                seed,
            }
        }
        "pread" => {
            let slot = args.number(SLOT)?;
            let (off, len) = range(args)?;
            Op::Pread { slot, off, len }
        }
        "ftruncate" => Op::Ftruncate {
            slot: args.number(SLOT)?,
            size: args.number(SIZE)?,
        },
        "fstat" => Op::Fstat {
            slot: args.number(SLOT)?,
        },
        "fsyncfd" => Op::Fsyncfd {
            slot: args.number(SLOT)?,
        },
        "lseek" => Op::Lseek {
            slot: args.number(SLOT)?,
            off: args.number("an offset in bytes")?,
            whence: args.one_of(&WHENCE, "set, cur, end, data or hole")?,
        },
        "sync" => Op::Sync,
        "dropcaches" => Op::DropCaches,
        "wait" => Op::Wait {
            ms: milliseconds(args)?,
        },
        "mounttmpfs" => Op::MountTmpfs { path: args.path()? },
        "umount" => Op::Umount { path: args.path()? },
        "creds" => {
            let (uid, gid) = pair(args, "UID:GID", decimal)?;
            Op::Creds { uid, gid }
        }
        "umask" => Op::Umask {
            mask: args.octal()?,
        },
        _ => return Err(word.fault(format!("an operation ({OPS})"))),
    })
}
