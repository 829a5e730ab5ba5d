//! The host-guest control protocol: postcard messages, framed by
//! [`crate::frame`], over a virtio-serial port.
//!
//! The host sends [`ToGuest`], the guest answers [`FromGuest`]. One thing runs
//! at a time: `RunCase`, then any number of `Outcomes`, `Tree` and `Note`,
//! then `CaseDone`; or `Exec`, then any number of `Output`, then `Exited`. While
//! a program runs the host sends `Input`, `Signal` and `ShowTasks`.

use std::{fmt, str::FromStr};

use lookback_ops::{Base, Line, Outcome, tree::Snapshot};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exec::{ExecPlan, ExecStatus, Stream};
use crate::rules::{LookupRule, Rules};

/// Changes with every incompatible change of this file; the agent of another
/// build is refused by name.
pub const PROTOCOL: u32 = 7;

/// What the agent has the kernel log before it says [`FromGuest::Ready`]: who
/// has seen it on the console has seen all that was logged before.
pub const READY: &str = "ready";

/// The same, before [`FromGuest::CaseDone`].
#[must_use]
pub fn case_is_over(id: &str) -> String {
    format!("case {id} is over")
}

/// Name of the virtio-serial port (`/sys/class/virtio-ports/*/name`).
pub const PORT: &str = "lookback.control";
/// Serial number of the disk that holds the backing ext4.
pub const DISK_LOWER: &str = "lower";
/// Serial number of the disk that holds the reference ext4.
pub const DISK_EXT4: &str = "ext4";
/// virtiofs tag of the share whose LOOKUP replies carry backing entries.
pub const TAG_BACKED: &str = "backed";
/// virtiofs tag of the ordinary share.
pub const TAG_PLAIN: &str = "plain";
/// Name, in the root of the backed share, of the stacking root: the directory
/// whose LOOKUP reply carries the backing entry.
pub const STACK: &str = "stack";
/// Name, in the root of each share, of the unbacked directory `@outside/`.
pub const OUTSIDE: &str = "outside";
/// [`Registration::path`] of the mount's own root.
pub const OWN_ROOT: &str = "@root";

/// What CLOCK_REALTIME is set to, in seconds since 1970, before the first line
/// of a case whose clock is stepped ([`CasePlan::steps_clock`]); before line
/// `i` it is `i` times [`CLOCK_STEP`] more. It is 2001, so no time a guest takes
/// by its real clock is among them.
pub const CLOCK_BASE: i64 = 1_000_000_000;

/// Seconds from one line's time to the next one's: longer than any line, or walk
/// of a tree, takes on the slowest of guests, so that a time is one line's alone.
/// And a day is no whole number of them: that is when `relatime_need_update`
/// (fs/inode.c) changes its mind, and no two lines lie just a day apart.
pub const CLOCK_STEP: i64 = 1_000;

/// Seconds after which reading sets an access time that is later than mtime and
/// ctime, too (`relatime_need_update`, fs/inode.c).
pub const ATIME_DAY: i64 = 24 * 60 * 60;

/// One file system the same operations run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// virtiofs whose server answers LOOKUP with a backing entry.
    Backed,
    /// virtiofs, ordinary passthrough to the host.
    Plain,
    /// FUSE over /dev/fuse whose daemon, a process of the agent, answers
    /// LOOKUP with a backing entry.
    Devfuse,
    /// The reference.
    Ext4,
}

/// When a tree is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Caches as the operations left them.
    Warm,
    /// After drop_caches.
    Dropped,
    /// After every entry and attribute timeout has passed.
    Expired,
    /// After umount and mount of every arm.
    Remounted,
    /// The backing ext4 read directly, without FUSE, the arms unmounted.
    Lower,
    /// e2fsck on the host; the guest has no part in it.
    Fsck,
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arm::Backed => "backed",
            Arm::Plain => "plain",
            Arm::Devfuse => "devfuse",
            Arm::Ext4 => "ext4",
        })
    }
}

impl Arm {
    /// Its tree lies in a directory of the lower ext4.
    #[must_use]
    pub fn has_lower(self) -> bool {
        matches!(self, Arm::Backed | Arm::Devfuse)
    }
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Arm::Backed, Arm::Plain, Arm::Devfuse, Arm::Ext4]
            .into_iter()
            .find(|arm| arm.to_string() == text)
            .ok_or_else(|| format!("no arm is called {text:?}: backed, plain, devfuse or ext4"))
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Warm => "warm",
            Phase::Dropped => "dropped",
            Phase::Expired => "expired",
            Phase::Remounted => "remounted",
            Phase::Lower => "lower",
            Phase::Fsck => "fsck",
        })
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [
            Phase::Warm,
            Phase::Dropped,
            Phase::Expired,
            Phase::Remounted,
            Phase::Lower,
            Phase::Fsck,
        ];
        all.into_iter()
            .find(|phase| phase.to_string() == text)
            .ok_or_else(|| {
                let names = all.map(|phase| phase.to_string()).join(", ");
                format!("no phase is called {text:?}: {names}")
            })
    }
}

/// How the workers of a trace run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workers {
    /// One line at a time, in the trace's order, whichever worker it belongs
    /// to: the same list gives the same result on every arm.
    #[default]
    InTurn,
    /// All at the same time, each in a tree of its own: what one does gives the
    /// same however they interleave.
    Apart,
    /// All at the same time on the same names: what an operation gives is
    /// chance, and invariants are what is judged.
    Free,
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Workers::InTurn => "in-turn",
            Workers::Apart => "apart",
            Workers::Free => "free",
        })
    }
}

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Workers::InTurn, Workers::Apart, Workers::Free]
            .into_iter()
            .find(|workers| workers.to_string() == text)
            .ok_or_else(|| format!("workers run in-turn, apart or free, not {text:?}"))
    }
}

/// A path of the case's lower directory that gets a backing id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The id.
    pub id: u64,
    /// Relative to the case's lower directory; empty for the directory itself,
    /// [`OWN_ROOT`] for the root of the mount under test.
    pub path: String,
}

/// What `devfuse`'s daemon was asked and answered while one mount lasted.
/// nodeids are this mount's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Served {
    /// INIT came and offered FUSE_BACKING_LOOKUP.
    pub negotiated: bool,
    /// Requests: opcode, nodeid, how many.
    pub requests: Vec<(u32, u64, u64)>,
    /// Those among them with nodeid 0, or for an inode whose last LOOKUP reply
    /// had a BACKING entry; but neither FORGETs nor what works on no inode.
    pub bypassed: Vec<(u32, u64, u64)>,
    /// nodeids that were answered with a BACKING entry; 0 for every inode that
    /// is the kernel's own.
    pub backed: Vec<u64>,
    /// LOOKUPs in the root, per name (bytes that are not UTF-8 are replaced).
    pub root_lookups: Vec<(String, u64)>,
    /// References handed out, per nodeid.
    pub lookups: Vec<(u64, u64)>,
    /// References given back, per nodeid.
    pub forgets: Vec<(u64, u64)>,
    /// What became of the replies to LOOKUP.
    pub replies: Vec<Reply>,
    /// What the daemon could not make sense of or could not do, a sentence each.
    pub failures: Vec<String>,
}

/// Replies to LOOKUP that went the same way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reply {
    /// The path in the share.
    pub path: String,
    /// The errno write(2) gave the daemon; 0 if it took the reply.
    pub wrote: i32,
    /// The errno the rule expected of it.
    pub expected: i32,
    /// How many.
    pub count: u64,
}

/// One case, as the guest needs to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CasePlan {
    /// Unique in the run; also the name of the case's directory on every arm,
    /// so one path component.
    pub id: String,
    /// The arms it runs on.
    pub arms: Vec<Arm>,
    /// Run on the case's directory of each arm before anything is mounted on
    /// it (for `backed`: on the lower ext4). Worker 0 only.
    pub setup: Vec<Line>,
    /// What gets a backing id before the trace starts.
    pub register: Vec<Registration>,
    /// `backed` and `devfuse` are mounted with `root_dir=` the case's lower
    /// directory: the root of the mount is the stacking root, and no LOOKUP is
    /// ever needed.
    pub root_dir: bool,
    /// `devfuse` is mounted with `no_daemon`, and without any. Only with `root_dir`.
    pub no_daemon: bool,
    /// The daemon of `devfuse` got its /dev/fuse from somebody without CAP_SYS_ADMIN.
    pub unprivileged: bool,
    /// What `devfuse`'s daemon answers. The server of `backed` is the host's.
    pub rules: Rules,
    /// Before a share is unmounted its caches are dropped, so that what it
    /// hands back can be compared with what it was given.
    pub balanced: bool,
    /// The operations.
    pub trace: Vec<Line>,
    /// How the trace's workers run.
    pub workers: Workers,
    /// Trees are compared after every so many of the trace's lines, too; 0 for
    /// never. Only where workers run in turn.
    pub every: u32,
    /// Remove the case's directories from both ext4 file systems at its end,
    /// and see that the space they took returns. Those of the shares are the
    /// host's to remove.
    pub clear: bool,
    /// Milliseconds until no entry or attribute is trusted any more, on no arm:
    /// what lies before [`Phase::Expired`].
    pub expiry_ms: u64,
    /// The phases in which the trees are compared (`Fsck` is ignored by the guest).
    pub phases: Vec<Phase>,
}

impl CasePlan {
    /// The trace names a path in the arm itself, so that whatever stands for
    /// its root is met at least once.
    #[must_use]
    pub fn runs_in_arm(&self) -> bool {
        names_the_arm(&self.trace)
    }

    /// The case has anything to do with the arm's own directory.
    #[must_use]
    pub fn uses_arm(&self) -> bool {
        self.runs_in_arm() || names_the_arm(&self.setup)
    }

    /// Every arm's clock is set to a time of its own before each line, so that
    /// a timestamp tells which line set it, and is the same on every arm
    /// ([`CLOCK_BASE`]). Where workers run at the same time there is no line
    /// whose time it could be.
    #[must_use]
    pub fn steps_clock(&self) -> bool {
        self.workers == Workers::InTurn
    }

    /// What CLOCK_REALTIME is set to before line `index` of the setup, where the
    /// clock is stepped: the last line is a step before [`CLOCK_BASE`]. The
    /// case's directory is made a step before the first.
    #[must_use]
    pub fn setup_second(&self, index: usize) -> i64 {
        CLOCK_BASE - steps(self.setup.len().saturating_sub(index))
    }

    /// What CLOCK_REALTIME is set to before each walk of a tree in `phase`,
    /// where the clock is stepped: a step for each phase, after the trace's.
    #[must_use]
    pub fn phase_second(&self, phase: Phase) -> i64 {
        CLOCK_BASE + steps(self.trace.len()) + i64::from(phase as u8) * CLOCK_STEP
    }

    /// A LOOKUP of the stacking root must have been answered with a BACKING
    /// entry by the end: the trace runs below it, and the rules have one.
    #[must_use]
    pub fn must_be_backed(&self) -> bool {
        let mut rules = self.rules.lookup.iter();
        self.runs_in_arm()
            && self.rules.negotiate
            && rules.any(|rule| rule.path == STACK && rule.names_backing())
    }

    /// Whether a rule speaks of `name` in the share's root, or of what is
    /// below it.
    #[must_use]
    pub fn has_rule_in(&self, name: &str) -> bool {
        let first = |rule: &LookupRule| rule.path.split('/').next() == Some(name);
        self.rules.lookup.iter().any(first)
    }

    /// No rule keeps the arm's own directory from being found.
    #[must_use]
    pub fn root_is_sure(&self) -> bool {
        let harmless = |rule: &LookupRule| {
            let odd = rule.len.is_some() || rule.used.is_some() || rule.mode.is_some();
            rule.backing.is_some() && !odd
        };
        let mut rules = self.rules.lookup.iter().filter(|rule| rule.path == STACK);
        rules.all(harmless)
    }
}

/// Seconds that so many lines take by a stepped clock.
fn steps(lines: usize) -> i64 {
    i64::try_from(lines)
        .unwrap_or(i64::MAX)
        .saturating_mul(CLOCK_STEP)
        .min(i64::MAX / 2)
}

fn names_the_arm(lines: &[Line]) -> bool {
    let mut paths = lines.iter().flat_map(|line| line.op.paths());
    paths.any(|path| path.base == Base::Arm)
}

/// Host to guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest {
    /// First message.
    Hello {
        /// [`PROTOCOL`]
        protocol: u32,
    },
    /// Run one case on all its arms.
    RunCase(Box<CasePlan>),
    /// Run a program.
    Exec(Box<ExecPlan>),
    /// Tell what the kernel has logged so far.
    KernelLog,
    /// The time since 1970, for a guest that goes on from a snapshot.
    SetClock(Duration),
    /// Sync, unmount everything, reset the machine.
    PowerOff,
    /// For the standard input of the program, at most
    /// [`OUTPUT_MAX`](crate::exec::OUTPUT_MAX) bytes; none are its end. The next
    /// comes after `Taken`. Too late, it is dropped.
    Input(Vec<u8>),
    /// Send this signal, by its number, to the program's process group. Too
    /// late, it is dropped.
    Signal(i32),
    /// Show on the console what every process waits for, and say `Shown`.
    ShowTasks,
}

/// Guest to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromGuest {
    /// Answer to `Hello`.
    Ready {
        /// [`PROTOCOL`]
        protocol: u32,
        /// uname -r
        release: String,
        /// Milliseconds since the kernel started.
        uptime_ms: u64,
        /// Mounting the backed share and registering a backing id works.
        extension: bool,
        /// If not, why, in a sentence.
        extension_error: Option<String>,
    },
    /// A stretch of one worker's outcomes, in the order of its lines.
    Outcomes {
        /// The arm.
        arm: Arm,
        /// `true` for the setup trace.
        setup: bool,
        /// The worker.
        worker: u16,
        /// Index of the first among this worker's lines.
        first: u32,
        /// The outcomes.
        outcomes: Vec<Outcome>,
    },
    /// A tree. One too large for a message comes in several, with the same arm,
    /// phase and checkpoint: their nodes, appended, are the tree.
    Tree {
        /// The arm.
        arm: Arm,
        /// The phase.
        phase: Phase,
        /// Walked between two lines of the trace, all that is open kept open:
        /// after so many lines ([`CasePlan::every`]). Only in `Warm`.
        after: Option<u32>,
        /// What it looked like.
        snapshot: Snapshot,
    },
    /// What the daemon of `devfuse` did, once its mount is gone. One for each
    /// time it was mounted, unless with `no_daemon`.
    Served(Box<Served>),
    /// Something went wrong that is the guest kernel's doing, not an
    /// operation's: an arm that can't be mounted or unmounted.
    Trouble {
        /// The arm, if it concerns one.
        arm: Option<Arm>,
        /// What, with the errno's name.
        what: String,
        /// A file system was still busy after everything on it was closed.
        leak: bool,
    },
    /// What an ext4 had free before a case's setup, it does not have now that
    /// the case's directories are gone ([`CasePlan::clear`]).
    Lost {
        /// Serial number of its disk.
        disk: String,
        /// Blocks less; negative if there are more.
        blocks: i64,
        /// Inodes less; negative if there are more.
        inodes: i64,
    },
    /// The agent itself failed and can't go on with this case. `CaseDone`
    /// still follows, unless it was the end of the agent (its panic message
    /// then; the kernel panics next).
    Broken(String),
    /// The case is over and everything is unmounted, or was reported not to
    /// be by a `Trouble`. Every `RunCase` is answered by one.
    CaseDone {
        /// Its id.
        id: String,
        /// Microseconds each arm's trace took.
        micros: Vec<(Arm, u64)>,
    },
    /// What a program printed: the bytes of each stream whole and in order.
    Output {
        /// Where to.
        stream: Stream,
        /// What, at most [`OUTPUT_MAX`](crate::exec::OUTPUT_MAX) bytes.
        bytes: Vec<u8>,
    },
    /// The program has ended and so have all it started. Every `Exec` is
    /// answered by one.
    Exited(ExecStatus),
    /// Answer to `KernelLog`: the text, or why there is none.
    Log(Result<String, String>),
    /// Answer to `PowerOff`; the machine resets next.
    Bye,
    /// The program has taken the last `Input`, or will take no more.
    Taken,
    /// Answer to `ShowTasks`.
    Shown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Mount, MountKind};
    use crate::frame;

    // A type that reads as one of several in TOML needs another way over the
    // wire, where nothing says what comes next.
    #[test]
    fn a_plan_s_rules_reach_the_guest() {
        let rule: LookupRule = LookupRule {
            path: STACK.into(),
            backing: Some(1),
            nodeid: Some(0),
            entry_timeout_ms: Some(5),
            ..LookupRule::default()
        };
        let plan = CasePlan {
            id: "a.b".into(),
            arms: vec![Arm::Devfuse],
            rules: Rules::from(vec![rule]),
            workers: Workers::Apart,
            ..CasePlan::default()
        };
        let sent = ToGuest::RunCase(Box::new(plan));
        let bytes = frame::encode(&sent).unwrap();
        let came: Option<ToGuest> = frame::read_frame(&mut bytes.as_slice()).unwrap();
        assert_eq!(came, Some(sent));
    }
    #[test]
    fn a_program_reaches_the_guest_byte_for_byte() {
        let plan = ExecPlan {
            argv: vec![b"sh".to_vec(), b"\xff\n ".to_vec()],
            env: vec![(b"A".to_vec(), b"=\xfe".to_vec())],
            cwd: b"/".to_vec(),
            root: Some("host".into()),
            mounts: vec![Mount {
                at: b"/tmp".to_vec(),
                what: MountKind::Tmpfs,
            }],
            input: true,
            arm: Some(Box::default()),
        };
        let sent = ToGuest::Exec(Box::new(plan));
        let bytes = frame::encode(&sent).unwrap();
        let came: Option<ToGuest> = frame::read_frame(&mut bytes.as_slice()).unwrap();
        assert_eq!(came, Some(sent));
    }
}
