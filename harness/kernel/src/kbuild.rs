//! Calls of the kernel's own make, and the configurations it makes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use crate::build::{Error, cache};
use crate::config::Fragments;
use crate::digest::Digest;
use crate::lock::CacheLock;
use crate::run::{RunError, Tool};
use crate::series::Overlay;
use crate::source::{Source, SourceError};

/// Changes when a build from the same input would be done in another way.
pub(crate) const FORMAT: &str = "1";

/// A source tree and an output tree of make.
pub(crate) struct Kbuild<'a> {
    pub(crate) lock: &'a CacheLock,
    /// The kernel and its profile, for messages.
    pub(crate) kernel: String,
    pub(crate) src: PathBuf,
    pub(crate) obj: PathBuf,
    pub(crate) log: PathBuf,
    /// What follows the version in the kernel release.
    pub(crate) local_version: String,
    /// Parallel jobs; without a number one for each CPU.
    pub(crate) jobs: Option<NonZeroUsize>,
}

impl Kbuild<'_> {
    /// Runs make for a target, and gives each line of its output to `line`.
    pub(crate) fn make(&self, target: &str, line: impl FnMut(&str)) -> Result<(), Error> {
        self.try_make(&[target], line).map_err(|error| Error::Run {
            kernel: self.kernel.clone(),
            error,
        })
    }

    /// As [`Self::make`], for targets and variables, and with the tool's own error.
    pub(crate) fn try_make(&self, args: &[&str], line: impl FnMut(&str)) -> Result<(), RunError> {
        let jobs = self.jobs.map_or_else(
            || thread::available_parallelism().map_or(1, NonZeroUsize::get),
            NonZeroUsize::get,
        );
        let mut output = OsString::from("O=");
        output.push(&self.obj);
        let mut argv: Vec<OsString> = vec![
            "make".into(),
            "-C".into(),
            self.src.clone().into(),
            output,
            format!("-j{jobs}").into(),
            "ARCH=x86_64".into(),
            format!("LOCALVERSION={}", self.local_version).into(),
        ];
        argv.extend(args.iter().map(OsString::from));
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
            log: &self.log,
            argv,
            env,
            append: true,
        }
        .run(line)
    }

    /// Puts the configuration of the fragments in place. `saved` is where it is kept once made,
    /// and tells by its name what it was made from; `making` is called before it is made.
    pub(crate) fn configure(
        &self,
        fragments: &Fragments,
        saved: &Path,
        making: impl FnOnce(),
    ) -> Result<(), Error> {
        let config = self.obj.join(".config");
        if let Ok(text) = fs::read(saved) {
            // Rewriting an equal one would have make go through all of Kconfig again.
            if fs::read(&config).ok().as_ref() != Some(&text) {
                fs::write(&config, text).map_err(cache(&config))?;
            }
            return Ok(());
        }
        making();
        self.make("tinyconfig", |_| {})?;
        fragments.append_to(&config)?;
        self.make("olddefconfig", |_| {})?;
        let dir = saved.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(dir).map_err(cache(dir))?;
        let whole = tempfile::NamedTempFile::new_in(dir).map_err(cache(dir))?;
        fs::copy(&config, whole.path()).map_err(cache(saved))?;
        whole
            .persist(saved)
            .map_err(|error| cache(saved)(error.error))?;
        Ok(())
    }

    /// Makes the directory of the output and empties the log.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let written = |path: &Path, done: io::Result<()>| done.map_err(cache(path));
        written(&self.obj, fs::create_dir_all(&self.obj))?;
        written(&self.log, fs::write(&self.log, ""))
    }
}

/// What a configuration is made from: the fragments, the compiler, and the Kconfig files of the
/// source and of what a series makes of them.
pub(crate) fn config_digest(
    fragments: &Fragments,
    compiler: &str,
    source: &Source,
    overlay: &Overlay,
) -> Result<String, SourceError> {
    let mut digest = Digest::default();
    digest.field(FORMAT).field(compiler);
    fragments.digest(&mut digest);
    source.digest(&mut digest, is_kconfig)?;
    for (path, content) in overlay.iter().filter(|(path, _)| is_kconfig(path)) {
        digest.field(path.as_os_str().as_bytes());
        digest.field(content.as_ref().map_or(&[][..], |content| &content.bytes));
    }
    Ok(digest.hex())
}

fn is_kconfig(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        name.as_bytes()
            .starts_with(OsStr::new("Kconfig").as_bytes())
    })
}

/// Whether a line of kbuild's output is one of its short commands, such as `  CC      fs/open.o`.
pub(crate) fn is_step(line: &str) -> bool {
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
