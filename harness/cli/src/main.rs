//! The `lookback` command.

mod args;
mod command;
mod failure;
mod paths;
mod progress;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Args, Command, KernelCommand},
    failure::Failure,
};

fn main() -> ExitCode {
    // clap ends with 2 for what it can't parse and with 0 for --help.
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("LOOKBACK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    match dispatch(args.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("lookback: {failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => run::scenarios(&args),
        Command::Fsstress(args) => run::fsstress(&args),
        Command::Serve(args) => command::serve::serve(&args),
        Command::Kernel(KernelCommand::Build(args)) => command::kernel::build(&args),
        Command::Kernel(KernelCommand::List) => command::kernel::list(),
        Command::List => command::list::list(),
        Command::Report(args) => command::report::report(&args),
        Command::Doctor => command::doctor::doctor(),
    }
}
