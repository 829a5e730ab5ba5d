//! Building a kernel, from specification to products.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use thiserror::Error;

use crate::config::{ConfigError, Fragments};
use crate::digest::Digest;
use crate::find::{FindError, KernelFiles, find};
use crate::layout::{Layout, LayoutError};
use crate::lock::{CacheLock, LockError};
use crate::product::{self, Built, ProductError, Stamp};
use crate::run::{RunError, Tool};
use crate::series::{Overlay, Series, SeriesError};
use crate::source::{self, Source, SourceError};
use crate::spec::{BASELINE, BuildSpec, PATCHED, Phase, Profile, Progress, SpecError, is_name};
use crate::toolchain::{self, ToolError};
use crate::worktree::{Worktree, WorktreeError};

/// Why a kernel was not built. Nothing of a failed build is taken for a kernel; the one built
/// before under the same name stays.
#[derive(Debug, Error)]
pub enum Error {
    /// The cache or the series is nowhere.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The specification is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A tool is missing.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The source is missing or unusable.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The series does not apply.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The configuration is not what the fragments ask for.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cache is not writable.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The tree could not be prepared.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// A step of the build failed.
    #[error("building {kernel}: {error}")]
    Run {
        /// The kernel and its profile.
        kernel: String,
        /// What failed.
        error: RunError,
    },
    /// The products could not be put in place.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// There is no such kernel, nor a way to build it.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A file of the cache.
    #[error("cannot use {} in the kernel cache: {error}", path.display())]
    Cache {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Changes when a build from the same input would be done in another way.
const FORMAT: &str = "1";

/// Builds a kernel, or returns at once when the one in the cache was made from the same source,
/// series, configuration and compiler.
///
/// # Errors
/// What is missing or wrong, by name; after a failure of make with its error lines and log.
pub fn build(
    layout: &Layout,
    spec: &BuildSpec,
    progress: &mut dyn Progress,
) -> Result<Built, Error> {
    spec.check()?;
    let mut input = Input::read(layout, spec)?;
    let dir = product::directory(layout, &spec.name, spec.profile);
    if let Some(stamp) = product::stamp(&dir).filter(|stamp| stamp.key == input.key) {
        return Ok(product::built(&dir, stamp));
    }
    toolchain::check()?;
    let purpose = format!("{} ({})", spec.name, spec.profile);
    let lock = CacheLock::take(&layout.lock(), &purpose, progress)?;
    // While we waited, the one we waited for may have built the same, or somebody edited a patch.
    input = Input::read(layout, spec)?;
    if let Some(stamp) = product::stamp(&dir).filter(|stamp| stamp.key == input.key) {
        return Ok(product::built(&dir, stamp));
    }
    Build {
        layout,
        spec,
        input: &input,
        lock: &lock,
    }
    .run(&dir, progress)
}

/// The kernel somebody asked for, current: `patched`, `baseline` and what was built before under
/// a name are brought up to date with what they are made from, an image is taken as it is.
///
/// # Errors
/// As [`build`] and [`find`].
pub fn ensure(
    layout: &Layout,
    wanted: &str,
    profile: Profile,
    progress: &mut dyn Progress,
) -> Result<KernelFiles, Error> {
    let dir = product::directory(layout, wanted, profile);
    let recorded = is_name(wanted).then(|| product::stamp(&dir)).flatten();
    let spec = match (wanted, recorded) {
        (PATCHED, _) => BuildSpec::patched(layout, profile),
        (BASELINE, _) => BuildSpec::baseline(profile),
        (name, Some(stamp)) => {
            let mut spec = BuildSpec::new(name, profile, stamp.patch_dirs);
            spec.src = stamp.src;
            spec
        }
        (_, None) => return Ok(find(layout, wanted, profile)?),
    };
    Ok(build(layout, &spec, progress)?.into())
}

/// Everything that decides what comes out.
struct Input {
    source: Source,
    series: Series,
    fragments: Fragments,
    compiler: String,
    key: String,
}

impl Input {
    fn read(layout: &Layout, spec: &BuildSpec) -> Result<Self, Error> {
        let source = Source::locate(spec.src.as_deref())?;
        let series = Series::read(&spec.patches)?;
        let fragments = Fragments::read(layout, spec.profile)?;
        let compiler = toolchain::identity()?;
        let mut digest = Digest::default();
        digest
            .field(FORMAT)
            .field(&spec.name)
            .field(spec.profile.to_string())
            .field(&compiler);
        series.digest(&mut digest);
        fragments.digest(&mut digest);
        source.digest(&mut digest, |_| true)?;
        let key = digest.hex();
        Ok(Self {
            source,
            series,
            fragments,
            compiler,
            key,
        })
    }
}

/// A build under way.
struct Build<'a> {
    layout: &'a Layout,
    spec: &'a BuildSpec,
    input: &'a Input,
    lock: &'a CacheLock,
}

impl Build<'_> {
    fn run(&self, dir: &Path, progress: &mut dyn Progress) -> Result<Built, Error> {
        let Input {
            source,
            series,
            fragments,
            ..
        } = self.input;
        source.prepare(self.layout, self.lock, progress)?;
        let pristine = source.pristine(self.layout);
        let version = source::version(&pristine)?;

        progress.phase(Phase::Patch);
        let work = self.layout.work(source.id(), self.spec.profile);
        fs::create_dir_all(&work).map_err(cache(&work))?;
        let scratch = tempfile::tempdir_in(&work).map_err(cache(&work))?;
        let overlay = series.apply(&pristine, &version, scratch.path())?;
        let tree = Worktree::new(work);
        tree.sync(source, &pristine, &overlay)?;
        fs::create_dir_all(tree.obj()).map_err(cache(&tree.obj()))?;
        fs::write(tree.log(), "").map_err(cache(&tree.log()))?;

        self.configure(&tree, &overlay, progress)?;
        let absent = fragments.verify(&tree.obj().join(".config"), &tree.src())?;
        for symbol in &absent {
            progress.note(&format!("Linux {version} as built has no {symbol}"));
        }
        self.compile(&tree, progress)?;

        progress.phase(Phase::Publish);
        let release = tree.obj().join("include/config/kernel.release");
        let release = fs::read_to_string(&release).map_err(cache(&release))?;
        let stamp = Stamp {
            key: self.input.key.clone(),
            name: self.spec.name.clone(),
            profile: self.spec.profile,
            release: release.trim().to_owned(),
            version,
            source: source.origin().to_owned(),
            src: self.spec.src.clone(),
            patch_dirs: self.spec.patches.clone(),
            patches: series.names(),
            compiler: self.input.compiler.clone(),
            absent,
            sizes: BTreeMap::new(),
        };
        Ok(product::publish(&tree.obj(), &tree.log(), dir, stamp)?)
    }

    /// Makes the configuration, unless it was made from the same fragments and Kconfig files.
    fn configure(
        &self,
        tree: &Worktree,
        overlay: &Overlay,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let mut digest = Digest::default();
        digest.field(FORMAT).field(&self.input.compiler);
        self.input.fragments.digest(&mut digest);
        self.input.source.digest(&mut digest, is_kconfig)?;
        for (path, content) in overlay.iter().filter(|(path, _)| is_kconfig(path)) {
            digest.field(path.as_os_str().as_bytes());
            digest.field(content.as_ref().map_or(&[][..], |content| &content.bytes));
        }
        let digest = digest.hex();
        let config = tree.obj().join(".config");
        let saved = tree.saved_config(&digest);
        if let Ok(text) = fs::read(&saved) {
            // Rewriting an equal one would have make go through all of Kconfig again.
            if fs::read(&config).ok().as_ref() != Some(&text) {
                fs::write(&config, text).map_err(cache(&config))?;
            }
            return Ok(());
        }
        progress.phase(Phase::Configure);
        self.make(tree, "tinyconfig", |_| {})?;
        self.input.fragments.append_to(&config)?;
        self.make(tree, "olddefconfig", |_| {})?;
        let dir = saved.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(dir).map_err(cache(dir))?;
        let whole = tempfile::NamedTempFile::new_in(dir).map_err(cache(dir))?;
        fs::copy(&config, whole.path()).map_err(cache(&saved))?;
        whole
            .persist(&saved)
            .map_err(|error| cache(&saved)(error.error))?;
        Ok(())
    }

    fn compile(&self, tree: &Worktree, progress: &mut dyn Progress) -> Result<(), Error> {
        progress.phase(Phase::Compile);
        let counted = self.layout.steps(self.spec.profile);
        let from_nothing =
            !tree.obj().join("vmlinux.o").exists() && !tree.obj().join("init/main.o").exists();
        let expected = from_nothing.then(|| {
            fs::read_to_string(&counted)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or_else(|| self.spec.profile.expected_steps())
        });
        let mut done = 0;
        self.make(tree, "bzImage", |line| {
            if is_step(line) {
                done += 1;
                progress.step(done, expected);
            }
        })?;
        if from_nothing {
            // An estimate for the next time; not having it costs nothing.
            let _ = fs::write(&counted, done.to_string());
        }
        Ok(())
    }

    fn make(&self, tree: &Worktree, target: &str, line: impl FnMut(&str)) -> Result<(), Error> {
        let jobs = self.spec.jobs.map_or_else(
            || thread::available_parallelism().map_or(1, std::num::NonZero::get),
            std::num::NonZero::get,
        );
        let mut output = OsString::from("O=");
        output.push(tree.obj());
        let argv: Vec<OsString> = vec![
            "make".into(),
            "-C".into(),
            tree.src().into(),
            output,
            format!("-j{jobs}").into(),
            "ARCH=x86_64".into(),
            format!("LOCALVERSION={}", self.spec.local_version()).into(),
            target.into(),
        ];
        // Fixed words in place of the machine's, so that equal input gives equal images.
        let env = vec![
            ("KBUILD_BUILD_TIMESTAMP", "1970-01-01".to_owned()),
            ("KBUILD_BUILD_USER", "lookback".to_owned()),
            ("KBUILD_BUILD_HOST", "lookback".to_owned()),
            ("KBUILD_BUILD_VERSION", "1".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("LC_ALL", "C".to_owned()),
        ];
        Tool {
            lock: self.lock,
            log: &tree.log(),
            argv,
            env,
            append: true,
        }
        .run(line)
        .map_err(|error| Error::Run {
            kernel: format!("{} ({})", self.spec.name, self.spec.profile),
            error,
        })
    }
}

fn cache(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Cache { path, error }
}

fn is_kconfig(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        name.as_bytes()
            .starts_with(OsStr::new("Kconfig").as_bytes())
    })
}

/// Whether a line of kbuild's output is one of its short commands, such as `  CC      fs/open.o`.
fn is_step(line: &str) -> bool {
    line.strip_prefix("  ")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("  CC      fs/open.o", true)]
    #[case("  HOSTCC  scripts/basic/fixdep", true)]
    #[case("make[1]: Entering directory '/x'", false)]
    #[case("   12 |   int x", false)]
    fn steps(#[case] line: &str, #[case] step: bool) {
        assert_eq!(is_step(line), step);
    }

    #[rstest]
    #[case("fs/fuse/Kconfig", true)]
    #[case("lib/Kconfig.debug", true)]
    #[case("fs/fuse/dir.c", false)]
    fn kconfigs(#[case] path: &str, #[case] expected: bool) {
        assert_eq!(is_kconfig(Path::new(path)), expected);
    }
}
