//! Outcomes as comparisons.

use std::collections::BTreeSet;
use std::fmt::Display;

use lookback_ops::outcome::{Entry, UNSUPPORTED};
use lookback_ops::{FileOp, Ioctl, Line, Op, Outcome, StatView, Value, Whence, attrs, errno};

use crate::error::Error;
use crate::literal::{signed, string};
use crate::when::{Stamp, When};

/// S_IFMT (inode(7))
const S_IFMT: u32 = 0o170_000;
/// S_IFDIR
const S_IFDIR: u32 = 0o040_000;
/// S_IFCHR
const S_IFCHR: u32 = 0o020_000;
/// S_IFBLK
const S_IFBLK: u32 = 0o060_000;
/// Name of the bench's own step of finding nothing in a slot: the kernel says
/// the same of the descriptor -1, in the only step there is.
const SLOT: &str = "slot";
/// Most characters of a line that are shown when it is run.
const SHOWN: usize = 120;

/// Knows what to compare.
#[derive(Debug)]
pub struct Expectations {
    /// Modification times the trace sets; the others are the clock's.
    times: BTreeSet<(i64, u32)>,
    own_affairs: bool,
}

impl Expectations {
    /// Those of a program that does `lines`.
    pub fn new<'a>(lines: impl Iterator<Item = &'a Line>, own_affairs: bool) -> Expectations {
        let time = |line: &Line| match line.op.innermost() {
            Op::Utimens { mtime, .. } => Some(*mtime),
            _ => None,
        };
        Expectations {
            times: lines.filter_map(time).collect(),
            own_affairs,
        }
    }

    /// A statement that does `call` as the line of this number, from 1, and
    /// compares what it gives.
    pub fn statement(
        &self,
        number: usize,
        line: &Line,
        expected: Option<&Outcome>,
        call: &str,
    ) -> Result<String, Error> {
        let (name, args) = self.comparison(line, expected)?;
        Ok(compared(name, number, &text(line, ""), &args, call))
    }

    /// A statement that compares a time in what the operation of `line`, just done, told;
    /// none if that of `expected` compares it, too.
    pub fn time(
        &self,
        number: usize,
        line: &Line,
        expected: Option<&Outcome>,
        (stamp, when): (Stamp, When),
    ) -> Option<String> {
        if let Some(Value::Stat(stat)) = expected.map(|outcome| &outcome.value)
            && self.times.contains(&stat.mtime)
            && (stamp, when) == (Stamp::Mtime, When::Set(stat.mtime.0, stat.mtime.1))
        {
            return None;
        }
        let (name, args) = when.comparison(stamp);
        let what = text(line, &format!(": {}", stamp.name()));
        Some(compared(name, number, &what, &args, "out.ret"))
    }

    /// The function that compares, and its arguments between the line's and
    /// the call.
    fn comparison(
        &self,
        line: &Line,
        expected: Option<&Outcome>,
    ) -> Result<(&'static str, Vec<String>), Error> {
        if let Some(errno) = line.expect
            && expected.is_none_or(|outcome| outcome.errno != errno)
        {
            return Ok(("expect_errno", vec![error(errno)]));
        }
        let Some(outcome) = expected.filter(|outcome| outcome.step != UNSUPPORTED) else {
            return Ok(("ran", Vec::new()));
        };
        let op = line.op.innermost();
        if outcome.errno != 0 {
            let errno = error(outcome.errno);
            return Ok(match outcome.step.as_str() {
                "" | SLOT => ("expect", vec![errno]),
                step => ("expect_at", vec![errno, string(step.as_bytes())]),
            });
        }
        if !self.own_affairs && is_own_affair(op) {
            return Ok(("expect_errno", vec!["0".into()]));
        }
        let ret = signed(outcome.ret);
        let text = |text: &str| ("expect_text", vec![string(text.as_bytes()), ret.clone()]);
        Ok(match &outcome.value {
            // The number open(2) gives a file is the process's affair.
            Value::None if matches!(op, Op::Open { .. }) => ("expect", vec!["0".into()]),
            Value::None => ("expect", vec![ret]),
            Value::Stat(stat) => ("expect_stat", vec![self.stat(stat)]),
            Value::Data { len, digest } => {
                if i64::try_from(*len) != Ok(outcome.ret) {
                    return Err(Error::Outcome {
                        line: line.to_string(),
                        len: *len,
                        ret: outcome.ret,
                    });
                }
                ("expect_data", vec![ret, digest_of(*digest)])
            }
            Value::Link(target) => text(target),
            Value::Entries(entries) => text(&listing(entries)),
            Value::Names(names) => text(&lines(names)),
            Value::Text(told) => match op {
                Op::File(FileOp::Lsattr { .. }) => {
                    let bits = attrs::bits(told).unwrap_or(0);
                    ("expect_flags", vec![format!("{bits:#x}")])
                }
                _ => text(told),
            },
        })
    }

    /// Names and values as `tell_stat` writes them.
    fn stat(&self, stat: &StatView) -> String {
        let mut words = vec![
            mode(stat.mode),
            format!("uid {}", stat.uid),
            format!("gid {}", stat.gid),
        ];
        if self.own_affairs || stat.mode & S_IFMT != S_IFDIR {
            words.push(format!("nlink {}", stat.nlink));
            words.push(format!("size {}", stat.size));
        }
        if stat.mode & S_IFMT == S_IFCHR || stat.mode & S_IFMT == S_IFBLK || stat.rdev != (0, 0) {
            words.push(rdev(stat.rdev));
        }
        if self.own_affairs {
            words.push(format!("blksize {}", stat.blksize));
        }
        if self.times.contains(&stat.mtime) {
            words.push(time("mtime", stat.mtime));
        }
        string(words.join(" ").as_bytes())
    }
}

/// st_mode's name and value.
pub fn mode(mode: u32) -> String {
    format!("mode {mode:07o}")
}

/// st_rdev's.
pub fn rdev((major, minor): (u32, u32)) -> String {
    format!("rdev {major}:{minor}")
}

/// A time's, by its name.
pub fn time(name: &str, (sec, nsec): (i64, u32)) -> String {
    format!("{name} {sec}.{nsec:09}")
}

/// An XXH3-64.
pub fn digest_of(digest: u64) -> String {
    format!("{digest:#018x}ULL")
}

/// What a system call that fails with it returns; 0 for none.
pub fn error(errno: i32) -> String {
    match errno {
        0 => "0".to_owned(),
        errno => format!("-{}", errno::name(errno)),
    }
}

/// A statement of the setup: `call` must give what `line` says.
pub fn required(line: &Line, call: &str) -> String {
    let errno = error(line.expect.unwrap_or(0));
    laid_out(
        &format!("must({}", text(line, "")),
        &errno,
        call,
        "must".len(),
    )
}

/// The line as the program shows it, and what of it is meant.
fn text(line: &Line, what: &str) -> String {
    let whole = line.to_string();
    let mut shown: String = whole.chars().take(SHOWN).collect();
    if shown.len() < whole.len() {
        shown.push_str("...");
    }
    shown.push_str(what);
    string(shown.as_bytes())
}

/// A statement that calls `name` with what `call` gives; `text` is a literal.
pub fn compared(name: &str, number: usize, text: &str, args: &[String], call: &str) -> String {
    let first = format!("{name}({number}, {text}");
    laid_out(&first, &args.join(", "), call, name.len())
}

/// A statement on one line; or the `rest` of its arguments and the `call` on
/// lines of their own, aligned behind a name of `name` characters.
fn laid_out(first: &str, rest: &str, call: &str, name: usize) -> String {
    /// Columns of a line after its tab.
    const WIDTH: usize = 92;
    let args: Vec<&str> = [first, rest, call]
        .into_iter()
        .filter(|arg| !arg.is_empty())
        .collect();
    let one = args.join(", ");
    if one.len() + 2 <= WIDTH {
        return format!("{one});");
    }
    let pad = format!(
        ",\n\t{}{}",
        "\t".repeat((name + 1) / 8),
        " ".repeat((name + 1) % 8)
    );
    // The rest goes with the first where there is room.
    let head = format!("{first}, {rest}");
    match rest.is_empty() || head.len() < WIDTH {
        true if rest.is_empty() => format!("{first}{pad}{call});"),
        true => format!("{head}{pad}{call});"),
        false => format!("{});", args.join(&pad)),
    }
}

/// What another file system may well do in its own way.
fn is_own_affair(op: &Op) -> bool {
    match op {
        Op::Lseek { whence, .. } => matches!(whence, Whence::Data | Whence::Hole),
        Op::File(op) => match op {
            FileOp::Statfs { .. } | FileOp::Lsattr { .. } => true,
            FileOp::Ioctl { what, .. } => matches!(
                what,
                Ioctl::FsGetXattr | Ioctl::GetFsLabel | Ioctl::GetBlockSize | Ioctl::Fiemap
            ),
            _ => false,
        },
        _ => false,
    }
}

/// Each on a line.
pub fn lines<T: Display>(lines: &[T]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// As `do_readdir` writes it, in the order of the names.
fn listing(entries: &[Entry]) -> String {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort();
    let line = |entry: &&Entry| {
        let agrees = if entry.ino_agrees {
            ""
        } else {
            " d_ino is not st_ino"
        };
        format!("{} {}{agrees}", entry.name, entry_type(entry.d_type))
    };
    lines(&entries.iter().map(line).collect::<Vec<_>>())
}

/// The word of a DT_* (readdir(3)).
pub fn entry_type(d_type: u8) -> &'static str {
    match d_type {
        libc::DT_FIFO => "fifo",
        libc::DT_CHR => "chr",
        libc::DT_DIR => "dir",
        libc::DT_BLK => "blk",
        libc::DT_REG => "reg",
        libc::DT_LNK => "lnk",
        libc::DT_SOCK => "sock",
        _ => "unknown",
    }
}
