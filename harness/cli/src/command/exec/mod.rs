//! `lookback exec`: a command of this machine's on an arm in a guest, and the
//! checks of a case around it.

mod stage;

use std::{
    env,
    ffi::OsString,
    io,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use lookback_engine::choose;
use lookback_report::{CaseResult, Console, Finding, RunResult, Status, terminal};
use lookback_scenario::{DEFAULT_SEED, Plan};
use lookback_wire::{
    control::{Arm, TAG_BACKED, TAG_PLAIN},
    exec::{ExecPlan, ExecStatus},
};

use crate::{
    args::ExecArgs,
    failure::{Failure, GUEST_CRASHED, GUEST_HUNG, UNABLE},
    guest::{
        exec::ExecReturn,
        host,
        interrupt::Heir,
        session::{Ended, Session},
    },
    run::{
        self, case,
        end::{self, End},
        guests, log, proof,
        rig::{Parts, Rig, sockets},
        served,
        servers::{Begun, Servers},
    },
};

/// Names of directories that are not the same there.
const DIRECTORIES: [&str; 2] = ["PWD", "OLDPWD"];

/// Runs the command and ends as it did, unless something else went wrong.
pub fn exec(args: &ExecArgs) -> Result<ExitCode, Failure> {
    Ok(in_guest(args).unwrap_or_else(|failure| {
        eprintln!("lookback: {failure}");
        failure.passing_exit_code()
    }))
}

fn in_guest(args: &ExecArgs) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    if args.arm == Arm::Plain && !nix::unistd::geteuid().is_root() {
        return Err(Failure::Usage(
            "the server of the arm plain changes owners and makes devices, which needs root".into(),
        ));
    }
    let stage = stage::plan(args.arm, args.rules.as_deref())?;
    let program = program(&args.command, &stage)?;
    let parts = Parts::find(&args.boot)?;
    let machine = &args.boot.machine;
    let choice = choose(machine.engine.into(), machine.tools.qemu.as_deref())?;
    let (sockets, heir) = sockets()?;
    let mut folder = parts.folder()?;
    let mut rig = Rig::build(&parts, &sockets, &folder.path)?;
    let host = host::serve_root(&sockets)?;
    rig.spec.shares.push(host::root_share(&host));
    let places = match rig.servers.begin_case(&stage.rules)? {
        Begun::Ready(places) => places,
        Begun::Unable(why) => return Err(Failure::Usage(why)),
    };

    let booting = Instant::now();
    let limit = Duration::from_secs(args.boot.boot_timeout.get());
    let mut session = guests::boot(choice.engine.as_ref(), &rig, &mut folder, limit)?;
    let boot = booting.elapsed();
    let ready = session.ready.clone();
    if args.arm == Arm::Backed
        && let Some(lack) = run::no_extension(&args.boot, &ready)
    {
        let _ = session.power_off();
        return Err(lack);
    }
    folder.keep();
    let kernel = run::kernel(&parts, &ready);
    let mut result = RunResult::new(&folder.id, choice.engine.name(), kernel, DEFAULT_SEED);
    result.boot_ms = Some(u64::try_from(boot.as_millis()).unwrap_or(u64::MAX));
    let boot_findings = std::mem::take(&mut session.boot_findings);
    result.console = boot_findings.into_iter().map(of_console).collect();

    let journal = session.journal.clone();
    let limit = Duration::from_secs(args.timeout.get());
    let (mut case, back) = run_on(&stage, program, &mut session, &rig.servers, &heir, limit);
    // Why a guest did not let it end is one of the findings.
    let own = back.ended.as_ref().map_or(UNABLE, host::own_status);
    let alive = back.case.ended == Ended::Done;
    case::conclude(&mut case, back.case, &session, limit);
    End::of(session, alive, &rig.images).tell(&mut result, 1, true);
    drop(places);
    let (id, arms) = (&stage.case.id, &stage.case.arms);
    let log = log::write(&folder, id, arms, &journal, &rig.servers.requests())?;
    case.files.push(log);
    result.cases.push(case);
    result.total_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    result.finish();

    let holds = result.exit_code == 0;
    if !holds {
        eprint!("{}", terminal::render(&result, terminal::Style::default()));
        eprintln!("{}", folder.path.display());
    }
    // A reader that has seen enough is no failure; the command has its signal.
    let lost = back
        .lost
        .filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
    if let Some(error) = &lost {
        eprintln!("lookback: the command's output can't be passed on: {error}");
    }
    result.exit_code = status(result.exit_code, own, lost.is_some());
    let bulky = holds.then_some(folder.path.as_path());
    end::keep(&result, &folder, bulky)?;
    Ok(ExitCode::from(result.exit_code))
}

/// What this process ends with: what `run` would end with comes first.
fn status(of_run: u8, own: u8, lost: bool) -> u8 {
    match of_run {
        0 if lost => UNABLE,
        0 => own,
        // A difference is what the server or the disks show: the kernel's doing.
        1 | 3 => GUEST_CRASHED,
        4 => GUEST_HUNG,
        _ => UNABLE,
    }
}

/// The command as the agent is asked to run it.
fn program(command: &[OsString], stage: &Plan) -> Result<ExecPlan, Failure> {
    let mut command = command.to_vec();
    if let Some(first) = command.first_mut() {
        *first = found_from_here(first)?;
    }
    let mut plan = host::plan(&command, &[])?;
    plan.env
        .retain(|(name, _)| !DIRECTORIES.iter().any(|left| name == left.as_bytes()));
    plan.input = true;
    plan.arm = Some(Box::new(stage.case.clone()));
    Ok(plan)
}

/// A program given by a relative path, which is meant from here: there it
/// starts in the arm's directory.
fn found_from_here(program: &OsString) -> Result<OsString, Failure> {
    let path = Path::new(program);
    if path.is_absolute() || path.components().count() < 2 && !path.starts_with(".") {
        return Ok(program.clone());
    }
    let here = env::current_dir().map_err(Failure::io("find the directory", "."))?;
    Ok(here.join(path).into())
}

fn of_console(finding: lookback_triage::Finding) -> Console {
    Console {
        finding: Finding::of_kernel(finding),
        case: None,
        guest: None,
    }
}

/// Runs the program, and judges what it left at the servers.
fn run_on(
    stage: &Plan,
    program: ExecPlan,
    session: &mut Session,
    servers: &Servers,
    heir: &Heir,
    limit: Duration,
) -> (CaseResult, ExecReturn) {
    let mut case = CaseResult::new(
        &stage.scenario,
        &stage.case.id,
        &stage.title,
        Status::Passed,
    );
    let mut back = session.exec(program, limit, Some(heir), &mut host::print);
    if let Ok(ExecStatus::Unable(why)) = &back.ended {
        case.status = Status::NotRun {
            reason: why.clone(),
        };
    }
    if let Err(gone) = &back.ended {
        back.case.ended = gone.clone().into();
    }
    let (backed, plain) = servers.counters();
    let ran = !matches!(back.ended, Ok(ExecStatus::Unable(_)) | Err(_));
    if ran {
        let findings = match stage.case.arms.first() {
            Some(Arm::Backed) => proof::backing(&backed, &stage.case),
            Some(Arm::Devfuse) => served::findings(&stage.case, &back.case.served),
            _ => Vec::new(),
        };
        // A program may look for whatever it likes beside its directory.
        let own = |finding: &Finding| !finding.signature.starts_with(proof::ROOT_LOOKUP);
        for finding in findings.into_iter().filter(own) {
            case.add(finding);
        }
    }
    case.requests = [(TAG_BACKED, &backed), (TAG_PLAIN, &plain)]
        .map(|(tag, counters)| (tag.to_owned(), case::by_name(counters)))
        .into();
    if !back.case.served.is_empty() {
        let requests = served::requests(&back.case.served);
        case.requests.insert(Arm::Devfuse.to_string(), requests);
    }
    (case, back)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::own(0, 7, false, 7)]
    #[case::lost(0, 0, true, UNABLE)]
    #[case::difference(1, 0, false, GUEST_CRASHED)]
    #[case::crash(3, 7, true, GUEST_CRASHED)]
    #[case::hang(4, 0, false, GUEST_HUNG)]
    #[case::unable(5, 0, false, UNABLE)]
    fn the_gravest_is_told(
        #[case] of_run: u8,
        #[case] own: u8,
        #[case] lost: bool,
        #[case] want: u8,
    ) {
        assert_eq!(status(of_run, own, lost), want);
    }

    #[rstest]
    #[case("sh", false)]
    #[case("/bin/sh", false)]
    #[case("./a", true)]
    #[case("a/b", true)]
    #[case("../a", true)]
    fn a_relative_program_is_meant_from_here(#[case] program: &str, #[case] moved: bool) {
        let found = found_from_here(&program.into()).unwrap();
        let here = env::current_dir().unwrap();
        let want = if moved {
            here.join(program)
        } else {
            program.into()
        };
        assert_eq!(found, want);
    }
}
