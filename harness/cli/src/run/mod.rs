//! `lookback run`, `fsstress` and `replay`: scenario → plan → guest → results →
//! oracle → findings → report.

pub mod case;
pub mod course;
pub mod end;
mod execute;
mod findings;
pub mod guests;
mod handover;
pub mod log;
mod places;
pub mod proof;
pub mod rig;
pub mod served;
pub mod servers;

use std::{io::IsTerminal, process::ExitCode};

use lookback_report::{Kernel, terminal::Style};
use lookback_scenario::{
    ALL_PHASES, DEFAULT_SEED, EVERY_IN_TURN, Fsstress, Library, Overrides, Plan, Scenario,
};
use lookback_wire::control::{Arm, Workers};

use crate::{
    args::{BootArgs, FsstressArgs, GuestArgs, RunArgs},
    failure::Failure,
    guest::session::Ready,
    paths,
    run::{
        execute::{Done, execute},
        rig::{Parts, sockets},
    },
};

/// Said where the arm `plain` is left out.
pub const PLAIN_NEEDS_ROOT: &str =
    "the arm plain is left out: its server changes owners and makes devices, which needs root";

/// `lookback run`.
pub fn scenarios(args: &RunArgs) -> Result<ExitCode, Failure> {
    let directory = paths::scenarios(&args.scenario_dir)?;
    if let Some(arms) = &args.arms {
        check_arms(arms)?;
    }
    let overrides = Overrides {
        seed: args.seed,
        arms: args.arms.clone(),
        ..Overrides::default()
    };
    let plans = Library::load(&directory)?.plans(&args.scenarios, &overrides)?;
    let seed = args.seed.unwrap_or(DEFAULT_SEED);
    run(plans, seed, &args.guest)
}

/// `lookback fsstress`.
pub fn fsstress(args: &FsstressArgs) -> Result<ExitCode, Failure> {
    check_arms(&args.arms)?;
    if args.every != 0 && args.workers != Workers::InTurn {
        return Err(Failure::Usage(EVERY_IN_TURN.into()));
    }
    let load = Fsstress {
        ops: args.ops.get(),
        procs: vec![args.procs.get()],
        mix: args.mix.clone().unwrap_or_default(),
        workers: args.workers,
        every: args.every,
        seed: Some(args.seed),
        rounds: args.rounds.get(),
    };
    let scenario = Scenario {
        name: "fsstress".into(),
        about: "a generated load gives the same on every arm".into(),
        arms: args.arms.clone(),
        phases: ALL_PHASES.to_vec(),
        cases: vec![],
        fsstress: Some(load),
        ..Scenario::of_trace("fsstress", vec![], vec![])
    };
    let plans = scenario.expand(&Overrides::default());
    run(plans, args.seed, &args.guest)
}

/// No arm is named twice.
pub fn check_arms(arms: &[Arm]) -> Result<(), Failure> {
    for (index, arm) in arms.iter().enumerate() {
        if arms[..index].contains(arm) {
            return Err(Failure::Usage(format!("--arms names {arm} twice")));
        }
    }
    Ok(())
}

/// Runs cases in guests, prints and keeps the result. With another kernel to
/// hold against, runs them on that first and tells only what it does not show.
pub fn run(mut plans: Vec<Plan>, seed: u64, args: &GuestArgs) -> Result<ExitCode, Failure> {
    if !nix::unistd::geteuid().is_root() && leave_plain_out(&mut plans) {
        println!("{PLAIN_NEEDS_ROOT}");
    }
    let (sockets, _) = sockets()?;
    let other = (args.against.as_ref())
        .map(|kernel| {
            let mut args = args.clone();
            kernel.clone_into(&mut args.boot.kernel);
            let done = execute(&plans, seed, &args, &sockets)?;
            done.keep()?;
            let path = done.folder.path.display();
            println!("{kernel} is what to hold against: {path}");
            Ok::<_, Failure>(done.result)
        })
        .transpose()?;
    let mut done = execute(&plans, seed, args, &sockets)?;
    if let Some(other) = other {
        done.result.leave_out_known(&other);
        findings::remove_known(&done.folder, &done.result)?;
    }
    // First to the screen: a full disk must not swallow it.
    let style = Style {
        color: std::io::stdout().is_terminal(),
    };
    let result = &done.result;
    print!("{}", lookback_report::terminal::render(result, style));
    write(&done, args)?;
    println!("{}", done.folder.path.display());
    Ok(ExitCode::from(result.exit_code))
}

/// Why the arm `backed` can't run, if it can't.
pub fn no_extension(args: &BootArgs, ready: &Ready) -> Option<Failure> {
    ready.no_extension.as_ref().map(|why| Failure::NoExtension {
        kernel: args.kernel.clone(),
        release: ready.release.clone(),
        why: why.clone(),
    })
}

/// What was booted.
pub fn kernel(parts: &Parts, ready: &Ready) -> Kernel {
    Kernel {
        name: parts.kernel.name.clone(),
        release: ready.release.clone(),
        // Of an image given as a file nobody knows.
        profile: parts
            .kernel
            .profile
            .map_or_else(|| "unknown".to_owned(), |profile| profile.to_string()),
    }
}

/// Takes the arm off every case that has it, and says so in the case's title,
/// which every report shows. Returns whether there was one.
fn leave_plain_out(plans: &mut [Plan]) -> bool {
    let mut any = false;
    for plan in plans {
        if plan.case.arms.contains(&Arm::Plain) {
            plan.case.arms.retain(|arm| *arm != Arm::Plain);
            if plan.case.arms.len() < 2 {
                plan.case.arms.clear();
            }
            plan.title
                .push_str(" (without the arm plain, which needs root)");
            any = true;
        }
    }
    any
}

fn write(done: &Done, args: &GuestArgs) -> Result<(), Failure> {
    done.keep()?;
    if let Some(path) = &args.json {
        lookback_report::write(path, &done.result)?;
    }
    if let Some(path) = &args.junit {
        lookback_report::write_junit(path, &done.result)?;
    }
    Ok(())
}
