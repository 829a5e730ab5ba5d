//! One case, from mounting its arms to unmounting them.

mod stage;
mod tracks;

use std::path::Path;
use std::time::Duration;

use lookback_wire::control::{Arm, CLOCK_STEP, CasePlan, FromGuest, Phase, case_is_over};
use nix::errno::Errno;
use thiserror::Error;

use crate::arms::{self, ArmError, Arms, CaseDisk};
use crate::backing::{self, BackingError};
use crate::board::Board;
use crate::clear;
use crate::clock::{self, RealTime};
use crate::console::{log, say};
use crate::devfuse::{Daemon, Mounted, Seen};
use crate::guest::{self, GuestError};
use crate::mounts::BACKED;
use crate::pieces;
use crate::port::{Port, PortError};
use crate::snapshot;
use crate::space::Space;
use crate::workers::{self, Event, Job, Ran, WorkersError};

pub use stage::{Stage, with_arm};

/// Requests that /dev/fuse may give a daemon before its FORGETs get their turn,
/// at most (`fuse_dev_do_read`: eight, then FORGETs again).
const FORGET_TURNS: usize = 10;

/// Why a case ended early.
#[derive(Debug, Error)]
enum CaseError {
    /// The host asked for what can't be.
    #[error("case `{0}`: the id is not a single path component")]
    BadId(String),
    /// An arm can't be set up: the kernel's doing.
    #[error("{1}")]
    Arm(Arm, ArmError),
    /// The backing id can't be set up.
    #[error(transparent)]
    Backing(#[from] BackingError),
    /// The case's directory, or the caches.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The case's directory is there already.
    #[error("{0} is there already: the id was used before on this image")]
    Used(String),
    /// What is to be registered is not there.
    #[error("nothing can be registered: {0} is not there")]
    Missing(String),
    /// It can't be told what is free.
    #[error("free space: {0}")]
    Space(std::io::Error),
    /// The clock can't be read, set or set right again.
    #[error("the clock: {0}")]
    Clock(Errno),
    /// The trace could not be run.
    #[error("{0}: {1}")]
    Workers(Arm, WorkersError),
    /// The host is gone.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Run `plan`, reporting to `port`.
///
/// # Errors
/// [`PortError`]: the host can't be told any more.
pub fn run(plan: &CasePlan, board: &'static Board, port: &mut Port) -> Result<(), PortError> {
    board.set_busy(true);
    let mut case = Case::new(plan, board, port);
    match case.play() {
        Ok(()) => {}
        Err(CaseError::Port(e)) => return Err(e),
        Err(CaseError::Arm(arm, e)) => case.trouble(Some(arm), e.to_string(), e.is_leak())?,
        Err(e) => {
            say(format!("case {}: {e}", plan.id));
            case.port.send(&FromGuest::Broken(e.to_string()))?;
        }
    }
    // Before: unmounting ext4 writes the time down, and e2fsck minds one that is
    // yet to come.
    case.restore_clock()?;
    case.unmount()?;
    if plan.clear {
        case.clear()?;
    }
    let done = FromGuest::CaseDone {
        id: plan.id.clone(),
        micros: case.micros,
    };
    board.set_busy(false);
    log(&case_is_over(&plan.id));
    port.send(&done)
}

struct Case<'a> {
    plan: &'a CasePlan,
    arms: Arms,
    /// That of `devfuse`, while it is mounted.
    daemon: Option<Daemon>,
    /// What its daemons so far have seen.
    seen: Seen,
    board: &'static Board,
    port: &'a mut Port,
    micros: Vec<(Arm, u64)>,
    /// What each disk had free before there was anything of the case on it.
    before: Vec<Space>,
    /// The real time, where the clock is stepped.
    clock: Option<RealTime>,
}

impl<'a> Case<'a> {
    fn new(plan: &'a CasePlan, board: &'static Board, port: &'a mut Port) -> Self {
        Case {
            plan,
            arms: Arms::of(plan),
            daemon: None,
            seen: Seen::new(),
            board,
            port,
            micros: Vec::new(),
            before: Vec::new(),
            clock: None,
        }
    }

    fn play(&mut self) -> Result<(), CaseError> {
        let plan = self.plan;
        if plan.steps_clock() {
            self.clock = Some(RealTime::now().map_err(CaseError::Clock)?);
        }
        self.prepare()?;
        let bases = |arm| self.arms.bases(arm);
        let tracks = tracks::trace(plan, self.arms.list(), bases);
        let ran = self.run(tracks, false)?;
        self.micros = ran.iter().map(|ran| (ran.arm, ran.micros)).collect();
        self.snapshots()
    }

    /// All that comes before the trace.
    fn prepare(&mut self) -> Result<(), CaseError> {
        let plan = self.plan;
        let id = &plan.id;
        if id.contains('/') || matches!(id.as_str(), "" | "." | "..") {
            return Err(CaseError::BadId(id.clone()));
        }
        say(format!("case {id}"));
        self.mount()?;
        if self.plan.clear {
            self.before = self.spaces()?;
        }
        let arms = self.arms.list().to_vec();
        for &arm in &arms {
            self.set_clock(plan.setup_second(0) - CLOCK_STEP)?;
            self.make_case_dir(arm)?;
            let made = self.arms.make_outside(arm);
            made.map_err(|e| CaseError::Arm(arm, e))?;
            let second = self.clock.map(|_| plan.setup_second(0));
            let setup = tracks::setup(plan, arm, self.arms.setup_bases(arm), second);
            self.run(vec![vec![setup]], true)?;
        }
        self.register(false)
    }

    fn make_case_dir(&self, arm: Arm) -> Result<(), CaseError> {
        let dir = self.arms.case_dir(arm);
        if Path::new(&dir).exists() {
            return Err(CaseError::Used(dir));
        }
        Ok(guest::make_dir(&dir)?)
    }

    fn mount(&self) -> Result<(), CaseError> {
        self.mount_lower()?;
        for &arm in self.arms.list() {
            self.arms.mount(arm).map_err(|e| CaseError::Arm(arm, e))?;
        }
        Ok(())
    }

    fn mount_lower(&self) -> Result<(), CaseError> {
        match self.arms.with_lower().first() {
            Some(&arm) => self.arms.mount_lower().map_err(|e| CaseError::Arm(arm, e)),
            None => Ok(()),
        }
    }

    fn unmount(&mut self) -> Result<(), PortError> {
        if self.plan.balanced
            && let Err(e) = self.give_back()
        {
            self.port.send(&FromGuest::Broken(e.to_string()))?;
        }
        for arm in self.arms.list().to_vec() {
            for error in self.arms.unmount(arm) {
                self.trouble(Some(arm), error.to_string(), error.is_leak())?;
            }
            self.board.beat();
        }
        self.end_daemon()?;
        let with_lower = self.arms.with_lower();
        // Of two arms, either may hold what they share.
        let arm = match with_lower.as_slice() {
            [] => return Ok(()),
            [arm] => Some(*arm),
            _ => None,
        };
        for error in self.arms.unmount_lower() {
            self.trouble(arm, error.to_string(), error.is_leak())?;
        }
        Ok(())
    }

    fn restore_clock(&mut self) -> Result<(), PortError> {
        if let Some(clock) = self.clock.take()
            && let Err(errno) = clock.restore()
        {
            let why = CaseError::Clock(errno).to_string();
            self.port.send(&FromGuest::Broken(why))?;
        }
        Ok(())
    }

    fn spaces(&self) -> Result<Vec<Space>, CaseError> {
        let disks = self.arms.disks();
        let mut spaces = disks.iter().map(|disk| Space::of(disk.point));
        spaces.try_fold(Vec::new(), |mut all, space| {
            all.push(space.map_err(CaseError::Space)?);
            Ok(all)
        })
    }

    /// Remove the case's directories, all arms being unmounted, and see whether
    /// the space they took is back.
    fn clear(&mut self) -> Result<(), PortError> {
        let before = std::mem::take(&mut self.before);
        for (disk, before) in self.arms.disks().into_iter().zip(before) {
            if let Err(e) = disk.mount() {
                self.trouble(None, e.to_string(), e.is_leak())?;
                continue;
            }
            match empty(&disk, self.board) {
                Ok(now) => {
                    let (blocks, inodes) = now.lost_since(before);
                    if (blocks, inodes) != (0, 0) {
                        let disk = disk.serial.to_owned();
                        self.port.send(&FromGuest::Lost {
                            disk,
                            blocks,
                            inodes,
                        })?;
                    }
                }
                Err(e) => self.trouble(None, e.to_string(), false)?,
            }
            if let Err(e) = disk.unmount() {
                self.trouble(None, e.to_string(), e.is_leak())?;
            }
        }
        Ok(())
    }

    /// Have the kernel forget what it knows of the shares, and the servers
    /// hear of it: inodes that umount evicts are forgotten without a word, and
    /// what a daemon has not read by then is lost.
    fn give_back(&self) -> Result<(), GuestError> {
        guest::drop_caches()?;
        for arm in self.arms.with_lower() {
            for _ in 0..FORGET_TURNS {
                // Only that it was answered counts, with whatever.
                let _ = nix::sys::statvfs::statvfs(arms::mount_point(arm));
            }
        }
        Ok(())
    }

    fn end_daemon(&mut self) -> Result<(), PortError> {
        let Some(daemon) = self.daemon.take() else {
            return Ok(());
        };
        match daemon.finish() {
            Ok((served, seen)) => {
                self.seen = seen;
                self.port.send(&FromGuest::Served(Box::new(served)))
            }
            Err(e) => self.trouble(Some(Arm::Devfuse), e.to_string(), false),
        }
    }

    fn trouble(&mut self, arm: Option<Arm>, what: String, leak: bool) -> Result<(), PortError> {
        let whose = arm.map_or_else(String::new, |arm| format!("{arm}: "));
        say(format!("case {}: {whose}{what}", self.plan.id));
        self.port.send(&FromGuest::Trouble { arm, what, leak })
    }

    /// Make the arms that are backed so: hand out the backing ids and walk to
    /// the stacking root once. The second time (`again`) the trace may have
    /// removed what an id stood for.
    fn register(&mut self, again: bool) -> Result<(), CaseError> {
        if self.arms.has(Arm::Backed) {
            self.register_backed(again)?;
        }
        if self.arms.has(Arm::Devfuse) {
            self.mount_devfuse(again)?;
        }
        Ok(())
    }

    fn mount_devfuse(&mut self, again: bool) -> Result<(), CaseError> {
        let failed = |e| CaseError::Arm(Arm::Devfuse, e);
        let mounted = self.arms.mount_devfuse(self.plan, &self.seen);
        let Mounted { daemon, missing } = mounted.map_err(failed)?;
        self.daemon = daemon;
        for path in missing {
            if !again {
                return Err(CaseError::Missing(path));
            }
            say(format!(
                "case {}: {path} is not there any more",
                self.plan.id
            ));
        }
        self.resolve_stack(Arm::Devfuse)
    }

    fn resolve_stack(&mut self, arm: Arm) -> Result<(), CaseError> {
        // Rules count LOOKUPs, so none is made that the case has no use for.
        if self.plan.root_dir || !self.plan.uses_arm() {
            return Ok(());
        }
        let stack = self.arms.root(arm);
        if let Err(errno) = nix::sys::stat::stat(stack.as_str())
            && self.plan.root_is_sure()
        {
            self.trouble(
                Some(arm),
                format!("the stacking root {stack} does not resolve: {errno}"),
                false,
            )?;
        }
        Ok(())
    }

    fn register_backed(&mut self, again: bool) -> Result<(), CaseError> {
        if self.plan.root_dir {
            return self
                .arms
                .mount_root()
                .map_err(|e| CaseError::Arm(Arm::Backed, e));
        }
        let lower = self.arms.case_dir(Arm::Backed);
        let root = backing::open_root(BACKED)?;
        // Without the extension there is no table to put them in.
        let registrations = if self.plan.rules.negotiate {
            self.plan.register.as_slice()
        } else {
            &[]
        };
        for registration in registrations {
            let path = if registration.path.is_empty() {
                lower.clone()
            } else {
                format!("{lower}/{}", registration.path)
            };
            match backing::register(&root, registration.id, &path) {
                Err(e) if again && e.is_missing() => say(format!("case {}: {e}", self.plan.id)),
                other => other?,
            }
        }
        drop(root);
        self.resolve_stack(Arm::Backed)
    }

    /// Run the trace, or the setup, of each of these tracks.
    fn run(&mut self, tracks: Vec<Vec<Job<'_>>>, setup: bool) -> Result<Vec<Ran>, CaseError> {
        let port = &mut *self.port;
        let mut sink = |arm, event| {
            port.send(&match event {
                Event::Outcomes {
                    worker,
                    first,
                    outcomes,
                } => FromGuest::Outcomes {
                    arm,
                    setup,
                    worker,
                    first,
                    outcomes,
                },
                Event::Tree { after, piece } => FromGuest::Tree {
                    arm,
                    phase: Phase::Warm,
                    after: Some(after),
                    snapshot: piece,
                },
            })
        };
        let all = workers::run(tracks, self.board, &mut sink).map_err(|(arm, e)| match e {
            WorkersError::Port(e) => CaseError::Port(e),
            e => CaseError::Workers(arm, e),
        })?;
        for ran in &all {
            for death in &ran.killed {
                self.trouble(Some(ran.arm), death.clone(), false)?;
            }
        }
        Ok(all)
    }

    /// Set the clock, where it is stepped.
    fn set_clock(&self, second: i64) -> Result<(), CaseError> {
        match self.clock {
            Some(_) => clock::set(second).map_err(CaseError::Clock),
            None => Ok(()),
        }
    }

    fn snapshots(&mut self) -> Result<(), CaseError> {
        let wanted = |phase| self.plan.phases.contains(&phase);
        if wanted(Phase::Warm) {
            self.send_trees(Phase::Warm)?;
        }
        if wanted(Phase::Dropped) {
            guest::drop_caches()?;
            self.send_trees(Phase::Dropped)?;
        }
        if wanted(Phase::Expired) {
            // Time itself is what is waited for.
            self.board.pause(Duration::from_millis(self.plan.expiry_ms));
            self.send_trees(Phase::Expired)?;
        }
        if wanted(Phase::Remounted) {
            self.unmount()?;
            self.mount()?;
            self.register(true)?;
            self.send_trees(Phase::Remounted)?;
        }
        // The other arms have nothing below them that was not seen already.
        let with_lower = self.arms.with_lower();
        if wanted(Phase::Lower) && !with_lower.is_empty() {
            self.unmount()?;
            self.mount_lower()?;
            let lower = |arm| (arm, self.arms.case_dir(arm));
            let roots: Vec<_> = with_lower.into_iter().map(lower).collect();
            self.send(Phase::Lower, &roots)?;
        }
        Ok(())
    }

    fn send_trees(&mut self, phase: Phase) -> Result<(), CaseError> {
        let arms = self.arms.list().iter();
        let roots: Vec<_> = arms.map(|&arm| (arm, self.arms.root(arm))).collect();
        self.send(phase, &roots)
    }

    /// Walk the trees of a phase, all at the same time, and send them.
    fn send(&mut self, phase: Phase, roots: &[(Arm, String)]) -> Result<(), CaseError> {
        self.set_clock(self.plan.phase_second(phase))?;
        for (arm, _) in roots {
            // Nothing of a backed inode is dirty above its ext4, and what the host
            // has of `plain` is not the guest's to write back.
            if *arm != Arm::Plain {
                snapshot::settle(&self.arms.case_dir(*arm));
            }
        }
        let roots: Vec<_> = roots.iter().map(|(arm, root)| (*arm, &**root)).collect();
        for (arm, snapshot) in snapshot::take_all(&roots, self.board) {
            for snapshot in pieces::of(snapshot) {
                self.port.send(&FromGuest::Tree {
                    arm,
                    phase,
                    after: None,
                    snapshot,
                })?;
            }
        }
        Ok(())
    }
}

/// Remove the case's directories from a disk that is mounted; returns what is
/// free then.
fn empty(disk: &CaseDisk, board: &Board) -> std::io::Result<Space> {
    for dir in &disk.dirs {
        clear::remove(Path::new(dir))
            .map_err(|e| std::io::Error::new(e.kind(), format!("remove {dir}: {e}")))?;
        board.beat();
    }
    Space::of(disk.point)
}
