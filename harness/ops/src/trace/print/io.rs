//! `op::IoOp` as text.

use std::fmt::{self, Display, Formatter};

use super::super::words::{READS, WRITES};
use crate::op::{IoOp, Means};

impl Display for IoOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            IoOp::Read { by, path, off, len } => {
                let word = word(&READS, *by);
                write!(f, "{word} {path} off={off} len={len}{}", Parts(*by))
            }
            IoOp::Write {
                by,
                path,
                off,
                len,
                seed,
            } => {
                let (word, parts) = (word(&WRITES, *by), Parts(*by));
                write!(f, "{word} {path} off={off} len={len} seed={seed}{parts}")
            }
            IoOp::FdRead { slot, len } => write!(f, "fdread {slot} len={len}"),
            IoOp::FdWrite { slot, len, seed } => write!(f, "fdwrite {slot} len={len} seed={seed}"),
        }
    }
}

/// The word for moving bytes by some means, however many parts it takes.
fn word(words: &[(&'static str, Means)], by: Means) -> &'static str {
    let same = |means: &Means| std::mem::discriminant(means) == std::mem::discriminant(&by);
    let found = words.iter().find(|(_, means)| same(means));
    found.map_or("", |(word, _)| word)
}

/// The number of parts, where there is one.
struct Parts(Means);

impl Display for Parts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Means::Vector { parts } => write!(f, " parts={parts}"),
            Means::Direct | Means::Aio | Means::Uring => Ok(()),
        }
    }
}
