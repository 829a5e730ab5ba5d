//! Running a tool that must not outlive us, its output into a log.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

use crate::lock::CacheLock;

/// Why a tool did not do its work.
#[derive(Debug, Error)]
pub enum RunError {
    /// The log or the tool could not be opened.
    #[error("cannot {what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// The tool ended with an error.
    #[error("{tool} failed ({status}); the log is {}\n{}", log.display(), lines.join("\n"))]
    Failed {
        /// The tool's name.
        tool: String,
        /// How it ended.
        status: ExitStatus,
        /// Everything it said.
        log: PathBuf,
        /// What it said that matters.
        lines: Vec<String>,
    },
}

/// Runs the command beside a watcher that reads a pipe only we hold: when we end, however we
/// end, the watcher kills the process group, compilers and nested makes included. A parent-death
/// signal would reach the outermost make alone.
const GUARD: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null &
child=$!
{ read -r _ <&3; kill -KILL 0; } &
watcher=$!
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// How many telling lines an error carries.
const TELLING: usize = 12;

/// One tool to run under the lock of the cache.
pub(crate) struct Tool<'a> {
    pub(crate) lock: &'a CacheLock,
    pub(crate) log: &'a Path,
    pub(crate) argv: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, String)>,
    /// Whether the log keeps what is in it.
    pub(crate) append: bool,
}

impl Tool<'_> {
    /// Runs the tool and gives each line of its output to `line`.
    pub(crate) fn run(self, mut line: impl FnMut(&str)) -> Result<(), RunError> {
        let tool = self
            .argv
            .first()
            .map(|arg| arg.to_string_lossy().into_owned());
        let tool = tool.unwrap_or_default();
        let fail = |what: String| move |error| RunError::Io { what, error };
        let mut log = OpenOptions::new()
            .create(true)
            .write(true)
            .append(self.append)
            .truncate(!self.append)
            .open(self.log)
            .map_err(fail(format!("write {}", self.log.display())))?;
        let (output, status) = self.spawn(&tool)?;
        let mut telling = Telling::default();
        let mut output = BufReader::new(output);
        let mut buffer = Vec::new();
        while output
            .read_until(b'\n', &mut buffer)
            .map_err(fail(format!("read what {tool} says")))?
            > 0
        {
            // A log on a full disk must not hide the tool's own complaint.
            if let Err(error) = log.write_all(&buffer) {
                telling.take(&format!("cannot write {}: {error}", self.log.display()));
            }
            let text = String::from_utf8_lossy(&buffer);
            let text = text.trim_end();
            telling.take(text);
            line(text);
            buffer.clear();
        }
        let status = status()?;
        if status.success() {
            return Ok(());
        }
        Err(RunError::Failed {
            tool,
            status,
            log: self.log.to_owned(),
            lines: telling.lines(),
        })
    }

    fn spawn(
        &self,
        tool: &str,
    ) -> Result<
        (
            io::PipeReader,
            impl FnOnce() -> Result<ExitStatus, RunError> + use<>,
        ),
        RunError,
    > {
        let what = format!("run {tool}");
        let fail = |error| RunError::Io {
            what: what.clone(),
            error,
        };
        let (output, writer) = io::pipe().map_err(fail)?;
        let (watched, held) = io::pipe().map_err(fail)?;
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(GUARD)
            .arg("lookback-build")
            .args(&self.argv)
            .process_group(0)
            .stdin(Stdio::from(watched))
            .stdout(writer.try_clone().map_err(fail)?)
            .stderr(writer);
        for (name, _) in std::env::vars_os() {
            if is_foreign(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let lock = self.lock.descriptor();
        // A number above those the shell gives away itself, or its `exec 3<&0` drops the lock.
        // SAFETY: the closure runs between fork and exec and makes one fcntl call, which is
        // async-signal-safe; the lock outlives the call to spawn.
        unsafe {
            command.pre_exec(move || {
                // SAFETY: F_DUPFD takes an integer and touches no memory.
                if libc::fcntl(lock, libc::F_DUPFD, 100) == -1 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let mut child = command.spawn().map_err(fail)?;
        // The command holds our copies of the pipe's writing end; while they are open, reading
        // would never end.
        drop(command);
        let what = what.clone();
        Ok((output, move || {
            let status = child.wait().map_err(|error| RunError::Io { what, error });
            drop(held);
            status
        }))
    }
}

/// Whether a variable of our environment would change what a kernel build does: a make above us
/// hands down its flags and job server, a developer's shell its cross compiler.
fn is_foreign(name: &str) -> bool {
    const EXACT: [&str; 22] = [
        "ARCH",
        "CROSS_COMPILE",
        "LLVM",
        "CC",
        "LD",
        "AR",
        "HOSTCC",
        "MAKEFLAGS",
        "MFLAGS",
        "GNUMAKEFLAGS",
        "MAKELEVEL",
        "MAKEOVERRIDES",
        "MAKEFILES",
        "LOCALVERSION",
        "O",
        "V",
        "W",
        "C",
        "M",
        "KCFLAGS",
        "KAFLAGS",
        "HOSTCFLAGS",
    ];
    EXACT.contains(&name) || name.starts_with("KBUILD_") || name.starts_with("KCONFIG_")
}

/// The lines of a tool's output that say why it failed.
#[derive(Default)]
struct Telling {
    errors: Vec<String>,
    last: VecDeque<String>,
}

impl Telling {
    fn take(&mut self, line: &str) {
        const SIGNS: [&str; 8] = [
            "error:",
            "Error ",
            "*** ",
            "fatal",
            "No space left",
            "undefined reference",
            "Cannot ",
            "cannot ",
        ];
        if self.errors.len() < TELLING && SIGNS.iter().any(|sign| line.contains(sign)) {
            self.errors.push(line.to_owned());
        }
        if self.last.len() == TELLING {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    fn lines(self) -> Vec<String> {
        if self.errors.is_empty() {
            self.last.into()
        } else {
            self.errors
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::spec::Silent;

    fn run(script: &str) -> (Result<(), RunError>, Vec<String>, String) {
        let dir = tempfile::tempdir().unwrap();
        let lock = CacheLock::take(&dir.path().join("lock"), "a test", &mut Silent).unwrap();
        let log = dir.path().join("log");
        let mut lines = Vec::new();
        let tool = Tool {
            lock: &lock,
            log: &log,
            argv: vec!["sh".into(), "-c".into(), script.into()],
            env: vec![("GIVEN", "here".to_owned())],
            append: false,
        };
        let done = tool.run(|line| lines.push(line.to_owned()));
        (done, lines, std::fs::read_to_string(&log).unwrap())
    }

    #[test]
    fn output_reaches_the_caller_and_the_log() {
        let (done, lines, log) = run("echo one; echo $GIVEN >&2");
        done.unwrap();
        assert_eq!(lines, ["one", "here"]);
        assert_eq!(log, "one\nhere\n");
    }

    #[rstest]
    #[case(
        "echo fine; echo 'f.c:1: error: broken'; echo more; exit 2",
        "f.c:1: error: broken"
    )]
    #[case("echo just this; exit 1", "just this")]
    fn a_failure_carries_what_matters(#[case] script: &str, #[case] telling: &str) {
        let (done, _, _) = run(script);
        let Err(RunError::Failed { lines, tool, .. }) = done else {
            panic!("{done:?}")
        };
        assert_eq!(tool, "sh");
        assert_eq!(lines, [telling]);
    }

    #[rstest]
    #[case("MAKEFLAGS", true)]
    #[case("KBUILD_VERBOSE", true)]
    #[case("PATH", false)]
    #[case("HOME", false)]
    fn foreign(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_foreign(name), expected);
    }
}
