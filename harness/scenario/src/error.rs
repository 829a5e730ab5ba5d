//! What can be wrong with a scenario.

use std::path::PathBuf;

/// A scenario that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A mistake at a place in a file.
    #[error("{}:{line}:{column}: {what}", file.display())]
    At {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there and what was expected.
        what: String,
    },
    /// A file or directory can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A directory without scenarios.
    #[error("{}: there is no scenario file (*.toml) in this directory", directory.display())]
    Empty {
        /// The directory.
        directory: PathBuf,
    },
    /// A recording with a rule that no file can hold.
    #[error("a rule can't be written: {0}")]
    Print(String),
    /// A name no scenario and no case has.
    #[error("there is no scenario or case `{name}`; known: {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The scenarios there are, or the cases if the scenario is known.
        known: Vec<String>,
    },
}
