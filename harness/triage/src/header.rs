//! Tells the first line of a report from every other line.

use crate::finding::Kind;

/// What ends a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Its only line.
    Line,
    /// `---[ end trace`.
    EndTrace,
    /// A line of `=`.
    Rule,
    /// `</TASK>`, the end of the stack.
    Stack,
    /// The last of a list of held locks.
    Locks,
    /// The end of the console, or `---[ end Kernel panic`.
    Panic,
}

/// The first line of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) ends: Ends,
}

/// Line that opens WARN() and BUG(), before what they have to say.
pub(crate) const CUT_HERE: &str = "------------[ cut here ]------------";

/// Beginnings of lines, the first that fits counts.
const BEGINNINGS: &[(&str, Kind, Ends)] = &[
    ("BUG: KASAN: ", Kind::Kasan, Ends::Rule),
    ("BUG: KFENCE: ", Kind::Kfence, Ends::Rule),
    ("BUG: KCSAN: ", Kind::Kcsan, Ends::Rule),
    ("BUG: KMSAN: ", Kind::Kasan, Ends::Rule),
    ("BUG: Dentry ", Kind::DentryInUse, Ends::EndTrace),
    (
        "BUG: kernel NULL pointer dereference",
        Kind::Oops,
        Ends::EndTrace,
    ),
    ("BUG: unable to handle ", Kind::Oops, Ends::EndTrace),
    ("BUG: TASK stack guard page", Kind::Oops, Ends::EndTrace),
    ("BUG: IRQ stack guard page", Kind::Oops, Ends::EndTrace),
    ("BUG: stack guard page", Kind::Oops, Ends::EndTrace),
    (
        "BUG: sleeping function called",
        Kind::AtomicSleep,
        Ends::Stack,
    ),
    (
        "BUG: scheduling while atomic",
        Kind::AtomicSleep,
        Ends::Stack,
    ),
    ("BUG: using ", Kind::AtomicSleep, Ends::Stack),
    ("BUG: soft lockup", Kind::SoftLockup, Ends::Stack),
    ("BUG: workqueue lockup", Kind::SoftLockup, Ends::Line),
    ("BUG: held lock freed", Kind::Lockdep, Ends::Stack),
    ("BUG: MAX_", Kind::Lockdep, Ends::Stack),
    ("BUG: memory leak", Kind::KernelLeak, Ends::Line),
    ("BUG: Bad rss-counter", Kind::Bug, Ends::Line),
    ("BUG: non-zero pgtables_bytes", Kind::Bug, Ends::Line),
    ("BUG: ", Kind::Bug, Ends::Stack),
    ("[ BUG: ", Kind::Lockdep, Ends::Stack),
    ("kernel BUG at ", Kind::Bug, Ends::EndTrace),
    ("Oops: ", Kind::Oops, Ends::EndTrace),
    ("Internal error: ", Kind::Oops, Ends::EndTrace),
    ("general protection fault", Kind::Oops, Ends::EndTrace),
    ("Unable to handle kernel ", Kind::Oops, Ends::EndTrace),
    ("WARNING: CPU: ", Kind::Warning, Ends::EndTrace),
    (
        "WARNING: lock held when returning to user space",
        Kind::Lockdep,
        Ends::Locks,
    ),
    (
        "WARNING: possible circular locking",
        Kind::Lockdep,
        Ends::Stack,
    ),
    (
        "WARNING: possible recursive locking",
        Kind::Lockdep,
        Ends::Stack,
    ),
    (
        "WARNING: possible irq lock inversion",
        Kind::Lockdep,
        Ends::Stack,
    ),
    (
        "WARNING: inconsistent lock state",
        Kind::Lockdep,
        Ends::Stack,
    ),
    ("WARNING: suspicious RCU usage", Kind::Lockdep, Ends::Stack),
    ("WARNING: bad unlock balance", Kind::Lockdep, Ends::Stack),
    (
        "INFO: trying to register non-static key",
        Kind::Lockdep,
        Ends::Stack,
    ),
    ("watchdog: BUG: soft lockup", Kind::SoftLockup, Ends::Stack),
    (
        "watchdog: Watchdog detected hard LOCKUP",
        Kind::HardLockup,
        Ends::Stack,
    ),
    (
        "NMI watchdog: Watchdog detected hard LOCKUP",
        Kind::HardLockup,
        Ends::Stack,
    ),
    ("Kernel panic - not syncing", Kind::Panic, Ends::Panic),
    ("PANIC: ", Kind::Panic, Ends::Panic),
    ("traps: PANIC: ", Kind::Panic, Ends::Panic),
    (
        "VFS: Busy inodes after unmount",
        Kind::BusyInodes,
        Ends::Line,
    ),
    ("VFS: Close: file count is ", Kind::Bug, Ends::Line),
    ("list_add corruption", Kind::ListCorruption, Ends::Line),
    ("list_add double add", Kind::ListCorruption, Ends::Line),
    ("list_del corruption", Kind::ListCorruption, Ends::Line),
    ("refcount_t: ", Kind::RefcountBug, Ends::Line),
    ("UBSAN: ", Kind::Ubsan, Ends::EndTrace),
    ("EXT4-fs error ", Kind::FsError, Ends::Line),
    ("EXT4-fs panic ", Kind::FsError, Ends::Line),
];

/// Decides whether `text` opens a report; `ruled` says that the line before it
/// was a rule of `=`, as lockdep and SLUB draw them above their headlines.
///
/// All patterns but one are anchored at the start of the message, so that a
/// command line with `oops=panic` in it, or a program quoting a log, is none.
pub(crate) fn classify(text: &str, ruled: bool) -> Option<Header> {
    let fixed = BEGINNINGS
        .iter()
        .find(|(beginning, ..)| text.starts_with(beginning));
    if let Some((_, kind, ends)) = fixed {
        return Some(Header {
            kind: *kind,
            ends: *ends,
        });
    }
    let header = |kind, ends| Some(Header { kind, ends });
    if ruled && text.starts_with("WARNING: ") {
        return header(Kind::Lockdep, Ends::Stack);
    }
    if text.starts_with("WARNING: ") && located(text) {
        return header(Kind::Warning, Ends::EndTrace);
    }
    if text.starts_with("BUG ") && (text.contains("Tainted: ") || text.contains("Not tainted")) {
        let leak = text.contains("Objects remaining");
        return header(
            if leak { Kind::KernelLeak } else { Kind::Slab },
            Ends::Stack,
        );
    }
    if text.starts_with("INFO: task ") && text.contains(" blocked ") {
        return header(Kind::HungTask, Ends::Stack);
    }
    let rcu = text.strip_prefix("rcu: ").unwrap_or(text);
    if rcu.starts_with("INFO: rcu") && rcu.contains("stall") {
        return header(Kind::RcuStall, Ends::Stack);
    }
    if text.starts_with("watchdog: CPU") && text.contains("hard LOCKUP") {
        return header(Kind::HardLockup, Ends::Stack);
    }
    if text.starts_with("kmemleak: ") && text.contains("new suspected memory leak") {
        return header(Kind::KernelLeak, Ends::Line);
    }
    // die() before 6.11: "divide error: 0000 [#1] SMP".
    if died(text) {
        return header(Kind::Oops, Ends::EndTrace);
    }
    None
}

/// `WARNING: fs/file.c:12 at function+0x...`, the form of 6.18.
fn located(text: &str) -> bool {
    let Some((place, _)) = text.trim_start_matches("WARNING: ").split_once(" at ") else {
        return false;
    };
    place.split_once(':').is_some_and(|(file, line)| {
        (file.ends_with(".c") || file.ends_with(".h"))
            && !file.contains(' ')
            && line.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// `divide error: 0000 [#1]`: words, a colon, four hexadecimal digits, a count.
fn died(text: &str) -> bool {
    let Some((before, after)) = text.split_once(" [#") else {
        return false;
    };
    let Some((what, code)) = before.rsplit_once(": ") else {
        return false;
    };
    after.starts_with(|c: char| c.is_ascii_digit())
        && code.len() == 4
        && code.bytes().all(|byte| byte.is_ascii_hexdigit())
        && what
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
}

/// A line of nothing but `=`.
pub(crate) fn is_rule(text: &str) -> bool {
    text.len() >= 20 && text.bytes().all(|byte| byte == b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("BUG: Bad page state in process agent  pfn:1234", false, Kind::Bug)]
    #[case("BUG: KMSAN: uninit-value in foo+0x1/0x2", true, Kind::Kasan)]
    #[case("Internal error: Oops: 96000004 [#1] PREEMPT SMP", false, Kind::Oops)]
    #[case("divide error: 0000 [#1] PREEMPT SMP", false, Kind::Oops)]
    #[case(
        "WARNING: fs/fuse/dir.c:12 at fuse_lookup+0x1/0x2, CPU#0: agent/1",
        false,
        Kind::Warning
    )]
    #[case("WARNING: Nested lock was not taken", true, Kind::Lockdep)]
    #[case("[ BUG: Invalid wait context ]", false, Kind::Lockdep)]
    #[case(
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {",
        false,
        Kind::RcuStall
    )]
    #[case("INFO: rcu_preempt self-detected stall on CPU", false, Kind::RcuStall)]
    #[case(
        "BUG dentry (Not tainted): Objects remaining in dentry on shutdown",
        true,
        Kind::KernelLeak
    )]
    #[case(
        "BUG kmalloc-64 (Tainted: G    W ): Poison overwritten",
        true,
        Kind::Slab
    )]
    #[case(
        "kmemleak: 3 new suspected memory leaks (see /sys/...)",
        false,
        Kind::KernelLeak
    )]
    #[case(
        "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1",
        false,
        Kind::HardLockup
    )]
    fn a_header(#[case] text: &str, #[case] ruled: bool, #[case] kind: Kind) {
        assert_eq!(classify(text, ruled).map(|header| header.kind), Some(kind));
    }

    #[rstest]
    #[case::cmdline("Kernel command line: console=ttyS0 reboot=t panic=-1 oops=panic")]
    #[case::warn_word("WARNING: The mand mount option has been deprecated and")]
    #[case::program("WARNING: cannot open /etc/fstab at boot: 2")]
    #[case::lockdep_off("INFO: lockdep is turned off.")]
    #[case::rcu("rcu: INFO: something harmless")]
    #[case::segfault("traps: agent[12] general protection fault ip:7f sp:7f error:0 in libc")]
    #[case::spectre("Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on")]
    #[case::ext4("EXT4-fs (vda): mounted filesystem r/w with ordered data mode")]
    #[case::ext4_warning("EXT4-fs warning (device vda): ext4_enable_quotas:7000: Failed")]
    #[case::firmware("[Firmware Bug]: TSC doesn't count with P0 frequency!")]
    #[case::journal_follows_an_error("Aborting journal on device vda-8.")]
    #[case::kmemleak("kmemleak: Kernel memory leak detector initialized")]
    #[case::quoted("agent: expected no BUG: Dentry still in use")]
    #[case::kasan("kasan: KernelAddressSanitizer initialized")]
    #[case::count("a list [#1] of things")]
    fn no_header(#[case] text: &str) {
        assert_eq!(classify(text, false), None);
    }
}
