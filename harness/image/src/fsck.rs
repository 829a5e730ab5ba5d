//! Checking an image after a run.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::tool::{self, ToolError};

/// Why an image could not be checked. A damaged image is no error but a report.
#[derive(Debug, Error)]
pub enum FsckError {
    /// e2fsck is missing or does not start.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// e2fsck gave no verdict.
    #[error("e2fsck cannot check {} ({}):\n{text}", image.display(), ended(*code))]
    NoVerdict {
        /// The image.
        image: PathBuf,
        /// The exit code; none after a signal.
        code: Option<i32>,
        /// What e2fsck said.
        text: String,
    },
}

fn ended(code: Option<i32>) -> String {
    code.map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"))
}

/// What e2fsck found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsckReport {
    /// Whether the file system is whole and was unmounted: no complaint, and exit code 0.
    pub clean: bool,
    /// The lines that say something is wrong. The exit code alone hides some: with `-n` it stays
    /// 0 for wrong free counts, and where only the backup group descriptors could be read.
    pub complaints: Vec<String>,
    /// Whether the journal holds what an unmount would have written back. What else the check
    /// finds then says little.
    pub unrecovered: bool,
    /// The exit code, as in e2fsck(8).
    pub code: i32,
    /// What e2fsck said.
    pub text: String,
}

/// In e2fsck(8)'s exit code: errors were left uncorrected.
const UNCORRECTED: i32 = 4;

/// Checks an image without changing it: `e2fsck -fn`.
///
/// # Errors
/// Where e2fsck is missing or cannot read the image as ext4 at all.
pub fn e2fsck(image: &Path) -> Result<FsckReport, FsckError> {
    let mut command = tool::command("e2fsck")?;
    command.arg("-fn").arg(image);
    let (code, text) = tool::output(command)?;
    match code {
        Some(code @ (0 | UNCORRECTED)) => {
            let unrecovered = text.contains("skipping journal recovery");
            let complaints: Vec<String> = text
                .lines()
                .filter(|line| is_complaint(line))
                .map(str::to_owned)
                .collect();
            let clean = code == 0 && complaints.is_empty();
            Ok(FsckReport {
                clean,
                complaints,
                unrecovered,
                code,
                text,
            })
        }
        code => Err(FsckError::NoVerdict {
            image: image.to_owned(),
            code,
            text,
        }),
    }
}

/// Whether e2fsck would say this of a damaged file system only. Everything but what is known to
/// be harmless is a complaint: the passes, the version, the summary, and hints that an extent
/// tree, correct as it is, could be smaller.
fn is_complaint(line: &str) -> bool {
    let line = line.trim();
    let summary = line.contains(" files (") && line.ends_with(" blocks");
    let hint = line.contains("could be shorter") || line.contains("could be narrower");
    !(line.is_empty()
        || line.starts_with("Pass ")
        || line.starts_with("e2fsck ")
        || summary
        || hint && line.ends_with("Optimize? no"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Pass 1: Checking inodes, blocks, and sizes", false)]
    #[case("Pass 1E: Optimizing extent trees", false)]
    #[case("e2fsck 1.47.0 (5-Feb-2023)", false)]
    #[case(
        "lower: 11/65536 files (0.0% non-contiguous), 8401/131072 blocks",
        false
    )]
    #[case(
        "Inode 12 extent tree (at level 1) could be shorter.  Optimize? no",
        false
    )]
    #[case("Inode 12 ref count is 2, should be 1.  Fix? no", true)]
    #[case("Free blocks count wrong (122879, counted=122671).", true)]
    #[case(
        "Warning: skipping journal recovery because doing a read-only check.",
        true
    )]
    #[case("e2fsck: Group descriptors look bad... trying backup blocks...", true)]
    fn complaints(#[case] line: &str, #[case] expected: bool) {
        assert_eq!(is_complaint(line), expected);
    }
}
