//! Building a kernel, from specification to products.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::{ConfigError, Fragments};
use crate::digest::Digest;
use crate::find::{FindError, KernelFiles, find};
use crate::kbuild::{FORMAT, Kbuild, config_digest, is_step};
use crate::layout::{Layout, LayoutError};
use crate::lock::{CacheLock, LockError};
use crate::product::{self, Built, ProductError, Stamp};
use crate::run::RunError;
use crate::series::{Series, SeriesError};
use crate::source::{self, Source, SourceError};
use crate::spec::{BuildSpec, Phase, Profile, Progress, SpecError, is_name};
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
    if let Some(stamp) = current(&dir, spec, &input) {
        return Ok(product::built(&dir, stamp));
    }
    toolchain::check()?;
    let purpose = format!("{} ({})", spec.name, spec.profile);
    let lock = CacheLock::take(&layout.lock(), &purpose, progress)?;
    // While we waited, the one we waited for may have built the same, or somebody edited a patch.
    input = Input::read(layout, spec)?;
    if let Some(stamp) = current(&dir, spec, &input) {
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

/// The stamp of the kernel that is built, if it is the one that would be built.
fn current(dir: &Path, spec: &BuildSpec, input: &Input) -> Option<Stamp> {
    product::stamp(dir)
        .filter(|stamp| stamp.key == input.key && (stamp.has_bzimage() || !spec.bzimage))
}

/// The kernel somebody asked for, current: those that have a name from the start and what was
/// built before under a name are brought up to date with what they are made from, an image is taken as it is.
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
    let spec = match (BuildSpec::named(layout, wanted, profile), recorded) {
        (Some(spec), _) => spec,
        (None, Some(stamp)) => BuildSpec {
            bzimage: stamp.has_bzimage(),
            src: stamp.src,
            ..BuildSpec::new(wanted, profile, stamp.patch_dirs)
        },
        (None, None) => return Ok(find(layout, wanted, profile)?),
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
        let fragments = Fragments::read(layout, spec.profile, spec.extension)?;
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
        let kbuild = Kbuild {
            lock: self.lock,
            kernel: format!("{} ({})", self.spec.name, self.spec.profile),
            src: tree.src(),
            obj: tree.obj(),
            log: tree.log(),
            local_version: self.spec.local_version(),
            jobs: self.spec.jobs,
        };
        kbuild.begin()?;

        let digest = config_digest(fragments, &self.input.compiler, source, &overlay)?;
        kbuild.configure(fragments, &tree.saved_config(&digest), || {
            progress.phase(Phase::Configure);
        })?;
        let absent = fragments.verify(&tree.obj().join(".config"), &tree.src())?;
        for symbol in &absent {
            progress.note(&format!("Linux {version} as built has no {symbol}"));
        }
        self.compile(&kbuild, progress)?;

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
            extension: self.spec.extension,
            sizes: BTreeMap::new(),
        };
        let (obj, log) = (tree.obj(), tree.log());
        Ok(product::publish(&obj, &log, dir, self.spec.bzimage, stamp)?)
    }

    fn compile(&self, kbuild: &Kbuild<'_>, progress: &mut dyn Progress) -> Result<(), Error> {
        progress.phase(Phase::Compile);
        let counted = self.layout.steps(self.spec.profile);
        let from_nothing =
            !kbuild.obj.join("vmlinux.o").exists() && !kbuild.obj.join("init/main.o").exists();
        let expected = from_nothing.then(|| {
            fs::read_to_string(&counted)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or_else(|| self.spec.profile.expected_steps())
        });
        let mut done = 0;
        let target = if self.spec.bzimage {
            "bzImage"
        } else {
            "vmlinux"
        };
        kbuild.make(target, |line| {
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
}

/// For `map_err` on a file operation in the cache.
pub(crate) fn cache(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Cache { path, error }
}
