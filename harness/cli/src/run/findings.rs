//! The folders of findings: all that somebody else needs to see one again.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use lookback_report::{Finding, Kernel, RunResult, handover::Page};
use lookback_scenario::Plan;
use lookback_wire::control::Arm;

use crate::{
    failure::Failure,
    guest::folder::Folder,
    run::{case::Played, handover, rig::Parts},
};

/// Findings of one case, each with another signature, that get a folder: what
/// follows from an early difference can be hundreds.
const MOST: usize = 5;
/// A trace up to this long is worth a C program; a longer one is shrunk first.
const SHORT: usize = 200;

/// What all findings of a run have in common.
#[derive(Debug)]
pub struct About {
    /// What was booted.
    pub kernel: Kernel,
    /// Its configuration, if it is known.
    pub config: Option<PathBuf>,
    /// What booted it.
    pub engine: String,
    /// Version of lookback.
    pub lookback: String,
}

impl About {
    /// What a run that begins has in common.
    pub fn of(result: &RunResult, parts: &Parts) -> Self {
        Self {
            kernel: result.kernel.clone(),
            config: parts.kernel.config.clone(),
            engine: result.engine.clone(),
            lookback: result.lookback.clone(),
        }
    }

    /// What the head of a program says of where it comes from.
    fn head(&self, plan: &Plan, finding: &Finding, command: &str) -> Vec<String> {
        let Kernel {
            name,
            release,
            profile,
        } = &self.kernel;
        let mut head = vec![
            String::new(),
            format!("found by   lookback {}", self.lookback),
            format!("case       {}", plan.case.id),
            format!("signature  {}", finding.signature),
            format!("kernel     {name}, Linux {release}, profile {profile}"),
        ];
        head.extend(plan.seed.map(|seed| format!("seed       {seed}")));
        head.push(String::new());
        // How to compile it, every program says of itself.
        head.extend(command.lines().skip(1).map(str::to_owned));
        head
    }

    /// The options that choose this kernel again.
    fn options(&self) -> String {
        let Kernel { name, profile, .. } = &self.kernel;
        if self.config.is_some() {
            format!("--kernel {name} --profile {profile}")
        } else {
            format!("--kernel {name}")
        }
    }
}

/// Makes a folder for each finding of a case, up to [`MOST`], and names it in the finding.
pub fn hand_over(
    folder: &Folder,
    about: &About,
    plan: &Plan,
    played: &mut Played,
) -> Result<(), Failure> {
    let result = &mut played.result;
    let mut seen = BTreeSet::new();
    for index in 0..result.findings.len() {
        let finding = &result.findings[index];
        if seen.len() == MOST || !seen.insert(finding.signature.clone()) {
            continue;
        }
        let name = format!("findings/{}-{}", result.id, seen.len());
        let mut made = Made::new(folder, &name)?;
        made.copy(
            &folder
                .path
                .join("traces")
                .join(format!("{}.trace", result.id)),
            "case.trace",
            "the operations and what the server answers, for replay and shrink",
        )?;
        made.copy(
            &folder
                .path
                .join("rules")
                .join(format!("{}.toml", result.id)),
            "rules.toml",
            "what the server answers, for serve and exec",
        )?;
        made.copy(
            &folder.path.join("log").join(format!("{}.log", result.id)),
            "log.txt",
            "the server's requests and the kernel's log, by time",
        )?;
        if let Some(config) = &about.config {
            made.copy(config, "kernel.config", "the kernel's configuration")?;
        }
        let mut commands = vec![(
            format!("lookback replay case.trace {}", about.options()),
            "Run the operations again",
        )];
        let operations = plan.case.trace.len();
        if operations > SHORT {
            commands.push((
                format!(
                    "lookback shrink case.trace -o small.trace {} --signature '{}'",
                    about.options(),
                    finding.signature
                ),
                "Find the few of them that do it",
            ));
        }
        if operations <= SHORT {
            let arm = arm(plan, finding.difference.as_ref().map(|d| d.arm));
            let command = program_command(arm, &about.options());
            let head = about.head(plan, finding, &command);
            match handover::program(&plan.case, &played.outcomes, finding, &head) {
                Ok(text) => {
                    made.write(
                        "reproducer.c",
                        &text,
                        "the same operations as a program, for any kernel",
                    )?;
                    commands.push((command, "Do the same with a program"));
                }
                // The trace is there for every case.
                Err(why) => tracing::debug!("{name} has no program: {why}"),
            }
        }
        let page = Page {
            finding,
            case: &result.id,
            title: &result.title,
            seed: plan.seed,
            operations,
            lookback: &about.lookback,
            engine: &about.engine,
            kernel: &about.kernel,
            files: &made.files,
            commands: &commands,
        };
        let text = page.render();
        fs::write(made.path.join("finding.md"), text)
            .map_err(Failure::io("write", &made.path.join("finding.md")))?;
        result.findings[index].folder = Some(name);
    }
    Ok(())
}

/// Removes the folders of findings that the result does not have any more.
pub fn remove_known(folder: &Folder, result: &RunResult) -> Result<(), Failure> {
    let path = folder.path.join("findings");
    if !path.exists() {
        return Ok(());
    }
    let findings = result.cases.iter().flat_map(|case| &case.findings);
    let kept: BTreeSet<&str> = findings
        .filter_map(|finding| finding.folder.as_deref())
        .collect();
    let entries = fs::read_dir(&path).map_err(Failure::io("read", &path))?;
    for entry in entries {
        let entry = entry.map_err(Failure::io("read", &path))?;
        let name = format!("findings/{}", entry.file_name().to_string_lossy());
        if !kept.contains(name.as_str()) {
            folder.remove(&name)?;
        }
    }
    Ok(())
}

/// The arm a program has to run on to show it: the one that differs, or the
/// first under test.
fn arm(plan: &Plan, differs: Option<Arm>) -> Arm {
    let tested = |arm: &&Arm| Some(**arm) != lookback_oracle::reference(&plan.case.arms);
    differs
        .or_else(|| plan.case.arms.iter().find(tested).copied())
        .unwrap_or(Arm::Backed)
}

/// What runs a program on an arm, typed in the finding's folder.
fn program_command(arm: Arm, options: &str) -> String {
    let rules = match arm {
        Arm::Backed | Arm::Devfuse => " --rules rules.toml",
        Arm::Plain | Arm::Ext4 => "",
    };
    format!(
        "cc -O2 -o reproducer reproducer.c\n\
         lookback exec --arm {arm}{rules} {options} -- ./reproducer"
    )
}

/// A folder in the making.
struct Made {
    path: PathBuf,
    files: Vec<(&'static str, &'static str)>,
}

impl Made {
    fn new(folder: &Folder, name: &str) -> Result<Self, Failure> {
        Ok(Self {
            path: folder.directory(name)?,
            files: Vec::new(),
        })
    }

    /// Copies a file that a run has; some have not all.
    fn copy(&mut self, from: &Path, name: &'static str, what: &'static str) -> Result<(), Failure> {
        if !from.exists() {
            return Ok(());
        }
        let to = self.path.join(name);
        fs::copy(from, &to).map_err(Failure::io("write", &to))?;
        self.files.push((name, what));
        Ok(())
    }

    fn write(&mut self, name: &'static str, text: &str, what: &'static str) -> Result<(), Failure> {
        let to = self.path.join(name);
        fs::write(&to, text).map_err(Failure::io("write", &to))?;
        self.files.push((name, what));
        Ok(())
    }
}
