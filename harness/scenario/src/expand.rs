//! A scenario as the cases of a run.

use lookback_ops::fsstress::{self, Mix, Names};
use lookback_wire::{
    control::{Arm, CasePlan, Workers},
    rules::Rules,
};

use crate::{
    answers::Server,
    recording::Recording,
    scenario::{Case, DEFAULT_SEED, Fsstress, Scenario},
    timeout::Timeout,
};

/// What the command line says instead of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Seed of generated loads.
    pub seed: Option<u64>,
    /// Operations of generated loads.
    pub ops: Option<usize>,
    /// Numbers of processes of generated loads.
    pub procs: Option<Vec<u16>>,
    /// Mix of generated loads.
    pub mix: Option<Mix>,
    /// The arms to run on; a case that does not run on one of them stays off it.
    pub arms: Option<Vec<Arm>>,
}

impl Overrides {
    fn runs_on(&self, arm: Arm) -> bool {
        self.arms.as_ref().is_none_or(|arms| arms.contains(&arm))
    }
}

/// One case of a run: what the guest does, what the server answers, what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The scenario.
    pub scenario: String,
    /// What the case proves, in a line.
    pub title: String,
    /// The guest's part.
    pub case: CasePlan,
    /// The rules of the backed share; the plain share has none.
    pub rules: Rules,
    /// The seed, if the trace was generated.
    pub seed: Option<u64>,
}

impl Scenario {
    /// The cases, one for each value of the matrix, in the file's order.
    ///
    /// A case that [`Overrides::arms`] leaves without an arm, or with one of
    /// several, which then is compared with nothing, keeps its place, with no
    /// arms: whoever runs it reports it as skipped.
    #[must_use]
    pub fn expand(&self, overrides: &Overrides) -> Vec<Plan> {
        let matrix: Vec<(Server, Option<Timeout>)> = if self.entry_timeouts.is_empty() {
            vec![(self.server, None)]
        } else {
            let timeouts = self.entry_timeouts.iter().copied().map(Some);
            let servers = self.server.each(&self.entry_timeouts);
            servers.into_iter().zip(timeouts).collect()
        };
        let generated = self
            .fsstress
            .iter()
            .flat_map(|load| self.generate(load, overrides));
        let written = self.cases.iter().map(|case| (case.clone(), None));
        generated
            .chain(written)
            .flat_map(|(case, seed)| {
                let plan = |(server, timeout): &(Server, Option<Timeout>)| {
                    self.plan(&case, seed, server, *timeout, overrides)
                };
                matrix.iter().map(plan).collect::<Vec<_>>()
            })
            .collect()
    }

    fn generate(&self, load: &Fsstress, overrides: &Overrides) -> Vec<(Case, Option<u64>)> {
        let seed = overrides.seed.or(load.seed).unwrap_or(DEFAULT_SEED);
        let ops = overrides.ops.unwrap_or(load.ops);
        let mix = overrides.mix.as_ref().unwrap_or(&load.mix);
        // One arm that fails where the others do not fails ever after.
        let on_plain = self
            .arms
            .iter()
            .any(|arm| *arm == Arm::Plain && overrides.runs_on(*arm));
        let mix = &if on_plain {
            mix.on_plain()
        } else {
            mix.clone()
        };
        let names = match load.workers {
            Workers::Apart => Names::Own,
            Workers::InTurn | Workers::Free => Names::Shared,
        };
        let case = |procs: u16, seed: u64| Case {
            workers: if procs > 1 {
                load.workers
            } else {
                Workers::InTurn
            },
            // Where outcomes are chance, this is among what is judged instead.
            balanced: self.balanced || (procs > 1 && load.workers == Workers::Free),
            name: if load.rounds > 1 {
                format!("p{procs}.seed-{seed}")
            } else {
                format!("p{procs}")
            },
            about: format!("{}: {ops} operations of {procs}, seed {seed}", self.about),
            arms: self.arms.clone(),
            phases: self.phases.clone(),
            setup: vec![],
            trace: fsstress::generate(seed, ops, procs, names, mix),
            every: load.every,
            register: self.register.clone(),
            lookup: self.lookup.clone(),
        };
        overrides
            .procs
            .as_ref()
            .unwrap_or(&load.procs)
            .iter()
            .flat_map(|&procs| {
                let seeds = (0..load.rounds).map(|round| seed.wrapping_add(round.into()));
                seeds.map(move |seed| (procs, seed))
            })
            .map(|(procs, seed)| (case(procs, seed), Some(seed)))
            .collect()
    }

    fn plan(
        &self,
        case: &Case,
        seed: Option<u64>,
        server: &Server,
        timeout: Option<Timeout>,
        overrides: &Overrides,
    ) -> Plan {
        let suffix = timeout.map(|t| format!(".entry-{t}")).unwrap_or_default();
        let asked = |arm: &&Arm| overrides.runs_on(**arm);
        let arms: Vec<Arm> = case.arms.iter().filter(asked).copied().collect();
        Recording {
            title: case.about.clone(),
            seed,
            arms: if arms.len() < case.arms.len().min(2) {
                vec![]
            } else {
                arms
            },
            phases: case.phases.clone(),
            workers: case.workers,
            every: case.every,
            balanced: case.balanced,
            clear: seed.is_some(),
            root_dir: self.root_dir,
            no_daemon: self.no_daemon,
            unprivileged: self.unprivileged,
            server: *server,
            register: case.register.clone(),
            lookup: case.lookup.clone(),
            setup: case.setup.clone(),
            trace: case.trace.clone(),
        }
        .plan(&format!("{}.{}{suffix}", self.name, case.name))
    }
}
