//! `FileOp` as calls.

use lookback_ops::{FileOp, Ioctl, Path, XattrFlag, attrs};

use super::Calls;
use crate::error::Unable;
use crate::literal::{flags, string, unsigned};

/// fallocate(2)'s modes.
const FALLOCATE_MODES: [(&str, u32); 6] = [
    ("FALLOC_FL_KEEP_SIZE", 0x01),
    ("FALLOC_FL_PUNCH_HOLE", 0x02),
    ("FALLOC_FL_COLLAPSE_RANGE", 0x08),
    ("FALLOC_FL_ZERO_RANGE", 0x10),
    ("FALLOC_FL_INSERT_RANGE", 0x20),
    ("FALLOC_FL_UNSHARE_RANGE", 0x40),
];

impl Calls {
    pub(super) fn file(&mut self, op: &FileOp) -> Result<String, Unable> {
        Ok(match op {
            FileOp::SetXattr {
                path,
                name,
                value,
                flag,
            } => {
                let flag = match flag {
                    XattrFlag::Any => "0",
                    XattrFlag::Create => "XATTR_CREATE",
                    XattrFlag::Replace => "XATTR_REPLACE",
                };
                format!(
                    "sys(lsetxattr({}, {}, {}, {}, {flag}))",
                    self.path(path)?,
                    string(name.as_bytes()),
                    string(value),
                    value.len()
                )
            }
            FileOp::GetXattr { path, name } => format!(
                "do_getxattr({}, {})",
                self.path(path)?,
                string(name.as_bytes())
            ),
            FileOp::ListXattr { path } => format!("do_listxattr({})", self.path(path)?),
            FileOp::RemoveXattr { path, name } => format!(
                "sys(lremovexattr({}, {}))",
                self.path(path)?,
                string(name.as_bytes())
            ),
            FileOp::Fallocate {
                path,
                off,
                len,
                mode,
            } => format!(
                "do_fallocate({}, {}, {}, {})",
                self.path(path)?,
                unsigned(*off),
                unsigned(*len),
                flags(*mode, &FALLOCATE_MODES, "0")
            ),
            FileOp::CopyRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => self.ranges("do_copyrange", (from, *from_off), (to, *to_off), *len)?,
            FileOp::CloneRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => self.ranges("do_clonerange", (from, *from_off), (to, *to_off), *len)?,
            FileOp::DedupeRange {
                from,
                to,
                from_off,
                to_off,
                len,
            } => self.ranges("do_deduperange", (from, *from_off), (to, *to_off), *len)?,
            FileOp::Splice { from, to, off, len } => format!(
                "do_splice({}, {}, {}, {})",
                self.path(from)?,
                self.path(to)?,
                unsigned(*off),
                unsigned(*len)
            ),
            FileOp::Chattr { path, flags } => format!(
                "do_chattr({}, {:#x}, {flags:#x})",
                self.path(path)?,
                attrs::settable()
            ),
            FileOp::Lsattr { path } => format!("do_lsattr({})", self.path(path)?),
            FileOp::Ioctl { path, what } => {
                let path = self.path(path)?;
                match what {
                    Ioctl::GetVersion => format!("do_getversion({path})"),
                    Ioctl::FsGetXattr => format!("do_fsgetxattr({path})"),
                    Ioctl::GetFsLabel => format!("do_getfslabel({path})"),
                    Ioctl::GetBlockSize => format!("do_figetbsz({path})"),
                    Ioctl::Fiemap => format!("do_fiemap({path})"),
                    Ioctl::Fitrim => format!("do_fitrim({path})"),
                    Ioctl::Unknown => format!("do_unknown_ioctl({path})"),
                    Ioctl::Number(number) => format!("do_ioctl({path}, {number:#x})"),
                }
            }
            FileOp::Statfs { path } => format!("do_statfs({})", self.path(path)?),
            FileOp::LinkFd { slot, path } => {
                let path = self.path(path)?;
                let slot = self.slot(*slot);
                format!("slots[{slot}] < 0 ? no_slot() : do_linkfd({slot}, {path})")
            }
            FileOp::FdPath { slot } => {
                let slot = self.slot(*slot);
                format!("slots[{slot}] < 0 ? no_slot() : do_fdpath({slot})")
            }
            FileOp::Handle { slot, path } => {
                format!("do_handle({}, {})", self.handle(*slot), self.path(path)?)
            }
            FileOp::OpenHandle { handle, slot } => format!(
                "do_openhandle({}, {})",
                self.handle(*handle),
                self.slot(*slot)
            ),
            FileOp::Watch { slot, path } => {
                format!("do_watch({}, {})", self.slot(*slot), self.path(path)?)
            }
            FileOp::Cached { path } => format!("do_cached({})", self.path(path)?),
            FileOp::Exec { path } => format!("do_exec({})", self.path(path)?),
        })
    }

    fn ranges(
        &mut self,
        name: &str,
        (from, from_off): (&Path, u64),
        (to, to_off): (&Path, u64),
        len: u64,
    ) -> Result<String, Unable> {
        Ok(format!(
            "{name}({}, {}, {}, {}, {})",
            self.path(from)?,
            self.path(to)?,
            unsigned(from_off),
            unsigned(to_off),
            unsigned(len)
        ))
    }

    fn handle(&mut self, number: u16) -> u16 {
        self.handles = self.handles.max(u32::from(number) + 1);
        number
    }
}
