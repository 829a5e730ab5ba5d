//! `IoOp` as calls.

use lookback_ops::{IoOp, Means};

use super::Calls;
use crate::error::Unable;
use crate::literal::unsigned;

impl Calls {
    pub(super) fn io(&mut self, op: &IoOp) -> Result<String, Unable> {
        Ok(match op {
            IoOp::Read { by, path, off, len } => {
                let path = self.path(path)?;
                let (name, more) = match by {
                    Means::Vector { parts } => ("do_readv", format!(", {parts}")),
                    Means::Direct => ("do_dread", String::new()),
                    Means::Aio => ("do_aread", String::new()),
                    Means::Uring => ("do_uringread", String::new()),
                };
                format!("{name}({path}, {}, {len}{more})", unsigned(*off))
            }
            IoOp::Write {
                by,
                path,
                off,
                len,
                seed,
            } => {
                let path = self.path(path)?;
                let (name, more) = match by {
                    Means::Vector { parts } => ("do_writev", format!(", {parts}")),
                    Means::Direct => ("do_dwrite", String::new()),
                    Means::Aio => ("do_awrite", String::new()),
                    Means::Uring => ("do_uringwrite", String::new()),
                };
                let (off, seed) = (unsigned(*off), unsigned(*seed));
                format!("{name}({path}, {off}, {len}, {seed}{more})")
            }
            IoOp::FdRead { slot, len } => format!("do_fdread({}, {len})", self.slot(*slot)),
            IoOp::FdWrite { slot, len, seed } => {
                format!(
                    "do_fdwrite({}, {len}, {})",
                    self.slot(*slot),
                    unsigned(*seed)
                )
            }
        })
    }
}
