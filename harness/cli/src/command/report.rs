//! `lookback report`: a run's result again.

use std::{io::IsTerminal, process::ExitCode};

use lookback_report::{
    compare,
    terminal::{Style, render},
};

use crate::{args::ReportArgs, failure::Failure, paths};

/// Prints the result of a run and ends as the run did; or prints where it
/// ended otherwise than another.
pub fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let run = match &args.run {
        Some(run) => run.clone(),
        None => paths::output(&args.output)?.join("latest"),
    };
    let result = lookback_report::read(&run)?;
    if let Some(other) = &args.compare {
        let other = lookback_report::read(other)?;
        let differences = compare(&result, &other);
        for line in &differences {
            println!("{line}");
        }
        println!(
            "{} and {}: {} of {} cases end otherwise",
            result.kernel.name,
            other.kernel.name,
            differences.len(),
            result.cases.len()
        );
        return Ok(ExitCode::from(u8::from(!differences.is_empty())));
    }
    let style = Style {
        color: std::io::stdout().is_terminal(),
    };
    print!("{}", render(&result, style));
    Ok(ExitCode::from(result.exit_code()))
}
