//! A scenario, read and checked.

use std::{collections::BTreeSet, fmt::Debug, path::Path};

use lookback_ops::{Base, Line, fsstress::Mix};
use lookback_wire::{
    control::{Arm, Phase, Registration, Workers},
    rules::LookupRule,
};
use toml::Spanned;

use crate::{
    answers::{self, Server},
    error::ScenarioError,
    expiry,
    file::{CaseTable, File, FsstressTable},
    position::Source,
    timeout::Timeout,
};

/// The arms of a scenario that names none, in the order they run in.
pub(crate) const ARMS: [Arm; 3] = [Arm::Backed, Arm::Plain, Arm::Ext4];
/// The phases of a generated load that names none: all there are, in order.
pub const ALL_PHASES: [Phase; 6] = [
    Phase::Warm,
    Phase::Dropped,
    Phase::Expired,
    Phase::Remounted,
    Phase::Lower,
    Phase::Fsck,
];
/// The phases of a written case that names none: those that nobody waits for.
pub(crate) const PHASES: [Phase; 5] = [
    Phase::Warm,
    Phase::Dropped,
    Phase::Remounted,
    Phase::Lower,
    Phase::Fsck,
];
/// Said of `every` where workers run at once.
pub const EVERY_IN_TURN: &str = "`every` needs workers in turn: where they run at once, there is nothing between two operations";
/// The seed of a generated load where neither file nor command line gives one.
pub const DEFAULT_SEED: u64 = 1;

/// One list of operations and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name, unique in the scenario.
    pub name: String,
    /// What it proves, in a line.
    pub about: String,
    /// The arms it runs on.
    pub arms: Vec<Arm>,
    /// The phases its trees are compared in.
    pub phases: Vec<Phase>,
    /// What is there before anything is mounted.
    pub setup: Vec<Line>,
    /// The operations.
    pub trace: Vec<Line>,
    /// How the trace's workers run.
    pub workers: Workers,
    /// Trees are compared after every so many operations, too; 0 for never.
    pub every: u32,
    /// What has a backing id besides the case's directory.
    pub register: Vec<Registration>,
    /// What the server answers, before what it answers for the stacking root
    /// by [`Scenario::server`].
    pub lookup: Vec<LookupRule>,
    /// Every reference the server hands out must be given back.
    pub balanced: bool,
}

/// A generated load.
#[derive(Debug, Clone, PartialEq)]
pub struct Fsstress {
    /// Operations in all, of all processes together.
    pub ops: usize,
    /// Numbers of processes; one case each.
    pub procs: Vec<u16>,
    /// What is done how often.
    pub mix: Mix,
    /// How the processes run: on shared names unless [`Workers::Apart`].
    pub workers: Workers,
    /// Trees are compared after every so many operations, too; 0 for never.
    pub every: u32,
    /// The seed; [`DEFAULT_SEED`] where absent.
    pub seed: Option<u64>,
    /// Loads, one case each, with the seeds that follow one another.
    pub rounds: u32,
}

/// A scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name, that of its file without `.toml`.
    pub name: String,
    /// What it proves, in a line.
    pub about: String,
    /// The arms, where a case does not say otherwise.
    pub arms: Vec<Arm>,
    /// The phases, where a case does not say otherwise.
    pub phases: Vec<Phase>,
    /// What the server answers for the stacking root.
    pub server: Server,
    /// What has a backing id in generated cases, besides the case's directory.
    pub register: Vec<Registration>,
    /// What else the server answers in generated cases.
    pub lookup: Vec<LookupRule>,
    /// Every reference the server hands out in a generated case must be given back.
    pub balanced: bool,
    /// The share is mounted with `root_dir=`; the server's answers play no part.
    pub root_dir: bool,
    /// The arm `devfuse` has no daemon. Only with `root_dir`.
    pub no_daemon: bool,
    /// The daemon of the arm `devfuse` may not name objects.
    pub unprivileged: bool,
    /// Every case runs once for each of these, if there are any.
    pub entry_timeouts: Vec<Timeout>,
    /// The cases written down.
    pub cases: Vec<Case>,
    /// The cases generated.
    pub fsstress: Option<Fsstress>,
}

impl Scenario {
    /// Reads a scenario file's text; `path` is for messages, and its name
    /// must be the scenario's.
    ///
    /// # Errors
    /// The first mistake, with file, line, column and what was expected.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScenarioError> {
        let source = Source { path, text };
        let file: File = toml::from_str(text).map_err(|error| {
            source.error(
                error.span().unwrap_or_default(),
                error.message().replace('\n', ", "),
            )
        })?;
        check_name(source, &file.name, |_| true)?;
        if path.file_stem().and_then(|stem| stem.to_str()) != Some(file.name.get_ref()) {
            let what = format!("this file must be called {}.toml", file.name.get_ref());
            return Err(source.error(file.name.span(), what));
        }
        let arms = list(source, file.arms.as_ref(), &ARMS)?;
        let entry_timeouts = list(source, file.matrix.entry_timeout.as_ref(), &[])?;

        let server = answers::server(source, file.server.as_ref())?;
        let default_phases: &[Phase] = match file.fsstress {
            None => &PHASES,
            Some(_) => &ALL_PHASES,
        };
        let mut phases = list(source, file.phases.as_ref(), default_phases)?;

        let mut names = BTreeSet::new();
        let cases = file
            .case
            .iter()
            .map(|table| {
                check_name(source, &table.name, |name| names.insert(name.to_owned()))?;
                case(source, &file, table, &arms, &phases, &server)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let fsstress = file
            .fsstress
            .as_ref()
            .map(|table| fsstress(source, table))
            .transpose()?;
        if cases.is_empty() == fsstress.is_none() {
            let what = "a scenario has either [[case]] tables or an [fsstress] table";
            return Err(source.error(file.name.span(), what));
        }
        let lookup = answers::lookups(source, &file.lookup, &[], &server)?;
        let servers = server.each(&entry_timeouts);
        for (table, case) in file.case.iter().zip(&cases) {
            let written = table.phases.as_ref().or(file.phases.as_ref());
            for server in &servers {
                let rules = server.rules(&case.lookup).lookup;
                expiry::check(&case.phases, &case.arms, &rules)
                    .map_err(|what| source.error(span_of(written), what))?;
            }
        }
        if fsstress.is_some() {
            for server in &servers {
                let rules = server.rules(&lookup).lookup;
                match (&file.phases, expiry::check(&phases, &arms, &rules)) {
                    (_, Ok(())) => {}
                    (None, Err(_)) => phases.retain(|phase| *phase != Phase::Expired),
                    (written, Err(what)) => {
                        return Err(source.error(span_of(written.as_ref()), what));
                    }
                }
            }
        }
        let root_dir = file.root_dir.as_ref().is_some_and(|flag| *flag.get_ref());
        if let (true, Some(flag)) = (root_dir, &file.root_dir) {
            check_root_dir(
                source,
                flag,
                &cases,
                !entry_timeouts.is_empty() || file.server.is_some() || answers::are_given(&file),
            )?;
        }
        let all_arms = || {
            let case_arms = cases.iter().map(|case| case.arms.as_slice());
            case_arms.chain(fsstress.iter().map(|_| arms.as_slice()))
        };
        let no_daemon = file.no_daemon.as_ref().is_some_and(|flag| *flag.get_ref());
        if let (true, Some(flag)) = (no_daemon, &file.no_daemon) {
            check_no_daemon(source, flag, root_dir)?;
            check_devfuse(source, flag, "no_daemon", all_arms())?;
        }
        let unprivileged = file
            .unprivileged
            .as_ref()
            .is_some_and(|flag| *flag.get_ref());
        if let (true, Some(flag)) = (unprivileged, &file.unprivileged) {
            check_devfuse(source, flag, "unprivileged", all_arms())?;
        }
        Ok(Self {
            root_dir,
            no_daemon,
            unprivileged,
            register: answers::registrations(source, &file.register, &[], &server, &arms)?,
            lookup,
            balanced: file.balanced,
            server,
            name: file.name.into_inner(),
            about: file.about,
            arms,
            phases,
            entry_timeouts,
            cases,
            fsstress,
        })
    }

    /// The scenario of one recorded trace, on all arms and in all phases.
    #[must_use]
    pub fn of_trace(name: &str, setup: Vec<Line>, trace: Vec<Line>) -> Self {
        let case = Case {
            name: "trace".to_owned(),
            about: format!("the trace {name}"),
            arms: ARMS.to_vec(),
            phases: PHASES.to_vec(),
            setup,
            workers: Workers::InTurn,
            every: 0,
            register: vec![],
            lookup: vec![],
            balanced: false,
            trace,
        };
        Self {
            name: name.to_owned(),
            about: case.about.clone(),
            arms: case.arms.clone(),
            phases: case.phases.clone(),
            server: Server::default(),
            register: vec![],
            lookup: vec![],
            balanced: false,
            root_dir: false,
            no_daemon: false,
            unprivileged: false,
            entry_timeouts: vec![],
            cases: vec![case],
            fsstress: None,
        }
    }
}

/// With a backed root there is neither a LOOKUP to answer nor a directory
/// beside the backed one.
fn check_root_dir(
    source: Source<'_>,
    flag: &Spanned<bool>,
    cases: &[Case],
    answers: bool,
) -> Result<(), ScenarioError> {
    if answers {
        let what = "with root_dir nothing is looked up at the server; leave out what it answers";
        return Err(source.error(flag.span(), what));
    }
    let lines = cases
        .iter()
        .flat_map(|case| case.setup.iter().chain(&case.trace));
    let mut paths = lines.flat_map(|line| line.op.paths());
    if paths.any(|path| path.base == Base::Outside) {
        let what = "with root_dir the whole share is backed; there is no @outside/";
        return Err(source.error(flag.span(), what));
    }
    Ok(())
}

/// Without a daemon there is nobody to answer.
fn check_no_daemon(
    source: Source<'_>,
    flag: &Spanned<bool>,
    root_dir: bool,
) -> Result<(), ScenarioError> {
    if !root_dir {
        let what = "no_daemon needs root_dir = true: without a daemon nothing else gives a root";
        return Err(source.error(flag.span(), what));
    }
    Ok(())
}

/// What speaks of the daemon: virtiofs always has a server, on another machine.
fn check_devfuse<'a>(
    source: Source<'_>,
    flag: &Spanned<bool>,
    key: &str,
    mut arms: impl Iterator<Item = &'a [Arm]>,
) -> Result<(), ScenarioError> {
    if !arms.all(|arms| arms.contains(&Arm::Devfuse) && !arms.contains(&Arm::Backed)) {
        let what =
            format!("{key} is the arm devfuse's: name the arms, with devfuse and without backed");
        return Err(source.error(flag.span(), what));
    }
    Ok(())
}

fn case(
    source: Source<'_>,
    file: &File,
    table: &CaseTable,
    arms: &[Arm],
    phases: &[Phase],
    server: &Server,
) -> Result<Case, ScenarioError> {
    let arms = list(source, table.arms.as_ref(), arms)?;
    let setup = table
        .setup
        .as_ref()
        .map(|text| source.trace(text, &arms))
        .transpose()?
        .unwrap_or_default();
    if let (Some(text), true) = (&table.setup, setup.iter().any(|line| line.worker != 0)) {
        return Err(source.error(text.span(), "a setup has one worker; leave the `p1:` out"));
    }
    let trace = source.trace(&table.trace, &arms)?;
    if trace.is_empty() {
        return Err(source.error(table.trace.span(), "a case has at least one operation"));
    }
    let register = answers::registrations(source, &table.register, &file.register, server, &arms)?;
    Ok(Case {
        register,
        lookup: answers::lookups(source, &table.lookup, &file.lookup, server)?,
        balanced: table.balanced.unwrap_or(file.balanced),
        name: table.name.get_ref().clone(),
        about: table.about.clone(),
        arms,
        phases: list(source, table.phases.as_ref(), phases)?,
        setup,
        trace,
        workers: table.workers,
        every: every(source, table.every.as_ref(), table.workers)?,
    })
}

/// A tree is the same on every arm where nothing runs beside its walk.
fn every(
    source: Source<'_>,
    given: Option<&Spanned<u32>>,
    workers: Workers,
) -> Result<u32, ScenarioError> {
    let Some(given) = given else { return Ok(0) };
    if *given.get_ref() != 0 && workers != Workers::InTurn {
        return Err(source.error(given.span(), EVERY_IN_TURN));
    }
    Ok(*given.get_ref())
}

fn fsstress(source: Source<'_>, table: &FsstressTable) -> Result<Fsstress, ScenarioError> {
    let procs = list(source, Some(&table.procs), &[])?;
    if procs.contains(&0) {
        return Err(source.error(table.procs.span(), "at least one process is needed"));
    }
    if *table.ops.get_ref() == 0 {
        return Err(source.error(table.ops.span(), "at least one operation is needed"));
    }
    let mix = match &table.mix {
        None => Mix::default(),
        Some(text) => {
            text.get_ref()
                .parse()
                .map_err(|error: lookback_ops::fsstress::MixError| {
                    source.error(text.span(), error.to_string())
                })?
        }
    };
    let workers = table.workers.unwrap_or(Workers::Apart);
    Ok(Fsstress {
        ops: *table.ops.get_ref(),
        procs,
        mix,
        every: every(source, table.every.as_ref(), workers)?,
        workers,
        seed: table.seed,
        rounds: 1,
    })
}

/// What the file says, or else the default; no value twice, and not none.
fn list<T: Copy + Debug + PartialEq>(
    source: Source<'_>,
    given: Option<&Spanned<Vec<T>>>,
    default: &[T],
) -> Result<Vec<T>, ScenarioError> {
    let Some(given) = given else {
        return Ok(default.to_vec());
    };
    let values = given.get_ref();
    if values.is_empty() {
        return Err(source.error(
            given.span(),
            "an empty list runs nothing; leave the key out",
        ));
    }
    if values
        .iter()
        .enumerate()
        .any(|(index, value)| values[..index].contains(value))
    {
        return Err(source.error(given.span(), "a value stands here twice"));
    }
    Ok(values.clone())
}

fn span_of<T>(spanned: Option<&Spanned<T>>) -> std::ops::Range<usize> {
    spanned.map(Spanned::span).unwrap_or_default()
}

/// Names become directory names and parts of ids.
fn check_name(
    source: Source<'_>,
    name: &Spanned<String>,
    is_new: impl FnOnce(&str) -> bool,
) -> Result<(), ScenarioError> {
    let text = name.get_ref();
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 60 || text.starts_with('-') || !text.chars().all(good) {
        let what = "a name is made of a to z, 0 to 9 and -, at most 60 of them";
        return Err(source.error(name.span(), what));
    }
    if !is_new(text) {
        return Err(source.error(name.span(), format!("there are two cases `{text}`")));
    }
    Ok(())
}
