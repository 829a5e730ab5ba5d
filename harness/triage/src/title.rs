//! One line that names a bug, the same for every occurrence of it.

use crate::finding::Kind;
use crate::frames;

/// What a title is made from.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) kind: Kind,
    /// The line that gave the report its kind.
    pub(crate) header: &'a str,
    /// All lines.
    pub(crate) lines: &'a [String],
    /// The function the report is about.
    pub(crate) function: Option<&'a str>,
}

/// The title of a report.
pub(crate) fn title(parts: &Parts<'_>) -> String {
    let Parts {
        kind,
        header,
        function,
        ..
    } = *parts;
    let about = |what: &str| match function {
        Some(function) => format!("{what} in {function}"),
        None => what.to_owned(),
    };
    match kind {
        Kind::Kasan | Kind::Kfence | Kind::Kcsan => sanitizer(parts),
        Kind::Oops => about(&fault(header)),
        Kind::Bug => match header.strip_prefix("kernel BUG at ") {
            Some(place) => about(&format!("kernel BUG at {}", file(place))),
            None => about(&normalise(header.trim_end_matches('!'))),
        },
        Kind::Warning => about(&format!("WARNING at {}", file(place_of_warning(header)))),
        Kind::Ubsan => about(&match header.split_once(" in ") {
            Some((what, place)) => format!("{what} at {}", file(place)),
            None => normalise(header),
        }),
        Kind::Lockdep => lockdep(parts),
        Kind::HungTask => about("INFO: task hung"),
        Kind::SoftLockup if header.contains("workqueue") => "BUG: workqueue lockup".to_owned(),
        Kind::SoftLockup => about("BUG: soft lockup"),
        Kind::HardLockup => about("hard LOCKUP"),
        Kind::RcuStall => about("INFO: rcu stall"),
        Kind::Panic => normalise(header.trim_end_matches(" ]---")),
        Kind::BusyInodes => about(&format!(
            "VFS: Busy inodes after unmount of {}",
            unmounted(header)
        )),
        Kind::DentryInUse => format!("BUG: Dentry still in use, unmount of {}", unmounted(header)),
        Kind::KernelLeak => leak(header),
        Kind::Slab => about(&format!("BUG {}", slab(header))),
        Kind::RefcountBug => about(&normalise(header.trim_end_matches('.'))),
        Kind::ListCorruption => {
            let what = header.split(['.', ':', ',']).next().unwrap_or(header);
            about(&normalise(what))
        }
        Kind::AtomicSleep => {
            let what = header.split(" at ").next().unwrap_or(header);
            let what = what.split(": ").take(2).collect::<Vec<_>>().join(": ");
            about(&normalise(&what))
        }
        Kind::FsError => filesystem(header),
    }
}

/// `KASAN: slab-use-after-free Read in fuse_lookup`.
fn sanitizer(parts: &Parts<'_>) -> String {
    let text = parts.header.trim_start_matches("BUG: ");
    let (what, place) = text.split_once(" in ").unwrap_or((text, ""));
    let access = parts.lines.iter().find_map(|line| {
        [("Read", "Read of size "), ("Write", "Write of size ")]
            .iter()
            .find(|(_, beginning)| line.starts_with(beginning))
            .map(|(word, _)| format!(" {word}"))
    });
    let named = frames::frame(place).filter(|name| !frames::is_machinery(name));
    let mut title = format!("{}{}", normalise(what), access.unwrap_or_default());
    if let Some(function) = named.or(parts.function) {
        title.push_str(" in ");
        title.push_str(function);
    }
    title
}

fn fault(header: &str) -> String {
    let text = header.trim_start_matches("Oops: ");
    if text.starts_with("BUG: kernel NULL pointer") {
        return "BUG: kernel NULL pointer dereference".to_owned();
    }
    if text.starts_with("BUG: unable to handle") {
        let what = text.split([',', ':']).nth(1).unwrap_or_default();
        let what = what.split(" for address").next().unwrap_or_default();
        return format!("BUG:{what}");
    }
    let what = text.split([',', ':']).next().unwrap_or(text);
    let code = what.split(' ').next().unwrap_or(what);
    if code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return "Oops".to_owned();
    }
    normalise(what)
}

/// `possible circular locking dependency in ext4_rename`: the function that
/// asked for the lock, where the report tells.
fn lockdep(parts: &Parts<'_>) -> String {
    let what = ["WARNING: ", "INFO: ", "BUG: ", "[ BUG: "]
        .iter()
        .find_map(|beginning| parts.header.strip_prefix(beginning))
        .unwrap_or(parts.header)
        .trim_end_matches(['.', '!', ']', ' '])
        .trim_end_matches(" detected");
    let asked = parts
        .lines
        .iter()
        .find_map(|line| frames::named_after(line, " at: "));
    match asked
        .filter(|name| !frames::is_machinery(name))
        .or(parts.function)
    {
        Some(function) => format!("{} in {function}", normalise(what)),
        None => normalise(what),
    }
}

fn leak(header: &str) -> String {
    if header.starts_with("kmemleak: ") {
        return "kmemleak: suspected memory leaks".to_owned();
    }
    match header
        .strip_prefix("BUG ")
        .and_then(|rest| rest.split_once(' '))
    {
        Some((cache, _)) => format!("Objects remaining in {cache}"),
        None => normalise(header),
    }
}

/// `kmalloc-64: Poison overwritten` of `BUG kmalloc-64 (Not tainted): Poison overwritten`.
fn slab(header: &str) -> String {
    let rest = header.trim_start_matches("BUG ");
    let cache = rest.split(' ').next().unwrap_or(rest);
    let what = rest.rsplit_once("): ").map_or("", |(_, what)| what);
    format!("{cache}: {what}")
}

/// The function in `EXT4-fs error (device vda): ext4_lookup:1787: inode ...`.
fn filesystem(header: &str) -> String {
    let Some((what, rest)) = header.split_once(" (device ") else {
        return header
            .split(" on device")
            .next()
            .unwrap_or(header)
            .to_owned();
    };
    let function = rest.split_once("): ").map(|(_, rest)| rest);
    match function.and_then(|rest| rest.split([':', ' ']).next()) {
        Some(function) if !function.is_empty() => format!("{what} in {function}"),
        _ => what.to_owned(),
    }
}

/// The file system's type of `... unmount of vda (ext4)` or `[unmount of ext4 vda]`.
fn unmounted(header: &str) -> &str {
    let rest = header
        .rsplit_once("unmount of ")
        .map_or("", |(_, rest)| rest);
    match rest.split_once('(') {
        Some((_, of)) => of.split(')').next().unwrap_or(of),
        None => rest.split([' ', '.', ']']).next().unwrap_or(rest),
    }
}

/// `fs/dcache.c` of `fs/dcache.c:1536 umount_check+...`.
fn file(place: &str) -> &str {
    place.split([':', '!', ' ']).next().unwrap_or(place)
}

/// What follows `at` in `WARNING: CPU: 0 PID: 1 at fs/x.c:1 f+0x1/0x2`, or
/// precedes it in `WARNING: fs/x.c:1 at f+0x1/0x2`.
fn place_of_warning(header: &str) -> &str {
    let (before, after) = header.split_once(" at ").unwrap_or(("", header));
    match before.strip_prefix("WARNING: ") {
        Some(place) if !place.starts_with("CPU: ") => place,
        _ => after,
    }
}

/// Puts `N` for every number and address, keeping numbers within names.
fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            out.push_str(number_or_name(&word));
            word.clear();
            out.push(c);
        }
    }
    out.push_str(number_or_name(&word));
    out.trim().to_owned()
}

fn number_or_name(word: &str) -> &str {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if digits || word.strip_prefix("0x").is_some_and(hex) || (word.len() >= 8 && hex(word)) {
        "N"
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "Attempted to kill init! exitcode=0x00000300",
        "Attempted to kill init! exitcode=N"
    )]
    #[case("at ffff888012345678 pid 12", "at N pid N")]
    #[case("do_sys_openat2 x86_64", "do_sys_openat2 x86_64")]
    fn numbers_go(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(normalise(text), expected);
    }

    #[rstest]
    #[case(
        Kind::Oops,
        "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
        "general protection fault in f"
    )]
    #[case(
        Kind::Oops,
        "general protection fault: 0000 [#1] SMP",
        "general protection fault in f"
    )]
    #[case(Kind::Oops, "Oops: Oops: 0002 [#1] SMP", "Oops in f")]
    #[case(Kind::Oops, "Oops: divide error: 0000 [#1] SMP", "divide error in f")]
    #[case(
        Kind::Oops,
        "BUG: unable to handle page fault for address: ffffc90000",
        "BUG: unable to handle page fault in f"
    )]
    #[case(
        Kind::Warning,
        "WARNING: fs/x.c:12 at g+0x1/0x2, CPU#0: agent/1",
        "WARNING at fs/x.c in f"
    )]
    #[case(
        Kind::BusyInodes,
        "VFS: Busy inodes after unmount of vda. Self-destruct in 5 seconds.",
        "VFS: Busy inodes after unmount of vda in f"
    )]
    #[case(
        Kind::Slab,
        "BUG kmalloc-64 (Not tainted): Poison overwritten",
        "BUG kmalloc-64: Poison overwritten in f"
    )]
    #[case(
        Kind::KernelLeak,
        "BUG dentry (Not tainted): Objects remaining in dentry on x",
        "Objects remaining in dentry"
    )]
    #[case(
        Kind::AtomicSleep,
        "BUG: scheduling while atomic: agent/12/0x00000002",
        "BUG: scheduling while atomic in f"
    )]
    fn titles(#[case] kind: Kind, #[case] header: &str, #[case] expected: &str) {
        let parts = Parts {
            kind,
            header,
            lines: &[],
            function: Some("f"),
        };
        assert_eq!(title(&parts), expected);
    }
}
