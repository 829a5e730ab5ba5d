//! `lookback shrink`: a case made smaller while its guest still shows the same.

mod bench;
mod guests;
mod progress;
mod source;

use std::{
    num::NonZeroU64,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use lookback_engine::choose;
use lookback_kernel::Profile;
use lookback_ops::Line;
use lookback_oracle::Stage;
use lookback_report::{Finding, Kind};
use lookback_scenario::{
    Recording,
    shrink::{Aim, shrink},
};
use lookback_wire::control::{Arm, Phase};

use crate::{
    args::ShrinkArgs,
    command::shrink::{
        bench::{Bench, Order},
        guests::{Guests, Shown},
        progress::Shrinking,
        source::{Source, first_of},
    },
    failure::Failure,
    paths,
    run::{
        self,
        rig::{Parts, sockets_and},
    },
};

/// What a shrunk trace is given at least, in seconds: a guest that is busy with
/// its disk is not hung.
const LEAST_SECONDS: u64 = 20;
/// And how many times as long as all of it took.
const TIMES: u32 = 5;
/// What a trace that may hang is given, and for each of its operations: the
/// limit is the time that each candidate which does hang takes.
const HANG_SECONDS: u64 = 10;
const HANG_MILLIS: u64 = 10;

/// `lookback shrink`. `given` says of an option whether it was given, in the
/// command line or the environment.
pub fn shrink_case(args: &ShrinkArgs, given: impl Fn(&str) -> bool) -> Result<ExitCode, Failure> {
    if args.hits > args.of {
        let what = format!("--hits {} are more than --of {}", args.hits, args.of);
        return Err(Failure::Usage(what));
    }
    check_target(&args.out)?;
    let mut source = Source::read(&args.source, args.signature.as_deref())?;
    let mut boot = args.boot.clone();
    if let Some(kernel) = &source.kernel {
        if !given("kernel") {
            boot.kernel.clone_from(&kernel.name);
        }
        if let (false, Some(profile)) = (given("profile"), source.profile()) {
            boot.profile = profile;
        }
        println!("kernel {} ({})", boot.kernel, Profile::from(boot.profile));
    }
    if !nix::unistd::geteuid().is_root() && source.recording.arms.contains(&Arm::Plain) {
        println!("{}", run::PLAIN_NEEDS_ROOT);
        source.recording.arms.retain(|arm| *arm != Arm::Plain);
    }

    // Guests come and go; only the trace is kept.
    let output = paths::output(&boot.machine.tools.output)?;
    let work = work_dir(&output)?;
    let (sockets, _) = sockets_and(&[work.path()])?;
    let mut parts = Parts::find(&boot)?;
    parts.output = work.path().to_owned();
    let choice = choose(
        boot.machine.engine.into(),
        boot.machine.tools.qemu.as_deref(),
    )?;
    println!("{}", choice.why);
    let mut guests = Guests::new(&parts, choice.engine.as_ref(), &sockets, &boot)?;

    let began = Instant::now();
    let of_profile = match Profile::from(boot.profile) {
        Profile::Fast | Profile::Kvm => 300,
        Profile::Debug | Profile::Kasan => 1800,
    };
    let limit = Duration::from_secs(args.timeout.map_or(of_profile, NonZeroU64::get));
    let signature = source.signature.clone();
    let first = reproduce(
        &mut guests,
        &source.recording,
        signature.as_deref(),
        limit,
        args,
    )?;
    let Some(first) = first else {
        return Ok(ExitCode::from(1));
    };
    let order = Order {
        signature: first.finding.signature.clone(),
        kernels: first.finding.complaint.is_some(),
        at_end: first.at_end,
        hits: args.hits.get(),
        of: args.of.get(),
        is_chance: first.reruns > 1,
    };
    println!(
        "{}: shows in {:.1} s",
        order.signature,
        first.took.as_secs_f64()
    );
    let aim = aim(&first.finding, &source.recording);
    let whole = Recording {
        title: order.signature.clone(),
        seed: None,
        ..source.recording
    };
    let operations = whole.trace.len();
    let hangs = first.finding.kind == Kind::Hang;
    let limits = move |candidate: &Recording| {
        let lines = u64::try_from(candidate.trace.len()).unwrap_or(u64::MAX);
        let own = if hangs {
            Duration::from_secs(HANG_SECONDS)
                + Duration::from_millis(HANG_MILLIS.saturating_mul(lines))
        } else {
            (first.took * TIMES).max(Duration::from_secs(LEAST_SECONDS))
        };
        own.min(limit)
    };
    let mut bench = Bench::new(
        &mut guests,
        order,
        &limits,
        &args.out,
        Shrinking::of(&whole),
    );
    let small = smallest(&mut bench, whole, &aim)?;
    let (runs, shown) = bench.finish();
    print!("{}", small.print()?);
    println!(
        "{operations} operations, now {}, in {runs} runs, {shown} of which showed it, by {} guests in {:.1} s",
        small.trace.len(),
        guests.booted(),
        began.elapsed().as_secs_f64()
    );
    println!("{}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Shrinks, and sees that a fresh guest shows what is left. One that does not
/// needed what the candidates before it had left in the guest: then each gets
/// a guest of its own, from the beginning.
fn smallest(bench: &mut Bench<'_, '_>, whole: Recording, aim: &Aim) -> Result<Recording, Failure> {
    bench.keep(&whole)?;
    let small = shrink(whole.clone(), aim, bench)?;
    if bench.shows_afresh(&small)? {
        return Ok(small);
    }
    bench.always_afresh();
    bench.keep(&whole)?;
    shrink(whole, aim, bench)
}

/// How all of it showed for the first time.
struct First {
    finding: Finding,
    at_end: bool,
    took: Duration,
    reruns: u32,
}

/// Reruns all of it until it shows, in fresh guests. `None`, said why, if it
/// does not.
fn reproduce(
    guests: &mut Guests<'_>,
    recording: &Recording,
    signature: Option<&str>,
    limit: Duration,
    args: &ShrinkArgs,
) -> Result<Option<First>, Failure> {
    let mut others: Vec<String> = Vec::new();
    for rerun in 1..=args.of.get() {
        let Shown { case, end, took } = guests.run_to_the_end(recording, limit)?;
        let by_signature = |findings: &[Finding]| match signature {
            Some(signature) => findings
                .iter()
                .find(|finding| source::is_meant(finding, signature))
                .cloned(),
            None => first_of(findings).cloned(),
        };
        let of_case = by_signature(&case);
        let at_end = of_case.is_none();
        if let Some(finding) = of_case.or_else(|| by_signature(&end)) {
            return Ok(Some(First {
                finding,
                at_end,
                took,
                reruns: rerun,
            }));
        }
        for finding in case.into_iter().chain(end) {
            if !others.contains(&finding.signature) {
                others.push(finding.signature);
            }
        }
    }
    let what = signature.unwrap_or("a finding");
    println!("{what}: did not come back in {} reruns", args.of);
    for other in others {
        println!("  instead: {other}");
    }
    Ok(None)
}

/// Where a finding shows, as far as it says.
fn aim(finding: &Finding, recording: &Recording) -> Aim {
    let Some(difference) = &finding.difference else {
        return Aim {
            phases: Some(Vec::new()),
            ..Aim::default()
        };
    };
    let end = match difference.stage {
        Stage::Setup => Some(0),
        Stage::Trace => difference.op.as_ref().and_then(|op| {
            let own = |(_, line): &(usize, &Line)| line.worker == op.worker;
            let mut lines = recording.trace.iter().enumerate().filter(own);
            lines.nth(op.index).map(|(index, _)| index)
        }),
        Stage::After(lines) => usize::try_from(lines).ok().and_then(|n| n.checked_sub(1)),
        Stage::Tree(_) => None,
    };
    let phases = match difference.stage {
        Stage::Setup | Stage::Trace => Vec::new(),
        Stage::After(_) => vec![Phase::Warm],
        Stage::Tree(phase) => vec![phase],
    };
    Aim {
        arms: Some(vec![difference.arm, difference.reference]),
        phases: Some(phases),
        end,
    }
}

/// A directory for what guests are made of, gone when this process is.
fn work_dir(output: &Path) -> Result<tempfile::TempDir, Failure> {
    std::fs::create_dir_all(output).map_err(Failure::io("make the directory", output))?;
    tempfile::Builder::new()
        .prefix("shrink-")
        .tempdir_in(output)
        .map_err(Failure::io("make a directory in", output))
}

/// Before anything is run for nothing.
fn check_target(out: &Path) -> Result<(), Failure> {
    let directory = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if out.is_dir() || !directory.is_dir() {
        let what = format!(
            "--out {}: not a file in a directory that is there",
            out.display()
        );
        return Err(Failure::Usage(what));
    }
    Ok(())
}
