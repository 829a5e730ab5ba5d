//! `lookback bench boot`: from nothing to an agent that answers, on each engine
//! that works here, and from a snapshot where the engine takes one.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use lookback_engine::{Engine, Error, Request, Snapshot, SocketDir, choose};
use lookback_report::Status;
use lookback_scenario::{Library, Overrides, Plan};
use lookback_wire::control::Arm;

use crate::{
    args::BenchBootArgs,
    command::bench::figures::Figures,
    failure::Failure,
    guest::{folder::Folder, session::Session},
    paths,
    run::{
        case,
        rig::{Parts, Rig, sockets},
    },
};

/// The case a restored guest has to pass for its figure to count.
const PROOF: &str = "lookup.file";
/// How long it may take.
const PROOF_LIMIT: Duration = Duration::from_secs(300);

/// What was measured of one way to a running guest.
#[derive(Debug, Default)]
struct Row {
    name: String,
    /// Until the engine's machine runs, or goes on.
    machine: Figures,
    /// Until the agent has answered, images and servers included.
    ready: Figures,
}

/// Measures.
pub fn boot(args: &BenchBootArgs) -> Result<ExitCode, Failure> {
    let parts = Parts::find(&args.boot)?;
    let (sockets, _) = sockets()?;
    let requests: &[Request] = match args.boot.machine.engine.into() {
        Request::Auto => &[Request::Kvm, Request::Qemu],
        Request::Kvm => &[Request::Kvm],
        Request::Qemu => &[Request::Qemu],
    };
    let bench = Bench {
        parts: &parts,
        sockets: &sockets,
        proof: proof()?,
        runs: args.runs.get(),
        limit: Duration::from_secs(args.boot.boot_timeout.get()),
    };
    let mut rows = Vec::new();
    for request in requests {
        match choose(*request, args.boot.machine.tools.qemu.as_deref()) {
            Ok(choice) => rows.extend(bench.engine(choice.engine.as_ref())?),
            Err(error @ Error::NoKvm(_)) if requests.len() > 1 => println!("left out: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    print!("{}", table(&rows, bench.runs));
    Ok(ExitCode::SUCCESS)
}

/// The case, without the arm that needs root.
fn proof() -> Result<Plan, Failure> {
    let scenarios = paths::checkout()?.join("scenarios");
    let overrides = Overrides {
        arms: Some(vec![Arm::Backed, Arm::Ext4]),
        ..Overrides::default()
    };
    let mut plans = Library::load(&scenarios)?.plans(&[PROOF.to_owned()], &overrides)?;
    Ok(plans.remove(0))
}

struct Bench<'a> {
    parts: &'a Parts,
    sockets: &'a SocketDir,
    proof: Plan,
    runs: u32,
    limit: Duration,
}

/// A guest that is up.
struct Started {
    // In the order they end in.
    session: Session,
    rig: Rig,
    folder: Folder,
}

impl Bench<'_> {
    /// Boots guests, and restores as many if the engine takes snapshots.
    fn engine(&self, engine: &dyn Engine) -> Result<Vec<Row>, Failure> {
        let mut row = Row {
            name: engine.name().to_owned(),
            ..Row::default()
        };
        let mut snapshot = None;
        for _ in 0..self.runs {
            let mut guest =
                self.start(&mut row, |rig| Session::boot(engine, &rig.spec, self.limit))?;
            if snapshot.is_none() {
                snapshot = take(&mut guest.session)?;
            }
            end(guest)?;
        }
        let mut rows = vec![row];
        if let Some(snapshot) = snapshot {
            let mut row = Row {
                name: format!("{}, restored", engine.name()),
                ..Row::default()
            };
            for _ in 0..self.runs {
                let mut guest = self.start(&mut row, |rig| {
                    Session::restore(engine, &snapshot, &rig.spec, self.limit)
                })?;
                self.prove(&mut guest)?;
                end(guest)?;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// One guest, from making its images to the agent's answer.
    fn start(
        &self,
        row: &mut Row,
        session: impl FnOnce(&Rig) -> Result<Session, Failure>,
    ) -> Result<Started, Failure> {
        let began = Instant::now();
        let mut folder = self.parts.folder()?;
        let rig = Rig::build(self.parts, self.sockets, &folder.path)?;
        match session(&rig) {
            Ok(session) => {
                row.machine.add(session.machine_after);
                row.ready.add(began.elapsed());
                Ok(Started {
                    session,
                    rig,
                    folder,
                })
            }
            Err(failure) => {
                if matches!(failure, Failure::NoAgent { .. }) {
                    folder.keep();
                    rig.remove_bulk()?;
                }
                Err(failure)
            }
        }
    }

    /// A guest that is up early and wrong would be no figure.
    fn prove(&self, guest: &mut Started) -> Result<(), Failure> {
        let (session, servers) = (&mut guest.session, &guest.rig.servers);
        let played = case::run(&self.proof, session, servers, &guest.folder, PROOF_LIMIT)?;
        let result = played.result;
        match result.status {
            Status::Passed => Ok(()),
            status => Err(Failure::Agent(format!(
                "a restored guest does not pass {PROOF}: {status:?}"
            ))),
        }
    }
}

/// A snapshot, if the engine takes any.
fn take(session: &mut Session) -> Result<Option<Snapshot>, Failure> {
    let began = Instant::now();
    match session.snapshot() {
        Ok(snapshot) => {
            println!(
                "a snapshot was taken in {:.3} s",
                began.elapsed().as_secs_f64()
            );
            Ok(Some(snapshot))
        }
        Err(Error::NoSnapshots(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Ends a guest, which must unmount and reset as any other.
fn end(guest: Started) -> Result<(), Failure> {
    let (findings, problem) = guest.session.power_off();
    drop(guest.rig);
    match (findings.first(), problem) {
        (None, None) => Ok(()),
        (Some(finding), _) => Err(Failure::Agent(format!(
            "the guest's kernel: {}",
            finding.title
        ))),
        (None, Some(problem)) => Err(Failure::Agent(format!("{problem:?}"))),
    }
}

/// Seconds, and ratios to the first row.
fn table(rows: &[Row], runs: u32) -> String {
    let runs = format!("{runs} runs each");
    let three = format!("{:>7} {:>7} {:>7}", "min", "median", "max");
    let mut table = format!(
        "{runs:<16}  {:<23}  {:<23}\n{:<16}  {three}  {three}  ratio\n",
        "machine runs (s)", "agent ready (s)", ""
    );
    let base = rows.first().and_then(|row| row.ready.median());
    for row in rows {
        let ratio = match (row.ready.median(), base) {
            (Some(median), Some(base)) => median.as_secs_f64() / base.as_secs_f64(),
            _ => f64::NAN,
        };
        table.push_str(&format!(
            "{:<16}  {}  {}  {ratio:5.2}\n",
            row.name,
            row.machine.show(),
            row.ready.show()
        ));
    }
    table
}
