//! Finding and running the programs of e2fsprogs.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// Why a program does not run.
#[derive(Debug, Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("{0} is missing; install: apt-get install e2fsprogs")]
    Missing(&'static str),
    /// It does not start.
    #[error("cannot run {}: {error}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A command for the program, in the C locale and without input.
pub(crate) fn command(program: &'static str) -> Result<Command, ToolError> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian leaves these out of an ordinary user's PATH.
    let dirs = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = search(program, dirs).ok_or(ToolError::Missing(program))?;
    let mut command = Command::new(found);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    Ok(command)
}

fn search(program: &str, mut dirs: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    dirs.find_map(|dir| Some(dir.join(program)).filter(|path| path.is_file()))
}

/// Runs it; the exit code (`None` after a signal) and everything it said.
pub(crate) fn output(mut command: Command) -> Result<(Option<i32>, String), ToolError> {
    let output = command.output().map_err(|error| ToolError::Start {
        path: Path::new(command.get_program()).to_owned(),
        error,
    })?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_a_missing_program_is_named() {
        let text = command("mkfs.nothing").unwrap_err().to_string();
        assert_eq!(
            text,
            "mkfs.nothing is missing; install: apt-get install e2fsprogs"
        );
    }
}
