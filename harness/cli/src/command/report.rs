//! `lookback report`: a run's result again.

use std::{io::IsTerminal, process::ExitCode};

use lookback_report::terminal::{Style, render};

use crate::{args::ReportArgs, failure::Failure, paths};

/// Prints the result of a run and ends as the run did.
pub fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let run = match &args.run {
        Some(run) => run.clone(),
        None => paths::output(&args.output)?.join("latest"),
    };
    let result = lookback_report::read(&run)?;
    let style = Style {
        color: std::io::stdout().is_terminal(),
    };
    print!("{}", render(&result, style));
    Ok(ExitCode::from(result.exit_code()))
}
