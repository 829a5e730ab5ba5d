//! `lookback run`, `fsstress` and `replay`: scenario → plan → guest → results →
//! oracle → findings → report.

pub mod case;
mod findings;
mod handover;
pub mod log;
mod places;
pub mod proof;
pub mod rig;
pub mod served;
pub mod servers;

use std::{
    io::IsTerminal,
    num::NonZeroU64,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use lookback_engine::{Engine, SocketDir, choose};
use lookback_image::e2fsck;
use lookback_kernel::Profile;
use lookback_report::{
    CaseResult, Console, Finding, Fsck, FsckStatus, Kernel, RunResult, Status, terminal::Style,
};
use lookback_scenario::{
    ALL_PHASES, DEFAULT_SEED, EVERY_IN_TURN, Fsstress, Library, Overrides, Plan, Scenario,
};
use lookback_wire::control::{Arm, DISK_EXT4, DISK_LOWER, Workers};

use crate::{
    args::{BootArgs, FsstressArgs, GuestArgs, RunArgs},
    failure::Failure,
    guest::session::{Ready, Session},
    paths,
    run::{
        findings::About,
        rig::{Parts, Rig, sockets},
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
    run_against(plans, seed, &args.guest, args.against.as_deref())
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

/// Runs cases in one guest, prints and keeps the result.
pub fn run(plans: Vec<Plan>, seed: u64, args: &GuestArgs) -> Result<ExitCode, Failure> {
    run_against(plans, seed, args, None)
}

/// As [`run`]; with another kernel, runs the cases on that first and tells only
/// what it does not show.
fn run_against(
    mut plans: Vec<Plan>,
    seed: u64,
    args: &GuestArgs,
    other: Option<&str>,
) -> Result<ExitCode, Failure> {
    if !nix::unistd::geteuid().is_root() && leave_plain_out(&mut plans) {
        println!("{PLAIN_NEEDS_ROOT}");
    }
    let (sockets, _) = sockets()?;
    let other = other
        .map(|kernel| {
            let mut args = args.clone();
            kernel.clone_into(&mut args.boot.kernel);
            let (result, rig) = execute(&plans, seed, &args, &sockets)?;
            keep(&result, &rig, result.exit_code == 0)?;
            let path = rig.folder.path.display();
            println!("{kernel} is what to hold against: {path}");
            Ok::<_, Failure>(result)
        })
        .transpose()?;
    let (mut result, rig) = execute(&plans, seed, args, &sockets)?;
    if let Some(other) = other {
        result.leave_out_known(&other);
        findings::remove_known(&rig.folder, &result)?;
    }
    // First to the screen: a full disk must not swallow it.
    let style = Style {
        color: std::io::stdout().is_terminal(),
    };
    print!("{}", lookback_report::terminal::render(&result, style));
    write(&result, &rig, args)?;
    println!("{}", rig.folder.path.display());
    Ok(ExitCode::from(result.exit_code))
}

/// Runs cases in one guest.
fn execute(
    plans: &[Plan],
    seed: u64,
    args: &GuestArgs,
    sockets: &SocketDir,
) -> Result<(RunResult, Rig), Failure> {
    let began = Instant::now();
    let profile: Profile = args.boot.profile.into();
    let parts = Parts::find(&args.boot)?;
    let choice = choose(
        args.boot.machine.engine.into(),
        args.boot.machine.tools.qemu.as_deref(),
    )?;
    println!("{}", choice.why);
    let mut rig = Rig::build(&parts, sockets)?;
    let limit = Duration::from_secs(args.timeout.map_or(
        match profile {
            Profile::Fast | Profile::Kvm => 300,
            Profile::Debug | Profile::Kasan => 1800,
        },
        NonZeroU64::get,
    ));
    let boot_limit = Duration::from_secs(args.boot.boot_timeout.get());
    let booting = Instant::now();
    let mut session = boot_guest(choice.engine.as_ref(), &mut rig, boot_limit)?;
    let boot = booting.elapsed();
    let ready = session.ready.clone();
    println!(
        "Linux {}, agent ready {:.1} s after the start (boot {:.1} s, by the guest's clock {:.1} s)",
        ready.release,
        began.elapsed().as_secs_f64(),
        boot.as_secs_f64(),
        ready.uptime.as_secs_f64()
    );
    let needs_extension = plans
        .iter()
        .any(|plan| plan.case.arms.contains(&Arm::Backed));
    if needs_extension && let Some(lack) = no_extension(&args.boot, &ready) {
        let _ = session.power_off();
        return Err(lack);
    }

    // Whatever comes now, the console and the traces are worth a look.
    rig.folder.keep();
    let kernel = kernel(&parts, &ready);
    let mut result = RunResult::new(&rig.folder.id, choice.engine.name(), kernel, seed);
    result.boot_ms = Some(u64::try_from(boot.as_millis()).unwrap_or(u64::MAX));
    for finding in std::mem::take(&mut session.boot_findings) {
        result.console.push(Console {
            finding: Finding::of_kernel(finding),
            case: None,
        });
    }

    let about = About::of(&result, &parts);
    let alive = cases(plans, &mut session, &rig, limit, &about, &mut result)?;
    finish(session, alive, &rig, &mut result);
    result.total_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    result.finish();
    Ok((result, rig))
}

/// Boots the rig's guest. If it does not come up, what may say why is kept.
pub fn boot_guest(engine: &dyn Engine, rig: &mut Rig, limit: Duration) -> Result<Session, Failure> {
    let booted = Session::boot(engine, &rig.spec, limit);
    if matches!(booted, Err(Failure::NoAgent { .. })) {
        rig.keep_logs()?;
    }
    booted
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

/// Runs the cases until the guest is gone. Returns whether it is still there.
fn cases(
    plans: &[Plan],
    session: &mut Session,
    rig: &Rig,
    limit: Duration,
    about: &About,
    result: &mut RunResult,
) -> Result<bool, Failure> {
    let bar = ProgressBar::new(plans.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {msg} {wide_bar} {elapsed}") {
        bar.set_style(style);
    }
    let mut ended_in: Option<&str> = None;
    for plan in plans {
        let id = plan.case.id.as_str();
        bar.set_message(id.to_owned());
        let bare = |status| CaseResult::new(&plan.scenario, id, &plan.title, status);
        let case = if let Some(culprit) = ended_in {
            bare(Status::NotRun {
                reason: format!("the guest ended in {culprit}"),
            })
        } else if plan.case.arms.is_empty() {
            bare(Status::Skipped {
                reason: "too few of its arms are run to compare anything".into(),
            })
        } else {
            let mut played = case::run(plan, session, &rig.servers, &rig.folder, limit)?;
            if !played.alive {
                ended_in = Some(id);
            }
            findings::hand_over(&rig.folder, about, plan, &mut played)?;
            played.result
        };
        result.cases.push(case);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(ended_in.is_none())
}

/// Ends the guest and checks what it leaves behind.
pub fn finish(session: Session, alive: bool, rig: &Rig, result: &mut RunResult) {
    let mut clean = alive;
    if alive {
        let (findings, problem) = session.power_off();
        for finding in findings {
            result.console.push(Console {
                finding: Finding::of_kernel(finding),
                case: None,
            });
        }
        if let Some(problem) = problem {
            clean = false;
            result.problem = Some(problem);
        }
    } else {
        drop(session);
    }
    for (name, image) in [
        (DISK_LOWER, &rig.images.lower),
        (DISK_EXT4, &rig.images.ext4),
    ] {
        let fsck = if clean {
            check(image)
        } else {
            let reason = "the guest did not unmount it".to_owned();
            (FsckStatus::NotRun { reason }, String::new())
        };
        result.fsck.push(Fsck {
            image: name.to_owned(),
            status: fsck.0,
            output: fsck.1,
        });
    }
}

fn check(image: &Path) -> (FsckStatus, String) {
    match e2fsck(image) {
        Ok(report) if report.clean => (FsckStatus::Clean, report.text),
        Ok(report) => (FsckStatus::Errors, report.text),
        Err(error) => {
            let reason = error.to_string();
            (FsckStatus::NotRun { reason }, String::new())
        }
    }
}

/// Leaves the result in the run's directory. What the next run makes anew is
/// removed if this one `holds`; after a failure it is evidence.
pub fn keep(result: &RunResult, rig: &Rig, holds: bool) -> Result<(), Failure> {
    let json = rig.folder.path.join("result.json");
    let junit = rig.folder.path.join("junit.xml");
    lookback_report::write_junit(&junit, result)?;
    lookback_report::write(&json, result)?;
    if holds {
        rig.remove_bulk()?;
    }
    rig.folder.make_latest()
}

fn write(result: &RunResult, rig: &Rig, args: &GuestArgs) -> Result<(), Failure> {
    keep(result, rig, result.exit_code == 0)?;
    if let Some(path) = &args.json {
        lookback_report::write(path, result)?;
    }
    if let Some(path) = &args.junit {
        lookback_report::write_junit(path, result)?;
    }
    Ok(())
}
