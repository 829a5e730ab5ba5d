//! `lookback replay`: trace files as the cases of a run.

use std::{fs, path::Path, process::ExitCode};

use lookback_scenario::{DEFAULT_SEED, Plan, Recording, ScenarioError};
use lookback_wire::control::Arm;

use crate::{args::ReplayArgs, failure::Failure, run};

/// The longest a case's id gets from its file's name: a directory's name has
/// 255 bytes at most, and what is behind the id has to fit in.
const ID_MAX: usize = 120;

/// `lookback replay`.
pub fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    if let Some(arms) = &args.arms {
        run::check_arms(arms)?;
    }
    let mut plans: Vec<Plan> = Vec::new();
    for path in &args.traces {
        let mut recording = read(path, args.arms.as_deref())?;
        if let Some(phases) = &args.phases {
            recording.phases.clone_from(phases);
        }
        let taken = |id: &str| plans.iter().any(|plan| plan.case.id == id);
        plans.push(recording.plan(&fresh(&id(path), taken)));
    }
    let seed = plans.iter().find_map(|plan| plan.seed);
    run::run(plans, seed.unwrap_or(DEFAULT_SEED), &args.guest)
}

/// Reads a trace file, for these arms instead of its own if there are any.
pub fn read(path: &Path, arms: Option<&[Arm]>) -> Result<Recording, Failure> {
    let text = fs::read_to_string(path).map_err(|source| ScenarioError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Recording::parse_for(path, &text, arms)?)
}

/// What the case of a file is called: the file's name as far as it can be part
/// of any file's name.
pub fn id(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let id: String = stem
        .trim_start_matches('.')
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(ID_MAX)
        .collect();
    if id.is_empty() { "trace".into() } else { id }
}

/// The id, or with a number behind it where it is taken.
fn fresh(id: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(id) {
        return id.to_owned();
    }
    let mut number = 2;
    loop {
        let numbered = format!("{id}-{number}");
        if !taken(&numbered) {
            return numbered;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(
        "target/lookback/latest/traces/rename.over-file.entry-0.trace",
        "rename.over-file.entry-0"
    )]
    #[case("my case.trace", "my-case")]
    #[case("../é/ü.trace", "-")]
    #[case(".trace", "trace")]
    #[case("...", "trace")]
    fn a_case_is_called_as_its_file(#[case] path: &str, #[case] name: &str) {
        assert_eq!(id(Path::new(path)), name);
    }

    #[test]
    fn two_files_of_one_name_are_two_cases() {
        assert_eq!(fresh("a", |id| ["a", "a-2"].contains(&id)), "a-3");
        assert_eq!(fresh("b", |_| false), "b");
    }
}
