//! The words behind an operation's.

use super::super::args::{Args, Fault, Word, digits, number};
use super::super::words::{ACCESS_MODES, OPEN_FLAGS, TIMES};
use crate::op::{NodeKind, RenameFlags};

pub(super) const SLOT: &str = "a slot number, 0 to 65535";
pub(super) const SIZE: &str = "a size in bytes";

pub(super) fn kind(args: &mut Args) -> Result<NodeKind, Fault> {
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

pub(super) fn rename_flags(args: &mut Args) -> Result<RenameFlags, Fault> {
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

pub(super) fn open_flags(args: &mut Args) -> Result<u32, Fault> {
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

/// `0x` and digits.
pub(super) fn hex(word: &str) -> Option<u32> {
    let hex = word.strip_prefix("0x")?;
    if hex.starts_with('+') {
        None
    } else {
        u32::from_str_radix(hex, 16).ok()
    }
}

pub(super) fn mask(args: &mut Args) -> Result<u32, Fault> {
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

pub(super) fn milliseconds(args: &mut Args) -> Result<u32, Fault> {
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

pub(super) fn decimal(text: &str) -> Option<u32> {
    digits(text)?.parse().ok()
}

pub(super) fn optional_id(text: &str) -> Option<Option<u32>> {
    if text == "-" {
        Some(None)
    } else {
        decimal(text).map(Some)
    }
}

pub(super) fn pair<T>(
    args: &mut Args,
    expected: &str,
    one: fn(&str) -> Option<T>,
) -> Result<(T, T), Fault> {
    let word = args.bare(expected)?;
    let found = word
        .bare
        .split_once(':')
        .and_then(|(a, b)| Some((one(a)?, one(b)?)));
    found.ok_or_else(|| word.fault(expected))
}

pub(super) fn time(args: &mut Args, name: &str) -> Result<(i64, u32), Fault> {
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
pub(super) fn range(args: &mut Args) -> Result<(u64, u32), Fault> {
    let [off, len] = args.named(["off", "len"])?;
    Ok((fits(off, Some(0))?, required(args, len)?))
}

/// `off=`, `len=`, `seed=`.
pub(super) fn stored(args: &mut Args) -> Result<(u64, u32, u64), Fault> {
    let [off, len, seed] = args.named(["off", "len", "seed"])?;
    Ok((
        fits(off, Some(0))?,
        required(args, len)?,
        fits(seed, Some(0))?,
    ))
}

pub(super) fn required<T: TryFrom<i128>>(
    args: &Args,
    len: Option<(i128, Word)>,
) -> Result<T, Fault> {
    if len.is_none() {
        Err(args.missing("len=BYTES"))
    } else {
        fits(len, None)
    }
}

pub(super) fn fits<T: TryFrom<i128>>(
    value: Option<(i128, Word)>,
    default: Option<T>,
) -> Result<T, Fault> {
    match (value, default) {
        (Some((n, word)), _) => T::try_from(n)
            .map_err(|_| word.fault(format!("a number of at most {} bits", size_of::<T>() * 8))),
        (None, Some(default)) => Ok(default),
        (None, None) => Err((1, "a number".into(), "none".into())),
    }
}

/// What is left, as names of `bits` joined by `|`, or `0xBITS`; no word, no bits.
pub(super) fn joined(args: &mut Args, bits: &[(&str, u32)], expected: &str) -> Result<u32, Fault> {
    if args.is_empty() {
        return Ok(0);
    }
    let word = args.bare(expected)?;
    let bit = |name| {
        let known = bits.iter().find(|(n, _)| *n == name);
        known.map(|(_, bit)| *bit).or_else(|| hex(name))
    };
    word.bare
        .split('|')
        .try_fold(0, |all, name| Some(all | bit(name)?))
        .ok_or_else(|| word.fault(expected))
}
