//! The tools a kernel build needs, and which compiler is used.

use std::env;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use thiserror::Error;

/// What is missing for a build.
#[derive(Debug, Error)]
pub enum ToolError {
    /// Some tools are not installed.
    #[error("a kernel build needs {}; install: apt-get install {}", missing.join(", "), packages.join(" "))]
    Missing {
        /// The tools and headers.
        missing: Vec<String>,
        /// The Debian packages that bring them.
        packages: Vec<&'static str>,
    },
    /// A tool does not start.
    #[error("cannot run {tool}: {error}")]
    Start {
        /// The tool.
        tool: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

/// The programs of a build and the Debian packages that bring them.
const TOOLS: [(&str, &str); 11] = [
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("make", "make"),
    ("bc", "bc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("patch", "patch"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
    ("gzip", "gzip"),
    ("perl", "perl"),
];

/// The header objtool is built with.
const LIBELF: (&str, &str) = ("gelf.h", "libelf-dev");

/// Every Debian package a build from Debian's kernel source needs.
pub const PACKAGES: [&str; 14] = [
    "linux-source-6.12",
    "gcc",
    "libc6-dev",
    "binutils",
    "make",
    "bc",
    "flex",
    "bison",
    "patch",
    "tar",
    "xz-utils",
    "gzip",
    "perl",
    "libelf-dev",
];

/// Checks that everything is installed.
pub(crate) fn check() -> Result<(), ToolError> {
    let mut missing = Vec::new();
    let mut packages = Vec::new();
    for (tool, package) in TOOLS {
        if !in_path(tool) {
            missing.push(tool.to_owned());
            packages.push(package);
        }
    }
    // Without a compiler nothing can be said about headers, and the package is cheap to name.
    if packages.contains(&"gcc") || !has_header(LIBELF.0) {
        missing.push(format!("the header {}", LIBELF.0));
        packages.push(LIBELF.1);
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ToolError::Missing { missing, packages })
    }
}

/// The compiler and linker by their own words; part of what decides whether a build is current.
pub(crate) fn identity() -> Result<String, ToolError> {
    let mut identity = String::new();
    for tool in ["gcc", "ld"] {
        let output = Command::new(tool)
            .arg("--version")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    check().err().unwrap_or(ToolError::Start { tool, error })
                }
                _ => ToolError::Start { tool, error },
            })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let _ = writeln!(identity, "{}", text.lines().next().unwrap_or_default());
    }
    Ok(identity)
}

fn in_path(tool: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(tool).is_file()))
}

fn has_header(header: &str) -> bool {
    Command::new("gcc")
        .args(["-E", "-x", "c", "-include", header, "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
        || Path::new("/usr/include").join(header).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_in_the_list_of_packages() {
        for (_, package) in TOOLS.into_iter().chain([LIBELF]) {
            assert!(PACKAGES.contains(&package), "{package}");
        }
    }

    #[test]
    fn the_message_is_one_line_with_the_packages() {
        let error = ToolError::Missing {
            missing: vec!["flex".to_owned(), "the header gelf.h".to_owned()],
            packages: vec!["flex", "libelf-dev"],
        };
        assert_eq!(
            error.to_string(),
            "a kernel build needs flex, the header gelf.h; install: apt-get install flex libelf-dev"
        );
    }
}
