//! Words as an operation.

use super::args::{Args, EXPECTATION, Fault, Word, digits, number};
use super::words::{ACCESS_MODES, OPEN_FLAGS, OPS, TIMES, WHENCE, creates};
use crate::errno;
use crate::op::{Line, NodeKind, Op, RenameFlags, Whence};

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
            whence: whence(args)?,
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

const SLOT: &str = "a slot number, 0 to 65535";
const SIZE: &str = "a size in bytes";

fn kind(args: &mut Args) -> Result<NodeKind, Fault> {
    const EXPECTED: &str = "fifo, socket, char:MAJOR:MINOR or block:MAJOR:MINOR";
    let word = args.bare(EXPECTED)?;
    let device = |numbers: &str| {
        let (major, minor) = numbers.split_once(':')?;
        Some((decimal(major)?, decimal(minor)?))
    };
    let kind = match word.bare.split_once(':') {
        None if word.bare == "fifo" => Some(NodeKind::Fifo),
        None if word.bare == "socket" => Some(NodeKind::Socket),
        Some(("char", numbers)) => device(numbers).map(|(a, b)| NodeKind::Char(a, b)),
        Some(("block", numbers)) => device(numbers).map(|(a, b)| NodeKind::Block(a, b)),
        _ => None,
    };
    kind.ok_or_else(|| word.fault(EXPECTED))
}

fn rename_flags(args: &mut Args) -> Result<RenameFlags, Fault> {
    let mut flags = RenameFlags::default();
    if args.is_empty() {
        return Ok(flags);
    }
    const EXPECTED: &str = "noreplace, exchange, whiteout, joined by |";
    let word = args.bare(EXPECTED)?;
    for name in word.bare.split('|') {
        match name {
            "noreplace" => flags.noreplace = true,
            "exchange" => flags.exchange = true,
            "whiteout" => flags.whiteout = true,
            _ => return Err(word.fault(EXPECTED)),
        }
    }
    Ok(flags)
}

fn open_flags(args: &mut Args) -> Result<u32, Fault> {
    let expected = || {
        let names: Vec<_> = ACCESS_MODES
            .into_iter()
            .chain(OPEN_FLAGS.map(|(name, _)| name))
            .collect();
        format!("flags joined by |, of {}, or 0xBITS", names.join(" "))
    };
    let word = args.bare("the flags of open, such as rdwr|creat")?;
    let mut flags = 0;
    for name in word.bare.split('|') {
        let mode = ACCESS_MODES
            .iter()
            .position(|m| *m == name)
            .and_then(|m| u32::try_from(m).ok());
        let bits = mode
            .or_else(|| {
                OPEN_FLAGS
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, bits)| *bits)
            })
            .or_else(|| hex(name));
        flags |= bits.ok_or_else(|| word.fault(expected()))?;
    }
    Ok(flags)
}

fn hex(word: &str) -> Option<u32> {
    let hex = word.strip_prefix("0x")?;
    if hex.starts_with('+') {
        None
    } else {
        u32::from_str_radix(hex, 16).ok()
    }
}

fn whence(args: &mut Args) -> Result<Whence, Fault> {
    const EXPECTED: &str = "set, cur, end, data or hole";
    let word = args.bare(EXPECTED)?;
    let found = WHENCE.iter().find(|(name, _)| *name == word.bare);
    found
        .map(|(_, whence)| *whence)
        .ok_or_else(|| word.fault(EXPECTED))
}

fn mask(args: &mut Args) -> Result<u32, Fault> {
    const EXPECTED: &str = "letters of rwx, or f";
    let word = args.bare(EXPECTED)?;
    let letter = |c| match c {
        'f' => Some(0),
        'x' => Some(1),
        'w' => Some(2),
        'r' => Some(4),
        _ => None,
    };
    let octal = || digits(&word.bare).and_then(|d| u32::from_str_radix(d, 8).ok());
    word.bare
        .chars()
        .try_fold(0, |mask, c| Some(mask | letter(c)?))
        .or_else(octal)
        .ok_or_else(|| word.fault(EXPECTED))
}

fn milliseconds(args: &mut Args) -> Result<u32, Fault> {
    const EXPECTED: &str = "a time such as 50ms or 2s";
    let word = args.bare(EXPECTED)?;
    let ms = match word.bare.strip_suffix("ms") {
        Some(ms) => decimal(ms),
        None => word
            .bare
            .strip_suffix('s')
            .and_then(decimal)
            .and_then(|s| s.checked_mul(1000)),
    };
    ms.ok_or_else(|| word.fault(EXPECTED))
}

fn decimal(text: &str) -> Option<u32> {
    digits(text)?.parse().ok()
}

fn optional_id(text: &str) -> Option<Option<u32>> {
    if text == "-" {
        Some(None)
    } else {
        decimal(text).map(Some)
    }
}

fn pair<T>(args: &mut Args, expected: &str, one: fn(&str) -> Option<T>) -> Result<(T, T), Fault> {
    let word = args.bare(expected)?;
    let found = word
        .bare
        .split_once(':')
        .and_then(|(a, b)| Some((one(a)?, one(b)?)));
    found.ok_or_else(|| word.fault(expected))
}

fn time(args: &mut Args, name: &str) -> Result<(i64, u32), Fault> {
    let expected = format!("{name}SECONDS:NANOSECONDS, {name}now or {name}omit");
    let word = args.bare(&expected)?;
    let found = word.bare.strip_prefix(name).and_then(|value| {
        if let Some((_, nsec)) = TIMES.iter().find(|(name, _)| *name == value) {
            return Some((0, *nsec));
        }
        let (sec, nsec) = value.split_once(':').unwrap_or((value, "0"));
        Some((i64::try_from(number(sec)?).ok()?, decimal(nsec)?))
    });
    found.ok_or_else(|| word.fault(expected))
}

/// `off=`, `len=`.
fn range(args: &mut Args) -> Result<(u64, u32), Fault> {
    let [off, len] = args.named(["off", "len"])?;
    Ok((fits(off, Some(0))?, required(args, len)?))
}

/// `off=`, `len=`, `seed=`.
fn stored(args: &mut Args) -> Result<(u64, u32, u64), Fault> {
    let [off, len, seed] = args.named(["off", "len", "seed"])?;
    Ok((
        fits(off, Some(0))?,
        required(args, len)?,
        fits(seed, Some(0))?,
    ))
}

fn required(args: &Args, len: Option<(i128, Word)>) -> Result<u32, Fault> {
    if len.is_none() {
        Err(args.missing("len=BYTES"))
    } else {
        fits(len, None)
    }
}

fn fits<T: TryFrom<i128>>(value: Option<(i128, Word)>, default: Option<T>) -> Result<T, Fault> {
    match (value, default) {
        (Some((n, word)), _) => T::try_from(n)
            .map_err(|_| word.fault(format!("a number of at most {} bits", size_of::<T>() * 8))),
        (None, Some(default)) => Ok(default),
        (None, None) => Err((1, "a number".into(), "none".into())),
    }
}
