//! QEMU's microvm machine as an engine.

mod args;
mod monitor;
mod tsc;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::console::{Console, pair};
use crate::error::Error;
use crate::guest::{Engine, Exit, Guest, Snapshot};
use crate::process::Process;
use crate::spec::GuestSpec;

pub use args::Accel;

/// How long QEMU may take to get its machine running: it maps the memory and
/// connects to the backends, the guest's own boot is not in it.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of QEMU's standard error that an error message shows.
const STDERR_SHOWN: usize = 4096;

/// Boots guests on QEMU's microvm machine.
#[derive(Debug, Clone)]
pub struct Qemu {
    binary: PathBuf,
    accel: Accel,
}

impl Qemu {
    /// `qemu-system-x86_64` from `$PATH`.
    pub fn new(accel: Accel) -> Self {
        Self::with_binary(accel, "qemu-system-x86_64")
    }

    /// Another build of QEMU: a name looked up in `$PATH`, or a path.
    pub fn with_binary(accel: Accel, binary: impl Into<PathBuf>) -> Self {
        Qemu {
            binary: binary.into(),
            accel,
        }
    }
}

impl Engine for Qemu {
    fn name(&self) -> &'static str {
        match self.accel {
            Accel::Tcg => "qemu+tcg",
            Accel::TcgSvm => "qemu+tcg+svm",
        }
    }

    fn boot(&self, spec: &GuestSpec) -> Result<Box<dyn Guest>, Error> {
        spec.check()?;
        // Descriptors instead of socket files: connected before QEMU starts, so
        // that no byte of the console is lost, and nothing is left to remove.
        let (console, qemu_console) = pair()?;
        let (control, qemu_control) = pair()?;
        let (monitor, qemu_monitor) = pair()?;
        let descriptors = args::Descriptors {
            console: qemu_console.as_raw_fd(),
            control: qemu_control.as_raw_fd(),
            monitor: qemu_monitor.as_raw_fd(),
        };
        let stderr = spec.run_dir.join("qemu.stderr");
        let stderr_file = File::create(&stderr).map_err(|source| Error::Unreadable {
            what: "log of QEMU's errors",
            path: stderr.clone(),
            source,
        })?;
        let mut command = Command::new(&self.binary);
        command
            .args(args::arguments(spec, self.accel, descriptors)?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr_file);
        tracing::debug!(?command, "starting QEMU");
        let console = Console::start(console, &spec.run_dir.join("console.log"))?;
        let inherited = vec![
            qemu_console.into(),
            qemu_control.into(),
            qemu_monitor.into(),
        ];
        let process = Process::spawn(command, inherited).map_err(|source| {
            let binary = self.binary.clone();
            match source.kind() {
                io::ErrorKind::NotFound => Error::NoQemu { binary },
                _ => Error::Spawn { binary, source },
            }
        })?;
        let mut guest = QemuGuest {
            process,
            console,
            control: Some(control),
            stderr,
            monitor,
            killed: false,
        };
        guest.await_start()?;
        Ok(Box::new(guest))
    }
}

/// A guest of [`Qemu`].
#[derive(Debug)]
struct QemuGuest {
    /// Dropped first: the console's end of file follows.
    process: Process,
    console: Console,
    control: Option<UnixStream>,
    /// Kept open for QEMU's sake.
    monitor: UnixStream,
    stderr: PathBuf,
    killed: bool,
}

impl QemuGuest {
    /// Returns when QEMU's main loop answers its monitor.
    fn await_start(&mut self) -> Result<(), Error> {
        match monitor::greet(&mut self.monitor, START_LIMIT) {
            Ok(monitor::Greeting::Running) => Ok(()),
            Ok(monitor::Greeting::Refused(answer)) => Err(Error::Monitor(answer)),
            Ok(monitor::Greeting::Silent) => Err(Error::QemuSilent {
                limit: START_LIMIT,
                stderr: self.diagnostics(),
            }),
            Ok(monitor::Greeting::Gone) => {
                // The monitor is closed by QEMU's exit.
                let status = self.status(Instant::now() + START_LIMIT)?;
                let stderr = self.diagnostics();
                Err(match status {
                    Some(status) => Error::QemuFailed { status, stderr },
                    None => Error::QemuSilent {
                        limit: START_LIMIT,
                        stderr,
                    },
                })
            }
            Err(source) => Err(Error::System {
                what: "talk to QEMU's monitor",
                source,
            }),
        }
    }

    fn status(&self, deadline: Instant) -> Result<Option<std::process::ExitStatus>, Error> {
        self.process.wait(deadline).map_err(|source| Error::System {
            what: "wait for QEMU",
            source,
        })
    }
}

impl Guest for QemuGuest {
    fn control(&mut self) -> Option<UnixStream> {
        self.control.take()
    }

    fn console(&mut self) -> Option<Receiver<Vec<u8>>> {
        self.console.take_chunks()
    }

    fn console_tail(&self, lines: usize) -> String {
        self.console.tail(lines)
    }

    fn diagnostics(&self) -> String {
        last_of(&self.stderr)
    }

    fn wait(&mut self, deadline: Instant) -> Result<Option<Exit>, Error> {
        let Some(status) = self.status(deadline)? else {
            return Ok(None);
        };
        self.console.finish()?;
        if !status.success() && !self.killed {
            return Err(Error::QemuFailed {
                status,
                stderr: self.diagnostics(),
            });
        }
        Ok(Some(Exit {
            killed: self.killed,
        }))
    }

    fn kill(&mut self) -> Result<(), Error> {
        self.killed |= self.process.kill().map_err(|source| Error::System {
            what: "kill QEMU",
            source,
        })?;
        self.console.finish()
    }

    fn snapshot(&mut self) -> Result<Snapshot, Error> {
        Err(Error::NoSnapshots("qemu"))
    }
}

impl Drop for QemuGuest {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!("{error}");
        }
    }
}

/// The end of QEMU's standard error.
fn last_of(path: &Path) -> String {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return format!("({} is unreadable: {error})", path.display()),
    };
    let shown = &bytes[bytes.len().saturating_sub(STDERR_SHOWN)..];
    String::from_utf8_lossy(shown).trim().to_owned()
}
