//! `lookback serve`: the backend alone.

use std::process::ExitCode;

use lookback_fs_backend::{ServeOptions, serve as run};
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

use crate::{args::ServeArgs, failure::Failure};

/// Serves one front end after the other until SIGINT or SIGTERM, then says
/// what was asked for.
pub fn serve(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Before any thread is made, so that all have them blocked.
    let shutdown = signals
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC))
        .map_err(|errno| {
            Failure::io("wait for signals while serving", &args.socket)(errno.into())
        })?;
    let counters = run(
        &ServeOptions {
            socket: args.socket.clone(),
            shared_dir: args.shared_dir.clone(),
            rules: args.rules.clone(),
            tag: args.tag.clone(),
            readonly: args.readonly,
            timeout: None,
        },
        &shutdown,
    )?;
    for (opcode, count) in counters.by_opcode() {
        println!("{opcode:<16} {count}");
    }
    Ok(ExitCode::SUCCESS)
}
