//! Operations: one outcome against another.

use lookback_ops::{Op, Outcome, StatView, Value, errno, outcome::Entry};

use crate::{
    difference::Attribute,
    sink::{At, Sink},
    times::{self, Clocks},
};

/// Compares one operation's outcome with the reference's.
pub(crate) fn compare(
    sink: &mut Sink<'_>,
    at: At<'_>,
    op: &Op,
    clocks: Clocks<'_>,
    expected: &Outcome,
    actual: &Outcome,
) {
    // What follows from another errno is not worth a finding of its own.
    if expected.errno != actual.errno {
        sink.add(at, Attribute::Errno, with_step(expected), with_step(actual));
        return;
    }
    sink.compare(at, Attribute::Step, &expected.step, &actual.step, |step| {
        format!("`{step}`")
    });
    // The number open(2) gives a file is the agent's affair.
    if !matches!(op.innermost(), Op::Open { .. }) || expected.ret < 0 || actual.ret < 0 {
        sink.compare(
            at,
            Attribute::Ret,
            &expected.ret,
            &actual.ret,
            i64::to_string,
        );
    }
    match (&expected.value, &actual.value) {
        (Value::None, Value::None) => {}
        (Value::Stat(expected), Value::Stat(actual)) => {
            stat(sink, at.stats(expected, actual), clocks, expected, actual);
        }
        (
            Value::Data {
                len: expected_len,
                digest: expected,
            },
            Value::Data {
                len: actual_len,
                digest: actual,
            },
        ) => {
            if expected_len != actual_len {
                sink.add(
                    at,
                    Attribute::Length,
                    expected_len.to_string(),
                    actual_len.to_string(),
                );
            } else {
                sink.compare(at, Attribute::Content, expected, actual, digest);
            }
        }
        (Value::Link(expected), Value::Link(actual)) => {
            sink.compare(at, Attribute::Target, expected, actual, |target| {
                format!("`{target}`")
            });
        }
        (Value::Entries(expected), Value::Entries(actual)) => entries(sink, at, expected, actual),
        (Value::Names(expected), Value::Names(actual)) => names(sink, at, expected, actual),
        (Value::Text(expected), Value::Text(actual)) => {
            sink.compare(at, Attribute::Value, expected, actual, |text| {
                format!("`{text}`")
            });
        }
        (expected, actual) => {
            sink.add(
                at,
                Attribute::ValueKind,
                kind(expected).into(),
                kind(actual).into(),
            );
        }
    }
}

/// Compares what lstat said about one thing.
pub(crate) fn stat(
    sink: &mut Sink<'_>,
    at: At<'_>,
    clocks: Clocks<'_>,
    expected: &StatView,
    actual: &StatView,
) {
    let (a, b) = (expected, actual);
    sink.compare(at, Attribute::Type, &(a.mode >> 12), &(b.mode >> 12), |t| {
        type_name(*t)
    });
    sink.compare(
        at,
        Attribute::Mode,
        &(a.mode & 0o7777),
        &(b.mode & 0o7777),
        |m| format!("{m:04o}"),
    );
    sink.compare(at, Attribute::Uid, &a.uid, &b.uid, u32::to_string);
    sink.compare(at, Attribute::Gid, &a.gid, &b.gid, u32::to_string);
    sink.compare(at, Attribute::Nlink, &a.nlink, &b.nlink, u64::to_string);
    sink.compare(at, Attribute::Size, &a.size, &b.size, u64::to_string);
    sink.compare(at, Attribute::Rdev, &a.rdev, &b.rdev, |(major, minor)| {
        format!("{major}:{minor}")
    });
    sink.compare(
        at,
        Attribute::Blksize,
        &a.blksize,
        &b.blksize,
        u64::to_string,
    );
    let times = [
        (Attribute::Atime, a.atime, b.atime),
        (Attribute::Mtime, a.mtime, b.mtime),
        (Attribute::Ctime, a.ctime, b.ctime),
    ];
    for (attribute, a, b) in times {
        if clocks.disagree(attribute, a, b) {
            sink.add(at, attribute, times::show(a), times::show(b));
        }
    }
}

fn entries(sink: &mut Sink<'_>, at: At<'_>, expected: &[Entry], actual: &[Entry]) {
    for (a, b) in pair(expected, actual, |entry| &entry.name) {
        match (a, b) {
            (Some(a), Some(b)) => {
                let at = at.path(&a.name);
                sink.compare(at, Attribute::DType, &a.d_type, &b.d_type, |t| {
                    type_name(u32::from(*t))
                });
                sink.compare(
                    at,
                    Attribute::DIno,
                    &a.ino_agrees,
                    &b.ino_agrees,
                    |agrees| if *agrees { "st_ino" } else { "not st_ino" }.to_owned(),
                );
            }
            (Some(a), None) => {
                sink.add(
                    at.path(&a.name),
                    Attribute::Name,
                    "listed".into(),
                    "not listed".into(),
                );
            }
            (None, Some(b)) => {
                sink.add(
                    at.path(&b.name),
                    Attribute::Name,
                    "not listed".into(),
                    "listed".into(),
                );
            }
            (None, None) => {}
        }
    }
}

fn names(sink: &mut Sink<'_>, at: At<'_>, expected: &[String], actual: &[String]) {
    let listed = |name: Option<&String>| match name {
        Some(_) => "listed".to_owned(),
        None => "not listed".to_owned(),
    };
    for (a, b) in pair(expected, actual, |name| name) {
        if a.is_none() || b.is_none() {
            let name = a.or(b).map_or("", String::as_str);
            sink.add(at.path(name), Attribute::Name, listed(a), listed(b));
        }
    }
}

/// Pairs two lists by key, both sorted first; a name given twice in one list
/// stands alone the second time.
pub(crate) fn pair<'a, T>(
    expected: &'a [T],
    actual: &'a [T],
    key: impl Fn(&T) -> &str,
) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let sorted = |list: &'a [T]| {
        let mut list: Vec<&T> = list.iter().collect();
        list.sort_by(|a, b| key(a).cmp(key(b)));
        list
    };
    let (mut left, mut right) = (
        sorted(expected).into_iter().peekable(),
        sorted(actual).into_iter().peekable(),
    );
    let mut pairs = Vec::new();
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return pairs,
            (Some(a), Some(b)) if key(a) == key(b) => pairs.push((left.next(), right.next())),
            (Some(a), Some(b)) if key(a) > key(b) => pairs.push((None, right.next())),
            (Some(_), _) => pairs.push((left.next(), None)),
            (None, Some(_)) => pairs.push((None, right.next())),
        }
    }
}

/// errno's name, with the step in brackets where there are several.
fn with_step(outcome: &Outcome) -> String {
    let name = errno::name(outcome.errno);
    if outcome.step.is_empty() {
        name
    } else {
        format!("{name} ({})", outcome.step)
    }
}

pub(crate) fn digest(digest: &u64) -> String {
    format!("xxh3 {digest:016x}")
}

/// The name of a file type, as `st_mode >> 12` and d_type both spell it.
pub(crate) fn type_name(file_type: u32) -> String {
    match file_type {
        0 => "unknown",
        0o01 => "fifo",
        0o02 => "character device",
        0o04 => "directory",
        0o06 => "block device",
        0o10 => "regular file",
        0o12 => "symlink",
        0o14 => "socket",
        other => return format!("type {other:o}"),
    }
    .to_owned()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::None => "nothing",
        Value::Stat(_) => "stat data",
        Value::Data { .. } => "data read",
        Value::Link(_) => "a link's target",
        Value::Entries(_) => "directory entries",
        Value::Names(_) => "names",
        Value::Text(_) => "text",
    }
}
