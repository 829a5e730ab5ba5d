//! What can keep a guest from booting or ending well.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// What can keep a guest from booting or ending well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file the guest is made of is missing or closed to us.
    #[error("cannot use the {what} {}: {source}", path.display())]
    Unreadable {
        /// Its part in the guest.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The guest asks for something no device can give.
    #[error("this guest cannot be built: {0}")]
    Spec(String),
    /// A socket path longer than `sun_path`.
    #[error(
        "the socket path {} has {length} bytes, unix sockets take 107: use a shorter directory",
        path.display()
    )]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// No directory for sockets could be made.
    #[error("cannot make a directory for sockets in {}: {source}", parent.display())]
    SocketDir {
        /// Where it was to be.
        parent: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// QEMU is not installed.
    #[error("{} is not installed: apt-get install qemu-system-x86", binary.display())]
    NoQemu {
        /// The program that was not found.
        binary: PathBuf,
    },
    /// QEMU is there but cannot be started.
    #[error("cannot start {}: {source}", binary.display())]
    Spawn {
        /// The program.
        binary: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// QEMU ended before its machine ran, or ended with an error.
    #[error("QEMU ended with {status}: {}", said(stderr))]
    QemuFailed {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its standard error.
        stderr: String,
    },
    /// QEMU runs but does not answer on its monitor.
    #[error("QEMU did not get its machine running within {} s: {}", limit.as_secs(), said(stderr))]
    QemuSilent {
        /// How long it had.
        limit: Duration,
        /// What it wrote to its standard error.
        stderr: String,
    },
    /// QEMU's monitor turned down the greeting.
    #[error("QEMU's monitor said {0:?} in answer to qmp_capabilities")]
    Monitor(String),
    /// The console log is incomplete.
    #[error("cannot write the console log {}: {source}", path.display())]
    ConsoleLog {
        /// The log.
        path: PathBuf,
        /// Why not (a full disk, most often).
        source: io::Error,
    },
    /// A pipe, thread or signal failed us.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Our own machine: not built, or ended by an error of KVM's or its own.
    #[error("the machine on KVM: {0}")]
    Machine(lookback_vmm::Error),
    /// The engine knows no snapshots.
    #[error("the engine {0} takes no snapshots: they need --engine kvm")]
    NoSnapshots(&'static str),
    /// The engine asked for cannot run here.
    #[error("--engine kvm cannot run here: {0}")]
    NoKvm(String),
}

fn said(stderr: &str) -> &str {
    match stderr.trim() {
        "" => "it said nothing",
        text => text,
    }
}
