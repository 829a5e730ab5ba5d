//! A case in one text file: what runs, where, and what the server answers.
//!
//! ```text
//! %title a hard link shows behind FUSE's back
//! %arms backed,ext4
//! %phases warm,dropped
//! %server { entry_timeout = "50ms" }
//! %setup
//! creat a
//! %trace
//! link @lower/a @lower/b
//! stat b
//! ```
//!
//! Lines that begin with `%` say what the lines of a trace don't; what none of
//! them says is as for a case of a scenario file. [`Recording::parse`] and
//! [`Recording::print`] are inverse, [`Recording::of`] and
//! [`Recording::plan`] too.

mod parse;
mod print;
#[cfg(test)]
mod tests;

use lookback_ops::Line;
use lookback_wire::{
    control::{Arm, CasePlan, Phase, Registration, Workers},
    rules::{LookupRule, Rules},
};

use crate::{
    answers::Server,
    expand::Plan,
    expiry,
    scenario::{ARMS, PHASES},
};

/// A case, as a trace file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// What it is about, in a line; may be empty.
    pub title: String,
    /// The seed its trace was generated from.
    pub seed: Option<u64>,
    /// The arms it runs on.
    pub arms: Vec<Arm>,
    /// The phases its trees are compared in.
    pub phases: Vec<Phase>,
    /// How the trace's workers run.
    pub workers: Workers,
    /// Trees are compared after every so many operations, too; 0 for never.
    pub every: u32,
    /// Every reference the server hands out must be given back.
    pub balanced: bool,
    /// The case's directories are removed at its end, and the space they took
    /// must return.
    pub clear: bool,
    /// The share is mounted with `root_dir=`; the server's answers play no part.
    pub root_dir: bool,
    /// The arm `devfuse` has no daemon. Only with `root_dir`.
    pub no_daemon: bool,
    /// The daemon of the arm `devfuse` may not name objects.
    pub unprivileged: bool,
    /// What the server answers for the stacking root.
    pub server: Server,
    /// What has a backing id besides the case's directory.
    pub register: Vec<Registration>,
    /// What the server answers, before what it answers by `server`.
    pub lookup: Vec<LookupRule>,
    /// What is there before anything is mounted.
    pub setup: Vec<Line>,
    /// The operations.
    pub trace: Vec<Line>,
}

/// A case without operations, as a file without directives has it.
impl Default for Recording {
    fn default() -> Self {
        Self {
            title: String::new(),
            seed: None,
            arms: ARMS.to_vec(),
            phases: PHASES.to_vec(),
            workers: Workers::default(),
            every: 0,
            balanced: false,
            clear: false,
            root_dir: false,
            no_daemon: false,
            unprivileged: false,
            server: Server::default(),
            register: Vec::new(),
            lookup: Vec::new(),
            setup: Vec::new(),
            trace: Vec::new(),
        }
    }
}

impl Recording {
    /// The recording of a case of a run.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let case = &plan.case;
        // The case's directory comes first.
        let (backing, register) = match case.register.split_first() {
            Some((own, others)) if own.path.is_empty() => (own.id, others),
            _ => (Server::default().backing, case.register.as_slice()),
        };
        let (server, lookup) = if case.root_dir {
            (Server::default(), Vec::new())
        } else {
            Server::of_rules(&plan.rules, backing)
        };
        Self {
            title: plan.title.clone(),
            seed: plan.seed,
            arms: case.arms.clone(),
            phases: case.phases.clone(),
            workers: case.workers,
            every: case.every,
            balanced: case.balanced,
            clear: case.clear,
            root_dir: case.root_dir,
            no_daemon: case.no_daemon,
            unprivileged: case.unprivileged,
            server,
            register: register.to_vec(),
            lookup,
            setup: case.setup.clone(),
            trace: case.trace.clone(),
        }
    }

    /// It as a case of a run. `id` is one path component, unique in the run;
    /// what stands before its first dot is the scenario's name.
    #[must_use]
    pub fn plan(&self, id: &str) -> Plan {
        let (rules, register) = if self.root_dir {
            (Rules::default(), Vec::new())
        } else {
            let own = Registration {
                id: self.server.backing,
                path: String::new(),
            };
            (
                self.server.rules(&self.lookup),
                [&[own], self.register.as_slice()].concat(),
            )
        };
        Plan {
            scenario: id.split('.').next().unwrap_or(id).to_owned(),
            title: self.title.clone(),
            case: CasePlan {
                id: id.to_owned(),
                arms: self.arms.clone(),
                setup: self.setup.clone(),
                register,
                root_dir: self.root_dir,
                no_daemon: self.no_daemon,
                unprivileged: self.unprivileged,
                rules: rules.clone(),
                balanced: self.balanced,
                trace: self.trace.clone(),
                workers: self.workers,
                every: self.every,
                clear: self.clear,
                expiry_ms: expiry::wait_ms(&self.arms, &rules.lookup),
                phases: self.phases.clone(),
            },
            rules,
            seed: self.seed,
        }
    }
}
