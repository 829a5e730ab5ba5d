//! Operations as text.

mod file;
mod io;
mod lock;
mod map;
mod mount;

use std::fmt::{self, Display, Formatter, Write};

use super::args::ARROW;
use super::words::{
    ACCESS_MODE, ACCESS_MODES, BASES, OPEN_FLAGS, SLOT_BASE, TIMES, WHENCE, creates,
};
use crate::errno;
use crate::op::{Base, Line, NodeKind, Op, Path, RenameFlags};

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.worker != 0 {
            write!(f, "p{}: ", self.worker)?;
        }
        self.op.fmt(f)?;
        match self.expect {
            None => Ok(()),
            Some(0) => write!(f, " {ARROW} ok"),
            Some(errno) => write!(f, " {ARROW} {}", errno::name(errno)),
        }
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.base == Base::Arm {
            return match self.rel.as_str() {
                "" => f.write_str("."),
                rel => Text(rel).fmt(f),
            };
        }
        match self.base {
            Base::Slot(slot) => write!(f, "{SLOT_BASE}{slot}")?,
            base => {
                let named = BASES.iter().find(|(_, b)| *b == base);
                f.write_str(named.map_or("", |(prefix, _)| prefix))?;
            }
        }
        match self.rel.as_str() {
            "" => Ok(()),
            rel => write!(f, "/{}", Text(rel)),
        }
    }
}

impl Display for NodeKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            NodeKind::Fifo => f.write_str("fifo"),
            NodeKind::Socket => f.write_str("socket"),
            NodeKind::Char(major, minor) => write!(f, "char:{major}:{minor}"),
            NodeKind::Block(major, minor) => write!(f, "block:{major}:{minor}"),
        }
    }
}

impl Display for RenameFlags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut words = Words::default();
        for (set, word) in [
            (self.noreplace, "noreplace"),
            (self.exchange, "exchange"),
            (self.whiteout, "whiteout"),
        ] {
            if set {
                words.push(word);
            }
        }
        f.write_str(&words.0)
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::Creat { path, mode } => write!(f, "creat {path} {}", Octal(*mode)),
            Op::Mkdir { path, mode } => write!(f, "mkdir {path} {}", Octal(*mode)),
            Op::Mknod { path, kind, mode } => write!(f, "mknod {path} {kind} {}", Octal(*mode)),
            Op::Symlink { target, path } => write!(f, "symlink {} {path}", Text(target)),
            Op::Link { old, new } => write!(f, "link {old} {new}"),
            Op::Unlink { path } => write!(f, "unlink {path}"),
            Op::Rmdir { path } => write!(f, "rmdir {path}"),
            Op::Rename { old, new, flags } => {
                write!(f, "rename {old} {new}")?;
                if *flags == RenameFlags::default() {
                    Ok(())
                } else {
                    write!(f, " {flags}")
                }
            }
            Op::Stat { path } => write!(f, "stat {path}"),
            Op::Lstat { path } => write!(f, "lstat {path}"),
            Op::Chmod { path, mode } => write!(f, "chmod {path} {}", Octal(*mode)),
            Op::Chown { path, uid, gid } => write!(f, "chown {path} {}:{}", Id(*uid), Id(*gid)),
            Op::Utimens { path, atime, mtime } => {
                write!(
                    f,
                    "utimens {path} atime={} mtime={}",
                    Time(*atime),
                    Time(*mtime)
                )
            }
            Op::Truncate { path, size } => write!(f, "truncate {path} {size}"),
            Op::Access { path, mask } => write!(f, "access {path} {}", Mask(*mask)),
            Op::Readlink { path } => write!(f, "readlink {path}"),
            Op::Readdir { path } => write!(f, "readdir {path}"),
            Op::Write {
                path,
                off,
                len,
                seed,
            } => write!(f, "write {path} off={off} len={len} seed={seed}"),
            Op::Read { path, off, len } => write!(f, "read {path} off={off} len={len}"),
            Op::MmapWrite {
                path,
                off,
                len,
                seed,
            } => write!(f, "mwrite {path} off={off} len={len} seed={seed}"),
            Op::MmapRead { path, off, len } => write!(f, "mread {path} off={off} len={len}"),
            Op::Fsync { path } => write!(f, "fsync {path}"),
            Op::Fdatasync { path } => write!(f, "fdatasync {path}"),
            Op::Open {
                slot,
                path,
                flags,
                mode,
            } => {
                write!(f, "open {slot} {path} {}", OpenFlags(*flags))?;
                if creates(*flags) || *mode != 0 {
                    write!(f, " {}", Octal(*mode))
                } else {
                    Ok(())
                }
            }
            Op::Close { slot } => write!(f, "close {slot}"),
            Op::Pwrite {
                slot,
                off,
                len,
                seed,
            } => write!(f, "pwrite {slot} off={off} len={len} seed={seed}"),
            Op::Pread { slot, off, len } => write!(f, "pread {slot} off={off} len={len}"),
            Op::Ftruncate { slot, size } => write!(f, "ftruncate {slot} {size}"),
            Op::Fstat { slot } => write!(f, "fstat {slot}"),
            Op::Fsyncfd { slot } => write!(f, "fsyncfd {slot}"),
            Op::Lseek { slot, off, whence } => {
                write!(f, "lseek {slot} {off} {}", word(&WHENCE, whence))
            }
            Op::Sync => f.write_str("sync"),
            Op::DropCaches => f.write_str("dropcaches"),
            Op::Wait { ms } => write!(f, "wait {ms}ms"),
            Op::MountTmpfs { path } => write!(f, "mounttmpfs {path}"),
            Op::Umount { path } => write!(f, "umount {path}"),
            Op::Creds { uid, gid } => write!(f, "creds {uid}:{gid}"),
            Op::Umask { mask } => write!(f, "umask {}", Octal(*mask)),
            Op::File(op) => op.fmt(f),
            Op::Io(op) => op.fmt(f),
            Op::Map(op) => op.fmt(f),
            Op::Lock(op) => op.fmt(f),
            Op::Mount(op) => op.fmt(f),
            Op::Repeat { times, op } => write!(f, "repeat {times} {op}"),
            Op::EachAlloc { cold: false, op } => write!(f, "eachalloc {op}"),
            Op::EachAlloc { cold: true, op } => write!(f, "eachalloc cold {op}"),
        }
    }
}

/// A name, quoted where it would not read back as one word.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain =
            |c: char| c.is_alphanumeric() || (c.is_ascii_graphic() && !matches!(c, '"' | '\\'));
        if !self.0.is_empty()
            && !matches!(self.0, "." | ARROW)
            && !self.0.starts_with(['@', '#'])
            && self.0.chars().all(plain)
        {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                '"' | '\\' => write!(f, "\\{c}")?,
                ' ' => f.write_char(c)?,
                c if plain(c) => f.write_char(c)?,
                c => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            }
        }
        f.write_char('"')
    }
}

/// Four octal digits at least.
struct Octal(u32);

impl Display for Octal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// An owner, or `-` for "as it is".
struct Id(Option<u32>);

impl Display for Id {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_char('-'),
        }
    }
}

/// Seconds and nanoseconds, or the word for them.
struct Time((i64, u32));

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (sec, nsec) = self.0;
        match TIMES.iter().find(|(_, n)| *n == nsec) {
            Some((word, _)) if sec == 0 => f.write_str(word),
            _ => write!(f, "{sec}:{nsec}"),
        }
    }
}

/// The letters of access(2)'s mask; `f` for F_OK.
struct Mask(u32);

impl Display for Mask {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_char('f'),
            mask @ 1..=7 => [(4, 'r'), (2, 'w'), (1, 'x')]
                .iter()
                .filter(|(bit, _)| mask & bit != 0)
                .try_for_each(|(_, c)| f.write_char(*c)),
            mask => Octal(mask).fmt(f),
        }
    }
}

/// Words joined by `|`.
#[derive(Default)]
struct Words(String);

impl Words {
    fn push(&mut self, word: &str) {
        if !self.0.is_empty() {
            self.0.push('|');
        }
        self.0.push_str(word);
    }
}

/// The word for a value.
fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    let found = words.iter().find(|(_, v)| v == value);
    found.map_or("", |(word, _)| word)
}

/// The flags of open(2); bits without a name in hexadecimal.
struct OpenFlags(u32);

impl Display for OpenFlags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut words = Words::default();
        let mut left = self.0;
        let mode = usize::try_from(left & ACCESS_MODE).unwrap_or(usize::MAX);
        if let Some(word) = ACCESS_MODES.get(mode) {
            words.push(word);
            left &= !ACCESS_MODE;
        }
        for (word, bits) in OPEN_FLAGS {
            if left & bits == bits {
                words.push(word);
                left &= !bits;
            }
        }
        if left != 0 {
            words.push(&format!("{left:#x}"));
        }
        f.write_str(&words.0)
    }
}
