//! What is known about a run when it is over.

use std::{collections::BTreeMap, time::SystemTime};

use lookback_oracle::{Difference, Verdict};
use lookback_triage::Kind as Complaint;
use lookback_wire::control::Arm;
use serde::{Deserialize, Serialize};

use crate::against::Against;

/// Version of result.json; another one is refused by name.
pub const FORMAT: u32 = 1;

/// The kernel a run booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Its name here (`patched`, `baseline`), or its file.
    pub name: String,
    /// What it calls itself (`uname -r`); empty if it never got to say.
    pub release: String,
    /// The configuration it was built with (`fast`, `debug`).
    pub profile: String,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Status {
    /// Every comparison held.
    Passed,
    /// There is at least one difference.
    Failed,
    /// All it found, the kernel it was held against shows too.
    Known,
    /// It was not meant to run here.
    Skipped {
        /// Why.
        reason: String,
    },
    /// The guest kernel crashed or warned during it.
    Crashed,
    /// It did not end in time.
    Hung,
    /// It was meant to run and did not.
    NotRun {
        /// Why.
        reason: String,
    },
}

impl Status {
    /// Its name, without the reason that some have.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Known => "known",
            Self::Skipped { .. } => "skipped",
            Self::Crashed => "crashed",
            Self::Hung => "hung",
            Self::NotRun { .. } => "not run",
        }
    }
}

/// What sort of thing a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An arm is not like the reference, or the backing is not real.
    Difference,
    /// The guest kernel crashed or warned.
    Crash,
    /// Something was not given back: a file system that stays busy.
    Leak,
    /// Something took longer than its limit.
    Hang,
}

/// One difference, crash, hang or leak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What sort of thing it is.
    pub kind: Kind,
    /// The same in every run that shows the same bug.
    pub signature: String,
    /// In one line.
    pub title: String,
    /// What belongs to it: the operations before it, or a piece of the console.
    pub text: Vec<String>,
    /// The difference, if it is one of the oracle's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// What the guest kernel complained about, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<Complaint>,
    /// Its folder in the run's directory, if it has one: all that is needed to
    /// see it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

impl Finding {
    /// A finding of the oracle; `context` are the operations that led to it.
    #[must_use]
    pub fn of_difference(difference: Difference, context: Vec<String>) -> Self {
        Self {
            kind: Kind::Difference,
            signature: difference.signature(),
            title: difference.to_string(),
            text: context,
            difference: Some(difference),
            complaint: None,
            folder: None,
        }
    }

    /// A complaint of the guest kernel. What it did not give back is a leak, all else a crash.
    #[must_use]
    pub fn of_kernel(finding: lookback_triage::Finding) -> Self {
        let kind = match finding.kind {
            Complaint::BusyInodes | Complaint::DentryInUse | Complaint::KernelLeak => Kind::Leak,
            _ => Kind::Crash,
        };
        Self {
            kind,
            signature: finding.signature,
            title: finding.title,
            text: finding.text.lines().map(str::to_owned).collect(),
            difference: None,
            complaint: Some(finding.kind),
            folder: None,
        }
    }

    /// A finding of another sort.
    #[must_use]
    pub fn new(kind: Kind, signature: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            kind,
            signature: signature.into(),
            title: title.into(),
            text: Vec::new(),
            difference: None,
            complaint: None,
            folder: None,
        }
    }
}

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The scenario.
    pub scenario: String,
    /// The case.
    pub id: String,
    /// What it proves.
    pub title: String,
    /// How it ended.
    #[serde(flatten)]
    pub status: Status,
    /// The guest it ran in, of several; the first is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<u32>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Findings that were left out of `findings` for their number.
    pub omitted: u64,
    /// Operations whose outcomes on every arm were compared.
    pub operations: u64,
    /// Trees compared with the reference's.
    pub trees: u64,
    /// How often each legitimate difference was met.
    pub excused: BTreeMap<String, u64>,
    /// A digest of each arm's outcomes (`trace`) and of its tree in each phase,
    /// the same in every run of one plan and kernel; none where workers run free.
    #[serde(default)]
    pub digest: BTreeMap<Arm, BTreeMap<String, String>>,
    /// Microseconds each arm's trace took.
    pub micros: BTreeMap<Arm, u64>,
    /// Requests the server of each share answered, by opcode.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
    /// Files of the run's directory that belong to it: trace, rules.
    pub files: Vec<String>,
}

impl CaseResult {
    /// Findings of one case that are kept whatever they are; what follows from
    /// an early difference can be thousands. Of further ones the first of each
    /// signature is kept.
    pub const MAX_FINDINGS: usize = 100;

    /// A case of which nothing is known but how it ended.
    #[must_use]
    pub fn new(scenario: &str, id: &str, title: &str, status: Status) -> Self {
        Self {
            scenario: scenario.to_owned(),
            id: id.to_owned(),
            title: title.to_owned(),
            status,
            guest: None,
            findings: Vec::new(),
            omitted: 0,
            operations: 0,
            trees: 0,
            excused: BTreeMap::new(),
            digest: BTreeMap::new(),
            micros: BTreeMap::new(),
            requests: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    /// Takes over what the oracle says: its differences become findings and
    /// decide between `Passed` and `Failed`, unless the case ended worse.
    /// `context` gives the operations that led to a difference.
    pub fn judged(&mut self, verdict: Verdict, context: impl Fn(&Difference) -> Vec<String>) {
        self.operations = verdict.operations;
        self.trees = verdict.trees;
        self.excused = verdict
            .excused
            .into_iter()
            .map(|(id, n)| (id.to_owned(), n))
            .collect();
        for difference in verdict.differences {
            let lines = if self.findings.len() < Self::MAX_FINDINGS {
                context(&difference)
            } else {
                vec![]
            };
            self.add(Finding::of_difference(difference, lines));
        }
    }

    /// Adds a finding; a case that passed has failed now, or crashed or hung
    /// if that is what was found.
    pub fn add(&mut self, finding: Finding) {
        self.status = match (&self.status, finding.kind) {
            (Status::Crashed, _) | (_, Kind::Crash) => Status::Crashed,
            (Status::Hung, _) | (_, Kind::Hang) => Status::Hung,
            _ => Status::Failed,
        };
        let is_new = || {
            self.findings
                .iter()
                .all(|known| known.signature != finding.signature)
        };
        let keep = self.findings.len() < Self::MAX_FINDINGS
            || finding.kind != Kind::Difference
            || is_new();
        if keep {
            self.findings.push(finding);
        } else {
            self.omitted += 1;
        }
    }

    /// Seconds all arms' traces took together.
    #[must_use]
    pub(crate) fn seconds(&self) -> String {
        let micros: u64 = self.micros.values().sum();
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

/// Something on the console that belongs to no case, or to the run as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// What was found.
    pub finding: Finding,
    /// The case that was running.
    pub case: Option<String>,
    /// The guest whose console it is, of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<u32>,
}

/// How a file system check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum FsckStatus {
    /// e2fsck found nothing.
    Clean,
    /// e2fsck found something.
    Errors,
    /// It was meant to run and did not.
    NotRun {
        /// Why.
        reason: String,
    },
    /// It was not meant to run: the guest had not unmounted the image, for a
    /// reason that is told elsewhere.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// The check of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fsck {
    /// The image: `lower`, `ext4`.
    pub image: String,
    /// The guest whose it was, of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<u32>,
    /// How it ended.
    #[serde(flatten)]
    pub status: FsckStatus,
    /// What e2fsck said.
    pub output: String,
}

/// Why a run ended before its cases did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "text", rename_all = "kebab-case")]
pub enum Problem {
    /// This machine, or this kernel, can't run it.
    Environment(String),
    /// The guest did not get where it should in time.
    Hang(String),
    /// The guest ended by itself.
    Crash(String),
}

/// Guests of a run that says nothing of them.
fn one() -> u32 {
    1
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`FORMAT`]
    pub format: u32,
    /// The run's directory.
    pub run: String,
    /// Version of lookback.
    pub lookback: String,
    /// What booted the guest, with its accelerator.
    pub engine: String,
    /// What it booted.
    pub kernel: Kernel,
    /// The seed of generated loads.
    pub seed: u64,
    /// When it began, UTC, RFC 3339.
    pub started: String,
    /// Milliseconds from the engine's start to the agent's answer, of the first
    /// guest.
    pub boot_ms: Option<u64>,
    /// Milliseconds in all.
    pub total_ms: u64,
    /// Guests that came up.
    #[serde(default = "one")]
    pub guests: u32,
    /// Operations compared in all cases.
    pub operations: u64,
    /// The cases, in the order they were planned.
    pub cases: Vec<CaseResult>,
    /// What the console showed.
    pub console: Vec<Console>,
    /// The checks of the images.
    pub fsck: Vec<Fsck>,
    /// Why it ended early, or how its last guest ended.
    pub problem: Option<Problem>,
    /// The run on another kernel it was held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
    /// What `lookback` ended with.
    pub exit_code: u8,
}

impl RunResult {
    /// A run that begins now.
    #[must_use]
    pub fn new(run: &str, engine: &str, kernel: Kernel, seed: u64) -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        Self {
            format: FORMAT,
            run: run.to_owned(),
            lookback: env!("CARGO_PKG_VERSION").to_owned(),
            engine: engine.to_owned(),
            kernel,
            seed,
            started: now.to_string(),
            boot_ms: None,
            total_ms: 0,
            guests: one(),
            operations: 0,
            cases: Vec::new(),
            console: Vec::new(),
            fsck: Vec::new(),
            problem: None,
            against: None,
            exit_code: 5,
        }
    }

    /// The scenarios, in the order of their first case.
    pub(crate) fn scenarios(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for case in &self.cases {
            if !names.contains(&case.scenario.as_str()) {
                names.push(&case.scenario);
            }
        }
        names
    }
}
