//! Words as an operation of `op::IoOp`.

use super::super::args::{Args, Fault, Word};
use super::super::words::{READS, WRITES};
use super::values::{SLOT, fits, range, required, stored};
use crate::op::{IoOp, Means};

/// The operation `word` names, if it is one of these.
pub(super) fn op(word: &Word, args: &mut Args) -> Result<Option<IoOp>, Fault> {
    if let Some(by) = means(&READS, word) {
        return read(by, args).map(Some);
    }
    if let Some(by) = means(&WRITES, word) {
        return write(by, args).map(Some);
    }
    Ok(Some(match word.bare.as_str() {
        "fdread" => {
            let slot = args.number(SLOT)?;
            let [len] = args.named(["len"])?;
            IoOp::FdRead {
                slot,
                len: required(args, len)?,
            }
        }
        "fdwrite" => {
            let slot = args.number(SLOT)?;
            let [len, seed] = args.named(["len", "seed"])?;
            IoOp::FdWrite {
                slot,
                len: required(args, len)?,
                seed: fits(seed, Some(0))?,
            }
        }
        _ => return Ok(None),
    }))
}

fn means(words: &[(&str, Means)], word: &Word) -> Option<Means> {
    let found = words.iter().find(|(name, _)| *name == word.bare);
    found.map(|(_, means)| *means)
}

fn read(by: Means, args: &mut Args) -> Result<IoOp, Fault> {
    let path = args.path()?;
    let (by, (off, len)) = match by {
        Means::Vector { parts } => {
            let [off, len, given] = args.named(["off", "len", "parts"])?;
            let parts = fits(given, Some(parts))?;
            let range = (fits(off, Some(0))?, required(args, len)?);
            (Means::Vector { parts }, range)
        }
        by => (by, range(args)?),
    };
    Ok(IoOp::Read { by, path, off, len })
}

fn write(by: Means, args: &mut Args) -> Result<IoOp, Fault> {
    let path = args.path()?;
    let (by, (off, len, seed)) = match by {
        Means::Vector { parts } => {
            let [off, len, seed, given] = args.named(["off", "len", "seed", "parts"])?;
            let parts = fits(given, Some(parts))?;
            let (off, seed) = (fits(off, Some(0))?, fits(seed, Some(0))?);
            (Means::Vector { parts }, (off, required(args, len)?, seed))
        }
        by => (by, stored(args)?),
    };
    Ok(IoOp::Write {
        by,
        path,
        off,
        len,
        seed,
    })
}
