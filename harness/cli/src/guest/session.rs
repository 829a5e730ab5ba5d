//! A running guest and the conversation with its agent.

use std::time::{Duration, Instant, SystemTime};

use lookback_engine::{Engine, Guest, GuestSpec, Snapshot};
use lookback_oracle::CaseRun;
use lookback_report::Problem;
use lookback_triage::Finding;
use lookback_wire::control::{
    Arm, CasePlan, FromGuest, PROTOCOL, READY, Served, ToGuest, case_is_over,
};

use crate::{
    failure::Failure,
    guest::{
        events::{Event, Events},
        journal::Journal,
        line::Line,
    },
};

/// How long a guest that has said goodbye may take to be gone, and a dying one
/// to print its last words.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// Lines of the console shown when a guest does not come up.
const TAIL: usize = 40;

/// What the agent says of itself when it is ready.
#[derive(Debug, Clone)]
pub struct Ready {
    /// uname -r
    pub release: String,
    /// From the kernel's start to the agent, by the guest's clock.
    pub uptime: Duration,
    /// Why backed arms can't run, if they can't.
    pub no_extension: Option<String>,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The agent has run it to its end.
    Done,
    /// The guest is gone.
    GuestDied(String),
    /// It took longer than it may. The guest has been killed.
    TimedOut,
}

/// Why a guest says nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// It has ended; how that is known.
    Died(String),
    /// It took longer than it may, and has been killed.
    TimedOut,
}

impl From<Gone> for Ended {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Died(why) => Self::GuestDied(why),
            Gone::TimedOut => Self::TimedOut,
        }
    }
}

/// Space of a disk that is in use after a case and was not before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Serial number of the disk.
    pub disk: String,
    /// Blocks; negative if more are free.
    pub blocks: i64,
    /// Inodes; negative if more are free.
    pub inodes: i64,
}

/// What came back from one case.
#[derive(Debug)]
pub struct CaseReturn {
    /// For the oracle.
    pub run: CaseRun,
    /// How it ended.
    pub ended: Ended,
    /// What the kernel complained about meanwhile.
    pub findings: Vec<Finding>,
    /// Arms that could not be mounted or unmounted: what, and whether
    /// something was still in use.
    pub troubles: Vec<(String, bool)>,
    /// What was not free again after the case's directories were removed.
    pub lost: Vec<Lost>,
    /// What the daemon of the arm `devfuse` did, one for each time it was mounted.
    pub served: Vec<Served>,
    /// What the agent itself failed at.
    pub broken: Vec<String>,
    /// Microseconds the trace took on each arm.
    pub micros: Vec<(Arm, u64)>,
}

impl CaseReturn {
    pub(super) fn new() -> Self {
        Self {
            run: CaseRun::default(),
            ended: Ended::Done,
            findings: Vec::new(),
            troubles: Vec::new(),
            lost: Vec::new(),
            served: Vec::new(),
            broken: Vec::new(),
            micros: Vec::new(),
        }
    }
}

/// A running guest. Dropping it ends the guest.
#[derive(Debug)]
pub struct Session {
    guest: Box<dyn Guest>,
    pub(super) line: Line,
    events: Events,
    /// What happened when.
    pub journal: Journal,
    /// How long the engine took to have its machine running.
    pub machine_after: Duration,
    /// What the agent said of itself.
    pub ready: Ready,
    /// What the kernel complained about before the first case.
    pub boot_findings: Vec<Finding>,
}

impl Session {
    /// Boots a guest and waits for its agent.
    pub fn boot(engine: &dyn Engine, spec: &GuestSpec, limit: Duration) -> Result<Self, Failure> {
        let began = Instant::now();
        Self::greet(engine.boot(spec)?, spec, began, limit, &[])
    }

    /// Has a guest go on where `snapshot` was taken of another session's, and
    /// waits for its agent.
    pub fn restore(
        engine: &dyn Engine,
        snapshot: &Snapshot,
        spec: &GuestSpec,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let began = Instant::now();
        let guest = engine.restore(snapshot, spec)?;
        // Its clock stood still since.
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self::greet(guest, spec, began, limit, &[ToGuest::SetClock(now)])
    }

    /// Takes a snapshot of a guest between two cases, when nothing is mounted.
    pub fn snapshot(&mut self) -> Result<Snapshot, lookback_engine::Error> {
        self.guest.snapshot()
    }

    /// Waits for the agent of a guest that is told these things first.
    fn greet(
        mut guest: Box<dyn Guest>,
        spec: &GuestSpec,
        began: Instant,
        limit: Duration,
        first: &[ToGuest],
    ) -> Result<Self, Failure> {
        let machine_after = began.elapsed();
        let deadline = began + limit;
        let (Some(control), Some(console)) = (guest.control(), guest.console()) else {
            return Err(Failure::NoAgent {
                text: "the engine gave no control stream".into(),
                crashed: false,
            });
        };
        let reader = control
            .try_clone()
            .map_err(Failure::io("use the control stream of", &spec.kernel))?;
        let journal = Journal::new(began);
        let mut events = Events::listen(reader, console, journal.clone());
        let mut boot_findings = Vec::new();
        // A guest that does not take it has ended, which its events tell.
        let line = Line::new(control);
        for message in first.iter().chain([&ToGuest::Hello { protocol: PROTOCOL }]) {
            let _ = line.send(message);
        }
        let ready = loop {
            let why = match events.next(deadline) {
                Some(Event::Message(FromGuest::Ready {
                    protocol,
                    release,
                    uptime_ms,
                    extension,
                    extension_error,
                })) => {
                    if protocol != PROTOCOL {
                        let why = format!(
                            "the agent speaks protocol {protocol}, this program {PROTOCOL}: \
                             build both from one checkout"
                        );
                        return Err(Failure::Agent(why));
                    }
                    let lacks = extension_error.unwrap_or_else(|| "it does not say why".into());
                    break Ready {
                        release,
                        uptime: Duration::from_millis(uptime_ms),
                        no_extension: (!extension).then_some(lacks),
                    };
                }
                Some(Event::Message(FromGuest::Broken(why))) => format!("the agent failed: {why}"),
                Some(Event::Message(other)) => {
                    format!("the agent answered the greeting with {other:?}")
                }
                Some(Event::Finding(finding)) => {
                    boot_findings.push(*finding);
                    continue;
                }
                Some(Event::ControlClosed(Some(error))) => {
                    format!("the control stream broke: {error}")
                }
                Some(Event::ControlClosed(None) | Event::ConsoleClosed) => {
                    // An engine that failed by itself is this machine's matter.
                    guest.wait(Instant::now() + LAST_WORDS)?;
                    "the guest ended before its agent answered".to_owned()
                }
                None => format!("no answer from the agent within {} s", limit.as_secs()),
            };
            return Err(no_agent(
                why,
                guest.as_mut(),
                &mut events,
                boot_findings,
                spec,
            ));
        };
        boot_findings.extend(events.settle(READY));
        Ok(Self {
            guest,
            line,
            events,
            journal,
            machine_after,
            ready,
            boot_findings,
        })
    }

    /// Runs one case to its end, the guest's, or the limit's.
    pub fn run_case(&mut self, plan: &CasePlan, limit: Duration) -> CaseReturn {
        let deadline = Instant::now() + limit;
        let mut back = CaseReturn::new();
        self.journal.begin(format!("case {} begins", plan.id));
        let request = ToGuest::RunCase(Box::new(plan.clone()));
        if let Err(error) = self.line.send(&request) {
            self.last_words(&mut back.findings);
            back.ended = Ended::GuestDied(format!("the guest takes no case: {error}"));
            return back;
        }
        loop {
            match self.message(deadline, &mut back.findings) {
                Ok(message) => {
                    if self.take(message, plan, &mut back) {
                        // Or it would be the next case's.
                        back.findings
                            .extend(self.events.settle(&case_is_over(&plan.id)));
                        return back;
                    }
                }
                Err(gone) => {
                    back.ended = gone.into();
                    return back;
                }
            }
        }
    }

    /// The agent's next message, or why there is none: the guest has ended, or
    /// it had not answered by the deadline and was killed. What the kernel
    /// complains about meanwhile, its last words included, goes to `findings`.
    pub(super) fn message(
        &mut self,
        deadline: Instant,
        findings: &mut Vec<Finding>,
    ) -> Result<FromGuest, Gone> {
        match self.message_by(deadline, findings)? {
            Some(message) => Ok(message),
            None => Err(self.time_is_up(findings)),
        }
    }

    /// Kills a guest that took longer than it may.
    pub(super) fn time_is_up(&mut self, findings: &mut Vec<Finding>) -> Gone {
        if let Err(error) = self.guest.kill() {
            tracing::warn!("{error}");
        }
        self.last_words(findings);
        Gone::TimedOut
    }

    /// The agent's next message; `None` if there was none by the deadline.
    pub(super) fn message_by(
        &mut self,
        deadline: Instant,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<FromGuest>, Gone> {
        loop {
            match self.events.next(deadline) {
                Some(Event::Message(message)) => return Ok(Some(message)),
                Some(Event::Finding(finding)) => findings.push(*finding),
                Some(Event::ControlClosed(error)) => {
                    self.last_words(findings);
                    let why = error.map_or_else(String::new, |error| format!(": {error}"));
                    return Err(self.died(&why));
                }
                Some(Event::ConsoleClosed) => return Err(self.died("")),
                None => return Ok(None),
            }
        }
    }

    /// The guest's end, and what its engine has to say of it: a triple fault
    /// leaves nothing on the console.
    fn died(&mut self, why: &str) -> Gone {
        // Its streams are closed: this only lets the engine see its end. An
        // error is in what it has to say.
        let _ = self.guest.wait(Instant::now() + LAST_WORDS);
        let said = self.guest.diagnostics();
        Gone::Died(match said.trim() {
            "" => format!("the guest ended{why}"),
            said => format!("the guest ended{why}; the engine said: {said}"),
        })
    }

    /// Returns whether the message was the case's last.
    pub(super) fn take(&self, message: FromGuest, plan: &CasePlan, back: &mut CaseReturn) -> bool {
        match message {
            FromGuest::Outcomes {
                arm,
                setup,
                worker,
                first,
                outcomes,
            } => {
                let added = back.run.add_outcomes(arm, setup, worker, first, outcomes);
                back.broken
                    .extend(added.err().map(|error| error.to_string()));
            }
            FromGuest::Tree {
                arm,
                phase,
                after,
                snapshot,
            } => match after {
                None => {
                    self.journal.mark(format!("the tree of {arm}, {phase}"));
                    back.run.add_tree(arm, phase, snapshot);
                }
                Some(after) => {
                    self.journal
                        .mark(format!("the tree of {arm} after {after} operations"));
                    back.run.add_checkpoint(arm, after, snapshot);
                }
            },
            FromGuest::Trouble { arm, what, leak } => {
                let arm = arm.map_or_else(String::new, |arm| format!("{arm}: "));
                back.troubles.push((format!("{arm}{what}"), leak));
            }
            FromGuest::Lost {
                disk,
                blocks,
                inodes,
            } => back.lost.push(Lost {
                disk,
                blocks,
                inodes,
            }),
            FromGuest::Served(served) => back.served.push(*served),
            FromGuest::Broken(why) => back.broken.push(why),
            FromGuest::CaseDone { id, micros } => {
                if id != plan.id {
                    back.broken
                        .push(format!("the agent says that case {id} is done"));
                }
                back.micros = micros;
                return true;
            }
            other => back.broken.push(format!("unexpected message {other:?}")),
        }
        false
    }

    fn last_words(&mut self, findings: &mut Vec<Finding>) {
        last_words(&mut self.events, findings);
    }

    /// The last lines of the console.
    pub fn console_tail(&self) -> String {
        self.guest.console_tail(TAIL)
    }

    /// Has the guest unmount everything and reset. Returns what the kernel
    /// still complained about, and why the guest did not end as it should, if
    /// so.
    pub fn power_off(mut self) -> (Vec<Finding>, Option<Problem>) {
        let mut findings = Vec::new();
        let sent = self.line.send(&ToGuest::PowerOff);
        let mut problem = sent
            .err()
            .map(|error| Problem::Crash(format!("the guest can't be told to power off: {error}")));
        let deadline = Instant::now() + LAST_WORDS;
        let mut bye = false;
        while problem.is_none() {
            match self.events.next(deadline) {
                Some(Event::Finding(finding)) => findings.push(*finding),
                Some(Event::Message(FromGuest::Bye)) => bye = true,
                Some(Event::Message(FromGuest::Trouble { what, .. })) => {
                    problem = Some(Problem::Crash(what));
                }
                Some(Event::Message(FromGuest::Broken(why))) => problem = Some(Problem::Crash(why)),
                Some(Event::Message(other)) => {
                    problem = Some(Problem::Crash(format!("unexpected {other:?}")));
                }
                Some(Event::ControlClosed(_)) => {}
                Some(Event::ConsoleClosed) => break,
                None => {
                    problem = Some(Problem::Hang(format!(
                        "the guest still ran {} s after it was told to power off",
                        LAST_WORDS.as_secs()
                    )));
                }
            }
        }
        if problem.is_none() && !bye {
            let what = "the guest ended without having unmounted everything";
            problem = Some(Problem::Crash(what.into()));
        }
        if problem.is_some() {
            // The run has failed already; this only sees that nothing is left.
            let _ = self.guest.kill();
            self.last_words(&mut findings);
        }
        match self.guest.wait(deadline) {
            Ok(Some(_)) => {}
            Ok(None) => {
                problem
                    .get_or_insert_with(|| Problem::Hang("the guest's machine did not end".into()));
            }
            Err(error) => {
                // QEMU itself, or a disk too full for the console's log.
                problem.get_or_insert_with(|| Problem::Environment(error.to_string()));
            }
        }
        (findings, problem)
    }
}

/// Collects what the kernel still says until the console ends.
fn last_words(events: &mut Events, findings: &mut Vec<Finding>) {
    let deadline = Instant::now() + LAST_WORDS;
    loop {
        match events.next(deadline) {
            Some(Event::Finding(finding)) => findings.push(*finding),
            Some(Event::ConsoleClosed) | None => return,
            Some(_) => {}
        }
    }
}

/// Ends a guest whose agent did not answer, and gathers all that may say why.
fn no_agent(
    why: String,
    guest: &mut dyn Guest,
    events: &mut Events,
    mut findings: Vec<Finding>,
    spec: &GuestSpec,
) -> Failure {
    let mut text = why;
    if let Err(error) = guest.kill() {
        text.push_str(&format!("; {error}"));
    }
    last_words(events, &mut findings);
    for finding in &findings {
        text.push_str(&format!("; its kernel: {}", finding.title));
    }
    let log = spec.run_dir.join("console.log");
    let tail = guest.console_tail(TAIL);
    if tail.is_empty() {
        text.push_str("; its console stayed empty");
    } else {
        text.push_str(&format!("; the end of {}:\n{tail}", log.display()));
    }
    let said = guest.diagnostics();
    if !said.trim().is_empty() {
        text.push_str("\nand the engine said:\n");
        text.push_str(&said);
    }
    Failure::NoAgent {
        text,
        crashed: !findings.is_empty(),
    }
}
