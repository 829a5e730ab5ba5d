//! `lookback mutants`: brings known defects back, one at a time, and sees that they are noticed.

mod guest;
mod header;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{self, Path, PathBuf},
    process::ExitCode,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Instant,
};

use lookback_kernel::{BuildSpec, Error as KernelError, Layout, PATCHED, Profile};
use lookback_scenario::{Library, Overrides, ScenarioError};

pub use header::MutantError;

use crate::{
    args::MutantsArgs,
    command::mutants::{
        guest::{Guests, Load, Ran, Subject},
        header::Mutant,
        table::{Fate, Reference, Row, Table},
        verdict::best,
    },
    failure::Failure,
    paths,
    progress::BuildProgress,
};

/// Builds each mutant, runs who must notice it and a fixed load, and prints who did. The kernel
/// without a mutant has to pass all of it first.
pub fn mutants(args: &MutantsArgs) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let layout = Layout::discover()?;
    let directory = match &args.mutant_dir {
        Some(directory) => directory.clone(),
        None => layout.guest_kernel.join("mutants"),
    };
    // The cache remembers the patches of a kernel, for runs that are started elsewhere.
    let directory = path::absolute(&directory).map_err(Failure::io("use", &directory))?;
    let mutants = header::load(&directory, &args.names)?;
    let scenario_dir = paths::scenarios(&args.scenario_dir)?;
    check_scenarios(&mutants, &Library::load(&scenario_dir)?)?;
    // Before a kernel is built for nothing.
    paths::agent(args.machine.tools.agent.as_deref())?;
    let output = paths::output(&args.machine.tools.output)?.join("mutants");
    let guests = Guests::new(args, scenario_dir, output.clone())?;

    let jobs = jobs(&layout, &mutants);
    // The next kernel is built while the last one's guests run; no further ahead, or an edit made
    // meanwhile would be missed.
    let (to_guests, kernels) = sync_channel(0);
    let judged = thread::scope(|scope| {
        scope.spawn(|| build_all(&layout, &jobs, to_guests));
        judge_all(&|subject, load| guests.run(subject, load), kernels)
    })?;
    let (clean, rows) = match judged {
        Judged::All { clean, rows } => (clean, rows),
        Judged::Unclean(code) => return Ok(ExitCode::from(code)),
    };

    let table = Table::new(clean, rows, millis(began));
    print!("{}", table.text());
    write(&output, &table)?;
    println!("{}", output.join("table.md").display());
    Ok(ExitCode::from(table.exit_code()))
}

/// Sees that every scenario named is one, before anything is built.
fn check_scenarios(mutants: &[Mutant], library: &Library) -> Result<(), Failure> {
    for mutant in mutants {
        for (name, line) in &mutant.scenarios {
            let known = library.plans(&[name], &Overrides::default());
            match known {
                Ok(_) => {}
                Err(error @ ScenarioError::Unknown { .. }) => {
                    return Err(MutantError::Header {
                        path: mutant.path.clone(),
                        line: *line,
                        what: error.to_string(),
                    }
                    .into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What is built and run, in this order.
#[derive(Debug, Clone)]
enum Job {
    /// The kernel without a mutant, which has to pass these scenarios.
    Reference {
        profile: Profile,
        scenarios: Vec<String>,
        seconds: u64,
    },
    Mutant(Box<Mutant>),
}

fn jobs(layout: &Layout, mutants: &[Mutant]) -> Vec<(Job, BuildSpec)> {
    let mut references: BTreeMap<Profile, (BTreeSet<String>, u64)> = BTreeMap::new();
    for mutant in mutants {
        let (scenarios, seconds) = references.entry(mutant.profile).or_default();
        scenarios.extend(mutant.scenarios.iter().map(|(name, _)| name.clone()));
        *seconds = (*seconds).max(limit(mutant));
    }
    let references = references
        .into_iter()
        .map(|(profile, (scenarios, seconds))| {
            let job = Job::Reference {
                profile,
                scenarios: scenarios.into_iter().collect(),
                seconds,
            };
            (job, BuildSpec::patched(layout, profile))
        });
    let mutants = mutants.iter().map(|mutant| {
        let series = vec![layout.patches(), mutant.path.clone()];
        let spec = BuildSpec {
            // A kernel with KASAN is booted by its bzImage, the others by their vmlinux.
            bzimage: matches!(mutant.profile, Profile::Debug | Profile::Kasan),
            ..BuildSpec::new(&mutant.name, mutant.profile, series)
        };
        (Job::Mutant(Box::new(mutant.clone())), spec)
    });
    references.chain(mutants).collect()
}

/// Seconds a mutant's cases may take. A guest that hangs is what some are meant to show.
fn limit(mutant: &Mutant) -> u64 {
    mutant.seconds.unwrap_or(match mutant.profile {
        Profile::Fast | Profile::Kvm => 60,
        Profile::Debug | Profile::Kasan => 300,
    })
}

/// A kernel to judge, or why there is none.
struct Kernel {
    job: Job,
    built: Result<(), KernelError>,
    build_ms: u64,
}

fn build_all(layout: &Layout, jobs: &[(Job, BuildSpec)], to_guests: SyncSender<Kernel>) {
    for (job, spec) in jobs {
        let began = Instant::now();
        let mut progress = BuildProgress::quiet(&spec.name);
        let built = lookback_kernel::build(layout, spec, &mut progress);
        progress.finish();
        let kernel = Kernel {
            job: job.clone(),
            built: built.map(drop),
            build_ms: millis(began),
        };
        // Nobody takes it if the judge has given up.
        if to_guests.send(kernel).is_err() {
            return;
        }
    }
}

enum Judged {
    All {
        clean: Vec<Reference>,
        rows: Vec<Row>,
    },
    /// The kernel without a mutant does not pass; its exit code.
    Unclean(u8),
}

/// Runs a guest on a kernel.
type RunGuest<'a> = &'a dyn Fn(Subject<'_>, Load<'_>) -> Result<Ran, Failure>;

fn judge_all(run: RunGuest<'_>, kernels: Receiver<Kernel>) -> Result<Judged, Failure> {
    let (mut clean, mut rows) = (Vec::new(), Vec::new());
    for kernel in kernels {
        match kernel.job {
            Job::Reference {
                profile,
                scenarios,
                seconds,
            } => {
                kernel.built?;
                let subject = Subject {
                    kernel: PATCHED,
                    profile,
                    seconds,
                };
                if let Some(code) = unclean(run, subject, &scenarios)? {
                    return Ok(Judged::Unclean(code));
                }
                println!("{PATCHED} ({profile}): clean");
                clean.push(Reference {
                    kernel: PATCHED.to_owned(),
                    profile: profile.to_string(),
                    scenarios,
                });
            }
            Job::Mutant(mutant) => {
                let row = judge(run, &mutant, kernel.built, kernel.build_ms)?;
                println!("{}", row.line());
                rows.push(row);
            }
        }
    }
    Ok(Judged::All { clean, rows })
}

/// Findings of an unclean kernel that are told; the rest is in its run's result.
const TOLD: usize = 10;

/// Why the kernel without a mutant does not do as a reference: the exit code, once said.
fn unclean(
    run: RunGuest<'_>,
    subject: Subject<'_>,
    scenarios: &[String],
) -> Result<Option<u8>, Failure> {
    for load in [Load::Scenarios(scenarios), Load::Fsstress] {
        let (code, why) = match run(subject, load)? {
            Ran::Judged(_, 0) => continue,
            Ran::Judged(catches, code) => {
                let catches = catches.iter().take(TOLD);
                let lines = catches
                    .map(|catch| format!("\n    {} in {}: {}", catch.how, catch.by, catch.title));
                (code, lines.collect())
            }
            Ran::NotJudged(code, why) => (code, why),
        };
        eprintln!(
            "lookback: {} ({}) is not clean without a mutant: {why}",
            subject.kernel, subject.profile
        );
        return Ok(Some(code));
    }
    Ok(None)
}

fn judge(
    run: RunGuest<'_>,
    mutant: &Mutant,
    built: Result<(), KernelError>,
    build_ms: u64,
) -> Result<Row, Failure> {
    let mut row = Row {
        mutant: mutant.name.clone(),
        about: mutant.about.clone(),
        scenarios: mutant
            .scenarios
            .iter()
            .map(|(name, _)| name.clone())
            .collect(),
        expected: mutant.caught_by.iter().copied().collect(),
        fate: Fate::Survived,
        fsstress: None,
        build_ms,
        scenarios_ms: 0,
        fsstress_ms: 0,
    };
    if let Err(error) = built {
        // A patch that does not apply or compile is one row's matter, all else everybody's.
        if !matches!(error, KernelError::Series(_) | KernelError::Run { .. }) {
            return Err(error.into());
        }
        row.fate = Fate::NotJudged {
            exit_code: 2,
            reason: error.to_string(),
        };
        return Ok(row);
    }
    let subject = Subject {
        kernel: &mutant.name,
        profile: mutant.profile,
        seconds: limit(mutant),
    };
    let began = Instant::now();
    row.fate = match run(subject, Load::Scenarios(&row.scenarios))? {
        Ran::Judged(catches, _) => match best(mutant, catches) {
            Some(catch) => Fate::Caught {
                as_expected: mutant.caught_by.contains(&catch.how),
                catch,
            },
            None => Fate::Survived,
        },
        Ran::NotJudged(exit_code, reason) => Fate::NotJudged { exit_code, reason },
    };
    row.scenarios_ms = millis(began);
    let began = Instant::now();
    match run(subject, Load::Fsstress)? {
        Ran::Judged(catches, _) => row.fsstress = best(mutant, catches),
        Ran::NotJudged(exit_code, reason) => row.fate = Fate::NotJudged { exit_code, reason },
    }
    row.fsstress_ms = millis(began);
    Ok(row)
}

fn write(output: &Path, table: &Table) -> Result<(), Failure> {
    fs::create_dir_all(output).map_err(Failure::io("make the directory", output))?;
    let json = output.join("table.json");
    let text = serde_json::to_string_pretty(table)
        .map_err(|error| Failure::io("write", &json)(error.into()))?;
    let put =
        |path: PathBuf, text: String| fs::write(&path, text).map_err(Failure::io("write", &path));
    put(json, text + "\n")?;
    put(output.join("table.md"), table.markdown())
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
