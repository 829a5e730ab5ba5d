//! The check of the repository's series as maintainers take one: every patch in good style, and
//! every prefix building by itself.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::build::{Error, cache};
use crate::config::Fragments;
use crate::kbuild::{Kbuild, config_digest, is_step};
use crate::layout::Layout;
use crate::lock::CacheLock;
use crate::run::RunError;
use crate::series::Series;
use crate::source::{self, Source};
use crate::spec::{Phase, Profile, Progress};
use crate::toolchain;
use crate::worktree::Worktree;

/// What the series changes, as a target of make.
const TARGET: &str = "fs/fuse/";
/// Makes compilers' warnings errors. Not for Kconfig, to which overridden symbols are warnings.
const WERROR: &str = "W=e";

/// Why a series is not ready.
#[derive(Debug, Error)]
pub enum CheckError {
    /// It did not come to a check: something is missing, or a patch does not apply.
    #[error(transparent)]
    Build(#[from] Error),
    /// checkpatch.pl cannot be run.
    #[error("cannot run {}: {error}", script.display())]
    Start {
        /// The script.
        script: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// checkpatch.pl has something to say.
    #[error("{patch}: checkpatch.pl --strict says:\n{output}")]
    Style {
        /// The patch's file name.
        patch: String,
        /// What was said.
        output: String,
    },
    /// A prefix of the series does not build.
    #[error(
        "{patch}: the series up to here does not build with the extension {extension}: {error}"
    )]
    Prefix {
        /// The file name of the prefix's last patch.
        patch: String,
        /// `on` or `off`.
        extension: &'static str,
        /// What failed.
        error: RunError,
    },
}

impl CheckError {
    /// Whether the series was judged, and found wanting.
    #[must_use]
    pub fn is_verdict(&self) -> bool {
        matches!(self, Self::Style { .. } | Self::Prefix { .. })
    }
}

/// A patch that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedPatch {
    /// Its file name.
    pub name: String,
    /// The last word of checkpatch.pl: `total: 0 errors, 0 warnings, 0 checks, …`.
    pub style: String,
    /// How often fs/fuse was built with the series up to it.
    pub builds: usize,
    /// How long all this took.
    pub took: Duration,
}

/// Checks the patches of the series one after the other: checkpatch.pl of the source, `--strict`,
/// and fs/fuse built with warnings as errors, with the symbols of `extension.config` on and off.
/// Tells `each` of every patch that is ready, and ends at the first that is not.
///
/// # Errors
/// As [`crate::build`], and what the series is found to lack.
pub fn check_series(
    layout: &Layout,
    src: Option<&Path>,
    jobs: Option<NonZeroUsize>,
    progress: &mut dyn Progress,
    each: &mut dyn FnMut(&CheckedPatch),
) -> Result<(), CheckError> {
    toolchain::check().map_err(Error::from)?;
    let source = Source::locate(src).map_err(Error::from)?;
    let series = Series::read(&[layout.patches()]).map_err(Error::from)?;
    let compiler = toolchain::identity().map_err(Error::from)?;
    let what = "the prefixes of the series";
    let take = |lock: &Path, progress: &mut dyn Progress| {
        CacheLock::take(lock, what, progress).map_err(Error::from)
    };
    let shared = take(&layout.lock(), progress)?;
    source
        .prepare(layout, &shared, progress)
        .map_err(Error::from)?;
    // This takes minutes in trees of its own, and nobody's kernel has to wait for it.
    drop(shared);
    let lock = take(&layout.series_lock(), progress)?;
    let pristine = source.pristine(layout);
    let check = Check {
        version: source::version(&pristine).map_err(Error::from)?,
        work: layout.series_work(source.id()),
        pristine,
        source,
        compiler,
        lock,
        jobs,
        fragments: [
            (
                "on",
                Fragments::read(layout, Profile::Fast, true).map_err(Error::from)?,
            ),
            (
                "off",
                Fragments::read(layout, Profile::Fast, false).map_err(Error::from)?,
            ),
        ],
    };
    for (index, patch) in series.paths().enumerate() {
        let began = Instant::now();
        let name = patch.file_name().unwrap_or(patch.as_os_str());
        let name = name.to_string_lossy().into_owned();
        progress.phase(Phase::Patch);
        let style = check.style(patch, &name)?;
        let builds = check.prefix(&series.prefix(index + 1), &name, progress)?;
        each(&CheckedPatch {
            name,
            style,
            builds,
            took: began.elapsed(),
        });
    }
    Ok(())
}

struct Check {
    source: Source,
    pristine: PathBuf,
    version: String,
    work: PathBuf,
    compiler: String,
    lock: CacheLock,
    jobs: Option<NonZeroUsize>,
    /// By the state of the extension.
    fragments: [(&'static str, Fragments); 2],
}

impl Check {
    /// What checkpatch.pl says in the end, if that is good.
    fn style(&self, patch: &Path, name: &str) -> Result<String, CheckError> {
        let script = self.pristine.join("scripts/checkpatch.pl");
        let start = |error| CheckError::Start {
            script: script.clone(),
            error,
        };
        // perl would say it is missing in words of its own, and that is no verdict.
        std::fs::metadata(&script).map_err(start)?;
        let patch = patch.canonicalize().map_err(start)?;
        // Inside a checkout that has the patch under its control, checkpatch would take it for a
        // source file of that checkout.
        let output = Command::new("perl")
            .arg(&script)
            .args(["--strict", "--patch", "--color=never"])
            .arg(&patch)
            .current_dir(&self.pristine)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(start)?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        let total = text.lines().find(|line| line.starts_with("total: "));
        if let Some(total) = total
            && output.status.success()
            && total.starts_with("total: 0 errors, 0 warnings, 0 checks, ")
        {
            return Ok(total.to_owned());
        }
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Err(CheckError::Style {
            patch: name.to_owned(),
            output: text,
        })
    }

    /// Builds what the series changes, once for each state of the extension.
    fn prefix(
        &self,
        series: &Series,
        name: &str,
        progress: &mut dyn Progress,
    ) -> Result<usize, CheckError> {
        std::fs::create_dir_all(&self.work).map_err(cache(&self.work))?;
        let scratch = tempfile::tempdir_in(&self.work).map_err(cache(&self.work))?;
        let overlay = series
            .apply(&self.pristine, &self.version, scratch.path())
            .map_err(Error::from)?;
        let tree = Worktree::new(self.work.clone());
        tree.sync(&self.source, &self.pristine, &overlay)
            .map_err(Error::from)?;
        for (extension, fragments) in &self.fragments {
            let kbuild = Kbuild {
                lock: &self.lock,
                kernel: format!("{name} with the extension {extension}"),
                src: tree.src(),
                obj: self.work.join(format!("obj.{extension}")),
                log: tree.log(),
                local_version: "-series".to_owned(),
                jobs: self.jobs,
            };
            kbuild.begin()?;
            let digest = config_digest(fragments, &self.compiler, &self.source, &overlay)
                .map_err(Error::from)?;
            kbuild.configure(fragments, &tree.saved_config(&digest), || {
                progress.phase(Phase::Configure);
            })?;
            fragments
                .verify(&kbuild.obj.join(".config"), &kbuild.src)
                .map_err(Error::from)?;
            progress.phase(Phase::Compile);
            let mut done = 0;
            kbuild
                .try_make(&[WERROR, TARGET], |line| {
                    if is_step(line) {
                        done += 1;
                        progress.step(done, None);
                    }
                })
                .map_err(|error| CheckError::Prefix {
                    patch: name.to_owned(),
                    extension,
                    error,
                })?;
        }
        Ok(self.fragments.len())
    }
}
