//! `lookback doctor`: what this machine can run.

use std::process::ExitCode;

use lookback_engine::{Request, choose};
use lookback_kernel::Layout;

use crate::{failure::Failure, paths};

/// Says what a run would use, and what it lacks.
pub fn doctor() -> Result<ExitCode, Failure> {
    println!("{}", choose(Request::Auto, None)?.why);

    let layout = Layout::discover()?;
    println!("kernel cache {}", layout.cache.display());
    let built = lookback_kernel::list(&layout);
    if built.is_empty() {
        println!("no kernel is built: `make kernel`");
    }
    for kernel in built {
        println!(
            "kernel {} ({}): Linux {}",
            kernel.name, kernel.profile, kernel.release
        );
    }

    match paths::agent(None) {
        Ok(path) => println!("agent {}", path.display()),
        Err(error) => println!("{error}"),
    }
    if !nix::unistd::geteuid().is_root() {
        println!("{}", crate::run::PLAIN_NEEDS_ROOT);
    }
    Ok(ExitCode::SUCCESS)
}
