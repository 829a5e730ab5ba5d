//! Operations as calls.

mod file;
mod io;
mod lock;
mod map;
mod mount;

use lookback_ops::{Base, FileOp, NodeKind, Op, Path, RenameFlags, Whence};

use crate::error::Unable;
use crate::literal::{flags, id, octal, signed, string, unsigned};

/// open(2)'s flags; one of several bits comes before its parts. The numbers
/// are those of traces, the names let C have its own on another machine.
const OPEN_FLAGS: [(&str, u32); 17] = [
    ("O_RDWR", 0o2),
    ("O_WRONLY", 0o1),
    ("O_TMPFILE", 0o20_200_000),
    ("O_SYNC", 0o4_010_000),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_NOCTTY", 0o400),
    ("O_TRUNC", 0o1_000),
    ("O_APPEND", 0o2_000),
    ("O_NONBLOCK", 0o4_000),
    ("O_DSYNC", 0o10_000),
    ("O_DIRECT", 0o40_000),
    ("O_DIRECTORY", 0o200_000),
    ("O_NOFOLLOW", 0o400_000),
    ("O_NOATIME", 0o1_000_000),
    ("O_CLOEXEC", 0o2_000_000),
    ("O_PATH", 0o10_000_000),
];

/// Special `tv_nsec` of utimensat(2).
const TIMES: [(&str, u32); 2] = [("UTIME_NOW", 0x3fff_ffff), ("UTIME_OMIT", 0x3fff_fffe)];

/// Makes calls of operations, and keeps what they need besides.
#[derive(Debug, Default)]
pub struct Calls {
    /// The setup works below the file system under test.
    pub setup: bool,
    /// Functions that calls made so far name.
    pub functions: Vec<String>,
    /// Slots used are below this.
    pub slots: u32,
    /// Numbers of kept handles are below this.
    pub handles: u32,
    /// Numbers of mappings are below this.
    pub mappings: u32,
}

impl Calls {
    /// A C expression that does `op`, whose value is its return value.
    pub fn call(&mut self, op: &Op) -> Result<String, Unable> {
        let call = match op {
            Op::Creat { path, mode } => {
                format!("do_creat({}, {})", self.path(path)?, octal(*mode))
            }
            Op::Mkdir { path, mode } => {
                format!("sys(mkdir({}, {}))", self.path(path)?, octal(*mode))
            }
            Op::Mknod { path, kind, mode } => self.mknod(path, *kind, *mode)?,
            Op::Symlink { target, path } => format!(
                "sys(symlink({}, {}))",
                string(target.as_bytes()),
                self.path(path)?
            ),
            Op::Link { old, new } => {
                format!("sys(link({}, {}))", self.path(old)?, self.path(new)?)
            }
            Op::Unlink { path } => format!("sys(unlink({}))", self.path(path)?),
            Op::Rmdir { path } => format!("sys(rmdir({}))", self.path(path)?),
            Op::Rename { old, new, flags } => format!(
                "do_rename({}, {}, {})",
                self.path(old)?,
                self.path(new)?,
                rename_flags(*flags)
            ),
            Op::Stat { path } => format!("do_stat({})", self.path(path)?),
            Op::Lstat { path } => format!("do_lstat({})", self.path(path)?),
            Op::Chmod { path, mode } => {
                format!("sys(chmod({}, {}))", self.path(path)?, octal(*mode))
            }
            Op::Chown { path, uid, gid } => {
                format!(
                    "sys(lchown({}, {}, {}))",
                    self.path(path)?,
                    id(*uid),
                    id(*gid)
                )
            }
            Op::Utimens { path, atime, mtime } => format!(
                "do_utimens({}, {}, {}, {}, {})",
                self.path(path)?,
                signed(atime.0),
                nanoseconds(atime.1),
                signed(mtime.0),
                nanoseconds(mtime.1)
            ),
            Op::Truncate { path, size } => {
                format!("sys(truncate({}, {}))", self.path(path)?, unsigned(*size))
            }
            Op::Access { path, mask } => format!("do_access({}, {})", self.path(path)?, mask),
            Op::Readlink { path } => format!("do_readlink({})", self.path(path)?),
            Op::Readdir { path } => format!("do_readdir({})", self.path(path)?),
            Op::Write {
                path,
                off,
                len,
                seed,
            } => self.stored("do_write", path, *off, *len, *seed)?,
            Op::Read { path, off, len } => self.loaded("do_read", path, *off, *len)?,
            Op::MmapWrite {
                path,
                off,
                len,
                seed,
            } => self.stored("do_mwrite", path, *off, *len, *seed)?,
            Op::MmapRead { path, off, len } => self.loaded("do_mread", path, *off, *len)?,
            Op::Fsync { path } => format!("do_fsync({})", self.path(path)?),
            Op::Fdatasync { path } => format!("do_fdatasync({})", self.path(path)?),
            Op::Open {
                slot,
                path,
                flags,
                mode,
            } => format!(
                "do_open({}, {}, {}, {})",
                self.slot(*slot),
                self.path(path)?,
                open_flags(*flags),
                octal(*mode)
            ),
            Op::Close { slot } => format!("do_close({})", self.slot(*slot)),
            Op::Pwrite {
                slot,
                off,
                len,
                seed,
            } => format!(
                "do_pwrite({}, {}, {len}, {})",
                self.slot(*slot),
                unsigned(*off),
                unsigned(*seed)
            ),
            Op::Pread { slot, off, len } => {
                format!("do_pread({}, {}, {len})", self.slot(*slot), unsigned(*off))
            }
            Op::Ftruncate { slot, size } => format!(
                "sys(ftruncate(slots[{}], {}))",
                self.slot(*slot),
                unsigned(*size)
            ),
            Op::Fstat { slot } => format!("do_fstat({})", self.slot(*slot)),
            Op::Fsyncfd { slot } => format!("sys(fsync(slots[{}]))", self.slot(*slot)),
            Op::Lseek { slot, off, whence } => format!(
                "sys(lseek(slots[{}], {}, {}))",
                self.slot(*slot),
                signed(*off),
                whence_name(*whence)
            ),
            Op::Sync => "do_sync()".to_owned(),
            Op::DropCaches => "do_drop_caches()".to_owned(),
            Op::Wait { ms } => format!("do_wait({ms})"),
            Op::MountTmpfs { path } => format!("do_mounttmpfs({})", self.path(path)?),
            Op::Umount { path } => format!("do_umount({})", self.path(path)?),
            Op::Creds { uid, gid } => format!("do_creds({}, {})", id(Some(*uid)), id(Some(*gid))),
            Op::Umask { mask } => format!("sys(umask({}))", octal(*mask)),
            Op::File(op) => self.file(op)?,
            Op::Io(op) => self.io(op)?,
            Op::Lock(op) => self.lock(op),
            Op::Map(op) => self.map(op),
            Op::Mount(op) => self.mount(op)?,
            Op::Repeat { times, op } => {
                let operation = self.call(op)?;
                format!("repeat({times}, {})", self.function(&operation))
            }
            Op::EachAlloc { .. } => return Err(Unable::EachAlloc),
        };
        Ok(self.where_open(op, call))
    }

    /// `call`, unless nothing is open where a path of `op` begins.
    fn where_open(&self, op: &Op, call: String) -> String {
        if matches!(op, Op::Repeat { .. }) {
            return call;
        }
        let mut paths = op.paths();
        // Each is opened before the next is looked at.
        if opens_two(op) {
            paths.truncate(1);
        }
        let mut slots: Vec<_> = paths
            .iter()
            .filter_map(|path| match path.base {
                Base::Slot(slot) => Some(slot),
                Base::Arm | Base::Lower | Base::Outside | Base::Root => None,
            })
            .collect();
        slots.dedup();
        slots.iter().fold(call, |call, slot| {
            format!("slots[{slot}] < 0 ? no_slot() : {call}")
        })
    }

    /// A function of its own for an operation; its name.
    fn function(&mut self, operation: &str) -> String {
        let name = format!("repeated_{}", self.functions.len() + 1);
        self.functions.push(format!(
            "static long long {name}(void)\n{{\n\treturn {operation};\n}}\n"
        ));
        name
    }

    /// An expression for a path.
    fn path(&mut self, path: &Path) -> Result<String, Unable> {
        let rel = string(path.rel.as_bytes());
        Ok(match path.base {
            // The setup is done before anything is mounted.
            Base::Arm if self.setup => format!("lower({rel})"),
            Base::Arm => format!("arm({rel})"),
            Base::Lower => format!("lower({rel})"),
            Base::Outside => format!("outside({rel})"),
            Base::Root => return Err(Unable::Root),
            Base::Slot(slot) => format!("in_slot({}, {rel})", self.slot(slot)),
        })
    }

    fn slot(&mut self, slot: u16) -> u16 {
        self.slots = self.slots.max(u32::from(slot) + 1);
        slot
    }

    fn stored(
        &mut self,
        name: &str,
        path: &Path,
        off: u64,
        len: u32,
        seed: u64,
    ) -> Result<String, Unable> {
        Ok(format!(
            "{name}({}, {}, {len}, {})",
            self.path(path)?,
            unsigned(off),
            unsigned(seed)
        ))
    }

    fn loaded(&mut self, name: &str, path: &Path, off: u64, len: u32) -> Result<String, Unable> {
        Ok(format!(
            "{name}({}, {}, {len})",
            self.path(path)?,
            unsigned(off)
        ))
    }

    fn mknod(&mut self, path: &Path, kind: NodeKind, mode: u32) -> Result<String, Unable> {
        let (kind, device) = match kind {
            NodeKind::Fifo => ("S_IFIFO", "0".to_owned()),
            NodeKind::Socket => ("S_IFSOCK", "0".to_owned()),
            NodeKind::Char(major, minor) => ("S_IFCHR", format!("makedev({major}, {minor})")),
            NodeKind::Block(major, minor) => ("S_IFBLK", format!("makedev({major}, {minor})")),
        };
        Ok(format!(
            "sys(mknod({}, {kind} | {}, {device}))",
            self.path(path)?,
            octal(mode)
        ))
    }
}

/// Whether a second file is opened after the first.
fn opens_two(op: &Op) -> bool {
    matches!(
        op,
        Op::File(
            FileOp::CopyRange { .. }
                | FileOp::CloneRange { .. }
                | FileOp::DedupeRange { .. }
                | FileOp::Splice { .. }
        )
    )
}

fn open_flags(bits: u32) -> String {
    flags(bits, &OPEN_FLAGS, "O_RDONLY")
}

fn nanoseconds(nsec: u32) -> String {
    let word = TIMES.iter().find(|(_, number)| *number == nsec);
    word.map_or_else(|| nsec.to_string(), |(word, _)| (*word).to_owned())
}

fn rename_flags(flags: RenameFlags) -> String {
    let mut words = Vec::new();
    for (set, word) in [
        (flags.noreplace, "RENAME_NOREPLACE"),
        (flags.exchange, "RENAME_EXCHANGE"),
        (flags.whiteout, "RENAME_WHITEOUT"),
    ] {
        if set {
            words.push(word);
        }
    }
    if words.is_empty() {
        "0".to_owned()
    } else {
        words.join(" | ")
    }
}

fn whence_name(whence: Whence) -> &'static str {
    match whence {
        Whence::Set => "SEEK_SET",
        Whence::Cur => "SEEK_CUR",
        Whence::End => "SEEK_END",
        Whence::Data => "SEEK_DATA",
        Whence::Hole => "SEEK_HOLE",
    }
}
