//! Candidates in guests: many in one, until one does something to it.

use std::time::{Duration, Instant};

use lookback_engine::{Engine, SocketDir};
use lookback_report::{Finding, Kind, Problem, Status};
use lookback_scenario::Recording;
use lookback_triage::Watcher;
use lookback_wire::control::Arm;

use crate::{
    args::BootArgs,
    failure::Failure,
    guest::session::Session,
    run::{
        self, case,
        rig::{Parts, Rig},
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
    parts: &'a Parts,
    engine: &'a dyn Engine,
    sockets: &'a SocketDir,
    boot: &'a BootArgs,
    current: Option<Guest>,
    cases: u64,
    /// How many there were.
    pub booted: u64,
}

#[derive(Debug)]
struct Guest {
    // Ends before what it is made of.
    session: Session,
    rig: Rig,
    /// What its kernel had said before the first case.
    known: Vec<String>,
}

impl<'a> Guests<'a> {
    /// None yet.
    pub fn new(
        parts: &'a Parts,
        engine: &'a dyn Engine,
        sockets: &'a SocketDir,
        boot: &'a BootArgs,
    ) -> Self {
        Self {
            parts,
            engine,
            sockets,
            boot,
            current: None,
            cases: 0,
            booted: 0,
        }
    }

    /// The next candidate gets a fresh guest.
    pub fn refresh(&mut self) {
        self.current = None;
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
            add_new(&mut findings, guest.complaints()?);
        }
        // What is wrong with a kernel or its mounts would be with the next
        // candidate's, too.
        let clean = |finding: &Finding| finding.kind == Kind::Difference;
        if alive && findings.iter().all(clean) {
            self.current = Some(guest);
        }
        Ok(findings)
    }

    /// What a case shows in a fresh guest, by its end and by the guest's.
    pub fn run_to_the_end(
        &mut self,
        recording: &Recording,
        limit: Duration,
    ) -> Result<Shown, Failure> {
        self.refresh();
        let mut guest = self.take(recording)?;
        let began = Instant::now();
        let (mut case, mut alive) = self.play(&mut guest, recording, limit)?;
        let took = began.elapsed();
        let mut end = Vec::new();
        if alive {
            add_new(&mut case, guest.complaints()?);
            alive = case.iter().all(|finding| finding.complaint.is_none());
        }
        if alive {
            let (complaints, problem) = guest.session.power_off();
            let all = complaints.into_iter().map(Finding::of_kernel);
            add_new(&mut end, all.chain(problem.map(of_problem)).collect());
        }
        Ok(Shown { case, end, took })
    }

    fn take(&mut self, recording: &Recording) -> Result<Guest, Failure> {
        let guest = match self.current.take() {
            Some(guest) => guest,
            None => {
                let mut rig = Rig::build(self.parts, self.sockets)?;
                let limit = Duration::from_secs(self.boot.boot_timeout.get());
                let mut session = run::boot_guest(self.engine, &mut rig, limit)?;
                self.booted += 1;
                let known = std::mem::take(&mut session.boot_findings);
                let known = known.into_iter().map(|finding| finding.signature).collect();
                Guest {
                    session,
                    rig,
                    known,
                }
            }
        };
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

impl Guest {
    /// What the kernel has complained about since the guest came up.
    fn complaints(&mut self) -> Result<Vec<Finding>, Failure> {
        let mut found = match self.session.kernel_log(LOG) {
            Ok(text) => {
                let mut watcher = Watcher::new();
                let mut found = watcher.push(text.as_bytes());
                found.extend(watcher.finish());
                found
            }
            // It died after all.
            Err(Failure::NoAgent { .. }) => std::mem::take(&mut self.session.boot_findings),
            Err(failure) => return Err(failure),
        };
        found.retain(|finding| !self.known.contains(&finding.signature));
        Ok(found.into_iter().map(Finding::of_kernel).collect())
    }
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

/// Why a guest did not end as it should.
fn of_problem(problem: Problem) -> Finding {
    match problem {
        Problem::Hang(what) => Finding::new(Kind::Hang, "guest:end", what),
        Problem::Crash(what) | Problem::Environment(what) => {
            Finding::new(Kind::Crash, "guest:end", what)
        }
    }
}
