//! Candidates in guests: many in one, until one does something to it.

use std::time::{Duration, Instant};

use lookback_engine::{Engine, SocketDir};
use lookback_report::{Finding, Status};
use lookback_scenario::Recording;
use lookback_triage::Watcher;
use lookback_wire::control::Arm;

use crate::{
    args::BootArgs,
    failure::Failure,
    run::{
        self, case,
        course::Left,
        end::of_problem,
        guests::{self, Guest},
        rig::Parts,
    },
};

/// How long a guest may take to say what its kernel has logged.
const LOG: Duration = Duration::from_secs(30);

/// What a case showed in a guest of its own.
#[derive(Debug)]
pub struct Shown {
    /// By its end.
    pub case: Vec<Finding>,
    /// Only while the guest ended.
    pub end: Vec<Finding>,
    /// How long the case took.
    pub took: Duration,
}

/// The guests that candidates run in, one after the other.
#[derive(Debug)]
pub struct Guests<'a> {
    guests: guests::Guests<'a>,
    boot: &'a BootArgs,
    cases: u64,
}

impl<'a> Guests<'a> {
    /// None yet.
    pub fn new(
        parts: &'a Parts,
        engine: &'a dyn Engine,
        sockets: &'a SocketDir,
        boot: &'a BootArgs,
    ) -> Result<Self, Failure> {
        let limit = Duration::from_secs(boot.boot_timeout.get());
        Ok(Self {
            guests: guests::Guests::new(parts, engine, sockets, limit)?,
            boot,
            cases: 0,
        })
    }

    /// How many there were.
    pub fn booted(&self) -> u32 {
        self.guests.booted
    }

    /// The next candidate gets a fresh guest.
    pub fn refresh(&mut self) -> Result<(), Failure> {
        self.guests.take_current().map_or(Ok(()), discard)
    }

    /// What a candidate shows by its end. With `kernels` the kernel's log is
    /// read, too: what it says last comes to the console's listener later than
    /// the agent's word that the case is over.
    pub fn run(
        &mut self,
        recording: &Recording,
        limit: Duration,
        kernels: bool,
    ) -> Result<Vec<Finding>, Failure> {
        let mut guest = self.take(recording)?;
        let (mut findings, alive) = self.play(&mut guest, recording, limit)?;
        if alive && kernels {
            add_new(&mut findings, complaints(&mut guest)?);
        }
        match Left::of(alive, &findings) {
            Left::Fit => self.guests.put_back(guest),
            Left::Tainted | Left::Gone => discard(guest)?,
        }
        Ok(findings)
    }

    /// What a case shows in a fresh guest, by its end and by the guest's.
    pub fn run_to_the_end(
        &mut self,
        recording: &Recording,
        limit: Duration,
    ) -> Result<Shown, Failure> {
        self.refresh()?;
        let mut guest = self.take(recording)?;
        let began = Instant::now();
        let (mut case, mut alive) = self.play(&mut guest, recording, limit)?;
        let took = began.elapsed();
        let mut end = Vec::new();
        if alive {
            add_new(&mut case, complaints(&mut guest)?);
            alive = case.iter().all(|finding| finding.complaint.is_none());
        }
        if alive {
            let (complaints, problem) = guest.session.power_off();
            let all = complaints.into_iter().map(Finding::of_kernel);
            add_new(&mut end, all.chain(problem.map(of_problem)).collect());
            guest.rig.remove_bulk()?;
        } else {
            discard(guest)?;
        }
        Ok(Shown { case, end, took })
    }

    fn take(&mut self, recording: &Recording) -> Result<Guest, Failure> {
        let guest = self.guests.take()?;
        if recording.arms.contains(&Arm::Backed)
            && let Some(lack) = run::no_extension(self.boot, &guest.session.ready)
        {
            return Err(lack);
        }
        Ok(guest)
    }

    /// Runs a case; the second value is false if the guest is gone.
    fn play(
        &mut self,
        guest: &mut Guest,
        recording: &Recording,
        limit: Duration,
    ) -> Result<(Vec<Finding>, bool), Failure> {
        self.cases += 1;
        let mut plan = recording.plan(&format!("candidate.{}", self.cases));
        // A disk that fills up would be another reason for something else.
        plan.case.clear = true;
        let played = case::play(&plan, &mut guest.session, &guest.rig.servers, limit)?;
        if let Status::Skipped { reason } = played.result.status {
            return Err(Failure::Usage(reason));
        }
        Ok((played.result.findings, played.alive))
    }
}

/// Ends a guest that nothing is kept of.
fn discard(guest: Guest) -> Result<(), Failure> {
    drop(guest.session);
    guest.rig.remove_bulk()
}

/// What the kernel has complained about since the guest came up.
fn complaints(guest: &mut Guest) -> Result<Vec<Finding>, Failure> {
    let mut found = match guest.session.kernel_log(LOG) {
        Ok(text) => {
            let mut watcher = Watcher::new();
            let mut found = watcher.push(text.as_bytes());
            found.extend(watcher.finish());
            found
        }
        // It died after all.
        Err(Failure::NoAgent { .. }) => std::mem::take(&mut guest.session.boot_findings),
        Err(failure) => return Err(failure),
    };
    found.retain(|finding| !guest.known.contains(&finding.signature));
    Ok(found.into_iter().map(Finding::of_kernel).collect())
}

fn add_new(findings: &mut Vec<Finding>, more: Vec<Finding>) {
    for finding in more {
        if findings
            .iter()
            .all(|known| known.signature != finding.signature)
        {
            findings.push(finding);
        }
    }
}
