//! Cases in guests, up to the result.

use std::{
    num::NonZeroU64,
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use lookback_engine::{SocketDir, choose};
use lookback_kernel::Profile;
use lookback_report::{CaseResult, Console, Finding, RunResult};
use lookback_scenario::Plan;
use lookback_wire::control::Arm;

use crate::{
    args::GuestArgs,
    failure::Failure,
    guest::folder::Folder,
    run::{
        case,
        course::{Course, Left, Then},
        end::{End, Evidence, keep},
        findings::{self, About},
        guests::{Guest, Guests},
        kernel, no_extension,
        rig::Parts,
    },
};

/// A run that is over.
#[derive(Debug)]
pub struct Done {
    /// What is known about it.
    pub result: RunResult,
    /// Its directory.
    pub folder: Folder,
    evidence: Evidence,
}

impl Done {
    /// Leaves the result in the run's directory; evidence only if something is
    /// left to prove.
    pub fn keep(&self) -> Result<(), Failure> {
        let holds = self.result.exit_code == 0;
        let bulky = self.evidence.kept().filter(|_| holds);
        keep(&self.result, &self.folder, bulky)
    }
}

/// Runs cases, in a fresh guest after one that something happened to.
pub fn execute(
    plans: &[Plan],
    seed: u64,
    args: &GuestArgs,
    sockets: &SocketDir,
) -> Result<Done, Failure> {
    let began = Instant::now();
    let parts = Parts::find(&args.boot)?;
    let choice = choose(
        args.boot.machine.engine.into(),
        args.boot.machine.tools.qemu.as_deref(),
    )?;
    println!("{}", choice.why);
    let boot_limit = Duration::from_secs(args.boot.boot_timeout.get());
    let mut guests = Guests::new(&parts, choice.engine.as_ref(), sockets, boot_limit)?;
    let guest = guests.take()?;
    let ready = &guest.session.ready;
    println!(
        "Linux {}, agent ready {:.1} s after the start (boot {:.1} s, by the guest's clock {:.1} s)",
        ready.release,
        began.elapsed().as_secs_f64(),
        guest.boot.as_secs_f64(),
        ready.uptime.as_secs_f64()
    );
    let needs_extension = plans
        .iter()
        .any(|plan| plan.case.arms.contains(&Arm::Backed));
    if needs_extension && let Some(lack) = no_extension(&args.boot, ready) {
        let _ = guest.session.power_off();
        return Err(lack);
    }

    // Whatever comes now, the console and the traces are worth a look.
    guests.folder.keep();
    let kernel = kernel(&parts, ready);
    let mut result = RunResult::new(&guests.folder.id, choice.engine.name(), kernel, seed);
    result.boot_ms = Some(millis(guest.boot));
    guests.put_back(guest);
    let mut run = Run {
        limit: case_limit(args),
        about: About::of(&result, &parts),
        course: Course::new(args.fail_fast),
        evidence: Evidence::default(),
        guests,
        result,
    };
    run.cases(plans)?;
    let Run {
        guests,
        mut result,
        evidence,
        ..
    } = run;
    result.guests = guests.booted;
    result.total_ms = millis(began.elapsed());
    result.finish();
    Ok(Done {
        result,
        folder: guests.folder,
        evidence,
    })
}

/// What a case may take.
fn case_limit(args: &GuestArgs) -> Duration {
    let of_profile = match args.boot.profile.into() {
        Profile::Fast | Profile::Kvm => 300,
        Profile::Debug | Profile::Kasan => 1800,
    };
    Duration::from_secs(args.timeout.map_or(of_profile, NonZeroU64::get))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A run in the making.
#[derive(Debug)]
struct Run<'a> {
    guests: Guests<'a>,
    course: Course,
    limit: Duration,
    about: About,
    evidence: Evidence,
    result: RunResult,
}

impl Run<'_> {
    /// Runs the cases, or says why one is not run, and ends the last guest.
    fn cases(&mut self, plans: &[Plan]) -> Result<(), Failure> {
        let bar = ProgressBar::new(plans.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {msg} {wide_bar} {elapsed}") {
            bar.set_style(style);
        }
        for (index, plan) in plans.iter().enumerate() {
            bar.set_message(plan.case.id.clone());
            if let Some(guest) = self.guest_for(plan) {
                self.case(plan, guest, index + 1 < plans.len())?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        match self.guests.take_current() {
            Some(guest) => self.retire(guest, true, true),
            None => Ok(()),
        }
    }

    /// The guest a case runs in. Without one the case has its result.
    fn guest_for(&mut self, plan: &Plan) -> Option<Guest> {
        let mut status = self.course.without_run(plan);
        if status.is_none() {
            match self.guests.take() {
                Ok(mut guest) => {
                    self.greet(&mut guest);
                    return Some(guest);
                }
                Err(failure) => {
                    let number = self.guests.booted + 1;
                    self.result.problem = Some(self.course.no_guest(number, &failure));
                    status = self.course.without_run(plan);
                }
            }
        }
        let bare = |status| CaseResult::new(&plan.scenario, &plan.case.id, &plan.title, status);
        self.result.cases.extend(status.map(bare));
        None
    }

    /// What the kernel of a fresh guest has complained about belongs to no case.
    fn greet(&mut self, guest: &mut Guest) {
        let complaints = std::mem::take(&mut guest.session.boot_findings);
        let told = complaints.into_iter().map(|finding| Console {
            finding: Finding::of_kernel(finding),
            case: None,
            guest: Some(guest.number),
        });
        self.result.console.extend(told);
    }

    fn case(&mut self, plan: &Plan, mut guest: Guest, more: bool) -> Result<(), Failure> {
        let folder = &self.guests.folder;
        let (session, servers) = (&mut guest.session, &guest.rig.servers);
        let mut played = case::run(plan, session, servers, folder, self.limit)?;
        findings::hand_over(folder, &self.about, plan, &mut played)?;
        let mut result = played.result;
        result.guest = Some(guest.number);
        let left = Left::of(played.alive, &result.findings);
        self.result.cases.push(result);
        match self.course.after(&plan.case.id, left, more) {
            Then::Stays => self.guests.put_back(guest),
            Then::Ends => self.retire(guest, played.alive, !more)?,
        }
        Ok(())
    }

    /// Ends a guest, and keeps of it what is worth it.
    fn retire(&mut self, guest: Guest, alive: bool, last: bool) -> Result<(), Failure> {
        let Guest {
            session,
            rig,
            number,
            ..
        } = guest;
        End::of(session, alive, &rig.images).tell(&mut self.result, number, last);
        let directory: &Path = &rig.spec.run_dir;
        self.evidence
            .take(&self.result, number, directory.to_owned())
    }
}
