//! `lookback list`: the scenarios and their cases.

use std::process::ExitCode;

use lookback_scenario::{Library, Overrides};

use crate::{failure::Failure, paths};

/// Prints every scenario with its cases.
pub fn list() -> Result<ExitCode, Failure> {
    let library = Library::load(&paths::checkout()?.join("scenarios"))?;
    for scenario in library.scenarios() {
        println!("{}: {}", scenario.name, scenario.about);
        for plan in scenario.expand(&Overrides::default()) {
            println!("    {}: {}", plan.case.id, plan.title);
        }
    }
    Ok(ExitCode::SUCCESS)
}
