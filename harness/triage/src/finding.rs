//! One thing the kernel complained about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Frames that take part in a signature: enough to tell two callers of one
/// helper apart, few enough to survive a change further out.
const SIGNATURE_FRAMES: usize = 3;

/// What the kernel complained about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// BUG() or a `BUG:` line of no closer kind.
    Bug,
    /// A fault in the kernel: page fault, general protection fault, bad opcode.
    Oops,
    /// A report of the address sanitizer (KASAN).
    Kasan,
    /// A report of the sampling allocator (KFENCE).
    Kfence,
    /// A data race (KCSAN).
    Kcsan,
    /// Undefined behaviour (UBSAN).
    Ubsan,
    /// WARN().
    Warning,
    /// A report of the lock validator or of RCU's.
    Lockdep,
    /// A task blocked for too long.
    HungTask,
    /// A CPU that did not schedule for too long.
    SoftLockup,
    /// A CPU that took no interrupt for too long.
    HardLockup,
    /// A CPU or task that held up RCU.
    RcuStall,
    /// A panic that nothing else explains.
    Panic,
    /// "Busy inodes after unmount".
    BusyInodes,
    /// A dentry still in use at unmount.
    DentryInUse,
    /// Objects left in a destroyed slab cache, or kmemleak's verdict.
    KernelLeak,
    /// A slab object overwritten (SLUB debugging).
    Slab,
    /// A reference count that saturated or underflowed.
    RefcountBug,
    /// A linked list with wrong pointers (DEBUG_LIST).
    ListCorruption,
    /// Sleeping or scheduling where that is forbidden.
    AtomicSleep,
    /// ext4 found its own image damaged.
    FsError,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Bug => "bug",
            Kind::Oops => "oops",
            Kind::Kasan => "kasan",
            Kind::Kfence => "kfence",
            Kind::Kcsan => "kcsan",
            Kind::Ubsan => "ubsan",
            Kind::Warning => "warning",
            Kind::Lockdep => "lockdep",
            Kind::HungTask => "hung-task",
            Kind::SoftLockup => "soft-lockup",
            Kind::HardLockup => "hard-lockup",
            Kind::RcuStall => "rcu-stall",
            Kind::Panic => "panic",
            Kind::BusyInodes => "busy-inodes",
            Kind::DentryInUse => "dentry-in-use",
            Kind::KernelLeak => "kernel-leak",
            Kind::Slab => "slab",
            Kind::RefcountBug => "refcount-bug",
            Kind::ListCorruption => "list-corruption",
            Kind::AtomicSleep => "atomic-sleep",
            Kind::FsError => "fs-error",
        })
    }
}

/// One thing the kernel complained about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// One line for people: no address, pid or line number in it, so that one
    /// bug has one title.
    pub title: String,
    /// The report as printed, from its header to its end, less the time stamps;
    /// cut short where it is very long.
    pub text: String,
    /// Functions on the stack, innermost first, without offsets, without what
    /// the unwinder was unsure of (`?`), without the reporting machinery.
    pub frames: Vec<String>,
    /// Headers of later reports that this one explains, such as the panic after
    /// an oops.
    pub also: Vec<String>,
    /// Equal for two occurrences of one bug, in one run or two.
    pub signature: String,
}

impl Finding {
    pub(crate) fn new(
        kind: Kind,
        title: String,
        text: String,
        frames: Vec<String>,
        also: Vec<String>,
    ) -> Self {
        let top = &frames[..frames.len().min(SIGNATURE_FRAMES)];
        let signature = std::iter::once(format!("{kind}: {title}"))
            .chain(top.iter().cloned())
            .collect::<Vec<_>>()
            .join(" < ");
        Finding {
            kind,
            title,
            text,
            frames,
            also,
            signature,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}
