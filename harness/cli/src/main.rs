//! The `lookback` command.

mod args;
mod command;
mod failure;
mod guest;
mod paths;
mod progress;
mod run;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, parser::ValueSource};
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::{
    args::{Args, BenchCommand, Command, KernelCommand},
    failure::Failure,
};

fn main() -> ExitCode {
    let parsed = Args::command()
        .try_get_matches()
        .and_then(|matches| Ok((Args::from_arg_matches(&matches)?, matches)));
    let (args, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return not_parsed(&error),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("LOOKBACK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    match dispatch(args.command, &matches) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("lookback: {failure}");
            failure.exit_code()
        }
    }
}

/// Prints help to whoever asked for it, and what is wrong with the arguments
/// as everything else that is wrong: on one line.
fn not_parsed(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;

    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        error.exit();
    }
    let text = error.to_string();
    let what: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .collect();
    let what = what.join(" ");
    eprintln!("lookback: {}", what.trim_start_matches("error: "));
    ExitCode::from(2)
}

/// Has a reader that has seen enough, as in `lookback list | head`, end a command
/// that only prints. The others ignore the signal, as Rust's programs do: they
/// write to sockets whose peers may be gone.
fn end_with_the_reader() {
    // SAFETY: no handler is installed that could run at a bad time, and no other
    // thread is there yet to change it, too.
    let set = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    if let Err(error) = set {
        tracing::warn!("SIGPIPE: {error}");
    }
}

/// Whether an option of the command was given, and does not only have its
/// default.
fn is_given(matches: &ArgMatches, option: &str) -> bool {
    let source = matches
        .subcommand()
        .and_then(|(_, matches)| matches.value_source(option));
    source.is_some_and(|source| source != ValueSource::DefaultValue)
}

fn dispatch(command: Command, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    if let Command::Kernel(KernelCommand::List)
    | Command::List
    | Command::Report(_)
    | Command::Doctor = command
    {
        end_with_the_reader();
    }
    match command {
        Command::Run(args) => run::scenarios(&args),
        Command::Fsstress(args) => run::fsstress(&args),
        Command::Replay(args) => command::replay::replay(&args),
        Command::Shrink(args) => {
            command::shrink::shrink_case(&args, |option| is_given(matches, option))
        }
        Command::Serve(args) => command::serve::serve(&args),
        Command::Kernel(KernelCommand::Build(args)) => command::kernel::build(&args),
        Command::Kernel(KernelCommand::List) => command::kernel::list(),
        Command::Kernel(KernelCommand::Series(args)) => command::kernel::series(&args),
        Command::Exec(args) => command::exec::exec(&args),
        Command::Nested(args) => command::nested::nested(&args),
        Command::Bench(BenchCommand::Boot(args)) => command::bench::boot(&args),
        Command::Mutants(args) => command::mutants::mutants(&args),
        Command::List => command::list::list(),
        Command::Report(args) => command::report::report(&args),
        Command::Doctor => command::doctor::doctor(),
    }
}
