//! One case: run, judged, and told as a result.

use std::{collections::BTreeMap, time::Duration};

use lookback_fs_backend::Counters;
use lookback_oracle::{CaseRun, context, digests, judge};
use lookback_report::{CaseResult, Finding, Kind, Status};
use lookback_scenario::{Plan, Recording};
use lookback_wire::{
    control::{Arm, TAG_BACKED, TAG_PLAIN},
    rules::Rules,
};

use crate::{
    failure::Failure,
    guest::{
        folder::Folder,
        session::{CaseReturn, Ended, Session},
    },
    run::{
        log, proof, served,
        servers::{Begun, Servers},
    },
};

/// Operations shown before one that differs.
const CONTEXT: usize = 10;

/// How a case went.
#[derive(Debug)]
pub struct Played {
    /// Judged and told.
    pub result: CaseResult,
    /// What each operation gave on each arm.
    pub outcomes: CaseRun,
    /// False if the guest is gone.
    pub alive: bool,
}

/// Writes down what the case is, runs it, and says how it went.
pub fn run(
    plan: &Plan,
    session: &mut Session,
    servers: &Servers,
    folder: &Folder,
    limit: Duration,
) -> Result<Played, Failure> {
    let files = record(plan, folder)?;
    let mut played = play(plan, session, servers, limit)?;
    let result = &mut played.result;
    result.files = files;
    if !result.findings.is_empty() {
        let (arms, journal) = (&plan.case.arms, &session.journal);
        let log = log::write(folder, &result.id, arms, journal, &servers.requests())?;
        result.files.push(log);
    }
    Ok(played)
}

/// Runs a case, and says how it went.
pub fn play(
    plan: &Plan,
    session: &mut Session,
    servers: &Servers,
    limit: Duration,
) -> Result<Played, Failure> {
    let id = &plan.case.id;
    let mut result = CaseResult::new(&plan.scenario, id, &plan.title, Status::Passed);

    // Only the backed share has rules, and only its arm a use for the files.
    let rules = if plan.case.arms.contains(&Arm::Backed) {
        plan.rules.clone()
    } else {
        Rules::default()
    };
    let _places = match servers.begin_case(&rules)? {
        Begun::Ready(places) => places,
        Begun::Unable(why) => {
            result.status = Status::Skipped { reason: why };
            return Ok(Played {
                result,
                outcomes: CaseRun::default(),
                alive: true,
            });
        }
    };
    let mut back = session.run_case(&plan.case, limit);
    let (backed, plain) = servers.counters();

    let alive = back.ended == Ended::Done;
    if alive && plan.case.clear {
        servers.clear_case(id);
    }
    if alive {
        result.judged(judge(&plan.case, &back.run), |difference| {
            context(&plan.case, difference, CONTEXT)
        });
        result.digest = digests(&plan.case, &back.run);
        if plan.case.arms.contains(&Arm::Backed) {
            let findings = if plan.case.root_dir {
                proof::backed_root(&backed)
            } else {
                proof::backing(&backed, &plan.case)
            };
            for finding in findings {
                result.add(finding);
            }
        }
    }
    if alive && plan.case.arms.contains(&Arm::Devfuse) {
        for finding in served::findings(&plan.case, &back.served) {
            result.add(finding);
        }
    }
    result.requests = [(TAG_BACKED, &backed), (TAG_PLAIN, &plain)]
        .map(|(tag, counters)| (tag.to_owned(), by_name(counters)))
        .into();
    if !back.served.is_empty() {
        let requests = served::requests(&back.served);
        result.requests.insert(Arm::Devfuse.to_string(), requests);
    }
    result.micros = back.micros.iter().copied().collect();
    session.journal.mark(format!("case {id} ends"));
    let outcomes = std::mem::take(&mut back.run);
    conclude(&mut result, back, session, limit);
    Ok(Played {
        result,
        outcomes,
        alive,
    })
}

/// The trace and the rules, as files of the run.
fn record(plan: &Plan, folder: &Folder) -> Result<Vec<String>, Failure> {
    let id = &plan.case.id;
    let trace = format!("{id}.trace");
    folder.write("traces", &trace, &Recording::of(plan).print()?)?;

    let rules = format!("{id}.toml");
    let text = toml::to_string(&plan.rules)
        .map_err(|error| Failure::Usage(format!("the rules of {id} can't be written: {error}")))?;
    folder.write("rules", &rules, &text)?;
    Ok(vec![format!("traces/{trace}"), format!("rules/{rules}")])
}

pub fn by_name(counters: &Counters) -> BTreeMap<String, u64> {
    counters
        .by_opcode()
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

/// Adds what is not the oracle's: the kernel's complaints, and how it ended.
pub fn conclude(result: &mut CaseResult, back: CaseReturn, session: &Session, limit: Duration) {
    let crashed = !back.findings.is_empty();
    for finding in back.findings {
        result.add(Finding::of_kernel(finding));
    }
    for (what, leak) in back.troubles {
        let kind = if leak { Kind::Leak } else { Kind::Difference };
        result.add(Finding::new(kind, format!("mount:{what}"), what));
    }
    for lost in back.lost {
        let signature = format!("space:{}", lost.disk);
        let title = format!(
            "{}: {} blocks and {} inodes less are free than before the case, its files removed",
            lost.disk, lost.blocks, lost.inodes
        );
        result.add(Finding::new(Kind::Leak, signature, title));
    }
    for why in back.broken {
        let title = format!("the agent failed: {why}");
        result.add(Finding::new(Kind::Crash, "agent:broken", title));
    }
    let (kind, signature, title) = match back.ended {
        Ended::Done => return,
        // What the kernel said tells more than that it is gone.
        Ended::GuestDied(_) if crashed => return,
        Ended::GuestDied(why) => (Kind::Crash, "guest:died", why),
        Ended::TimedOut => (
            Kind::Hang,
            "case:timeout",
            format!("the case was not over after {} s", limit.as_secs()),
        ),
    };
    let mut finding = Finding::new(kind, signature, title);
    finding.text = session.console_tail().lines().map(str::to_owned).collect();
    result.add(finding);
}
