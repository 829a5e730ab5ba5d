//! Why a command ends without having done what was asked.

use std::{io, path::PathBuf, process::ExitCode};

use lookback_fs_backend::{BackendError, ServeError, SocketError};
use lookback_image::InitramfsError;
use lookback_kernel::{Error as KernelError, SourceError};
use lookback_report::ReportError;

/// Status of a command that passes another's on: it could not be run at all.
pub const UNABLE: u8 = 251;
/// Of such a command: its guest did not come up, or it took too long.
pub const GUEST_HUNG: u8 = 252;
/// Of such a command: the guest's kernel crashed, warned or leaked.
pub const GUEST_CRASHED: u8 = 253;

/// Why a command ends without having done what was asked. The message is one
/// line that names the thing; the exit status says whose turn it is.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A scenario file, or a name of a scenario.
    #[error(transparent)]
    Scenario(#[from] lookback_scenario::ScenarioError),
    /// A kernel that is not there.
    #[error(transparent)]
    FindKernel(#[from] lookback_kernel::FindError),
    /// A kernel's name that can't be one.
    #[error(transparent)]
    KernelSpec(#[from] lookback_kernel::SpecError),
    /// A kernel that can't be built.
    #[error(transparent)]
    BuildKernel(#[from] lookback_kernel::Error),
    /// A mutant that is none.
    #[error(transparent)]
    Mutant(#[from] crate::command::mutants::MutantError),
    /// A series that can't be checked.
    #[error(transparent)]
    CheckSeries(lookback_kernel::CheckError),
    /// No cache, or no checkout.
    #[error(transparent)]
    Layout(#[from] lookback_kernel::LayoutError),
    /// An ext4 image that can't be made.
    #[error(transparent)]
    Ext4(#[from] lookback_image::Ext4Error),
    /// An initramfs that can't be made.
    #[error(transparent)]
    Initramfs(#[from] lookback_image::InitramfsError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] lookback_engine::Error),
    /// A share's server.
    #[error(transparent)]
    Backend(#[from] lookback_fs_backend::BackendError),
    /// `serve`.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A rule the server does not take.
    #[error(transparent)]
    Rules(#[from] lookback_wire::rules::RulesError),
    /// A result that can't be written or read.
    #[error(transparent)]
    Report(#[from] lookback_report::ReportError),
    /// The agent is not where it should be, or is not what it should be.
    #[error("{0}")]
    Agent(String),
    /// Arguments clap can not judge.
    #[error("{0}")]
    Usage(String),
    /// The kernel has no FUSE_BACKING_LOOKUP.
    #[error("kernel {kernel} ({release}): {why}")]
    NoExtension {
        /// As asked for.
        kernel: String,
        /// uname -r.
        release: String,
        /// What the agent found.
        why: String,
    },
    /// The guest that should have KVM has none.
    #[error("Linux {release} came up without KVM: {}", if said.is_empty() { "it says nothing of kvm" } else { said })]
    NoNestedKvm {
        /// uname -r.
        release: String,
        /// What its kernel says of KVM.
        said: String,
    },
    /// The guest ended or fell silent before its agent answered.
    #[error("{text}")]
    NoAgent {
        /// Why, and the console's end.
        text: String,
        /// Its kernel had crashed or warned by then.
        crashed: bool,
    },
    /// A file operation of ours.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Failure {
    /// 2 for what the user gave us, 3 for a guest whose kernel fails before its
    /// agent answers, 4 for one that does not come up, 5 for what this machine
    /// or kernel can't do.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NoAgent { crashed, .. } => {
                if *crashed {
                    3
                } else {
                    4
                }
            }
            _ if self.is_of_input() => 2,
            _ => 5,
        })
    }

    /// The same for a command that passes another's status on: 251, 252 and 253
    /// are hardly anybody else's.
    pub fn passing_exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::NoAgent { crashed: true, .. } => GUEST_CRASHED,
            Self::NoAgent { crashed: false, .. } => GUEST_HUNG,
            _ => UNABLE,
        })
    }

    /// Whether other arguments or other files would have worked on this
    /// machine as it is now.
    fn is_of_input(&self) -> bool {
        match self {
            Self::Usage(_)
            | Self::Scenario(_)
            | Self::FindKernel(_)
            | Self::KernelSpec(_)
            | Self::Mutant(_)
            | Self::Rules(_) => true,
            Self::Report(error) => !matches!(error, ReportError::Write { .. }),
            Self::BuildKernel(error) => match error {
                KernelError::Find(_) | KernelError::Spec(_) | KernelError::Series(_) => true,
                KernelError::Source(error) => !matches!(
                    error,
                    SourceError::NotInstalled
                        | SourceError::Extract { .. }
                        | SourceError::Keep { .. }
                ),
                _ => false,
            },
            Self::Initramfs(error) => !matches!(error, InitramfsError::Write { .. }),
            Self::Serve(error) => match error {
                ServeError::ReadRules { .. }
                | ServeError::ParseRules { .. }
                | ServeError::CheckRules { .. } => true,
                ServeError::Backend(error) => is_of_serving_input(error),
                ServeError::Poll(_) => false,
            },
            _ => false,
        }
    }

    /// For `map_err` on a file operation.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

/// Of the backend's errors, those about what `serve` was told. A socket in use
/// is not: later, it works.
fn is_of_serving_input(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::SharedDir { .. }
            | BackendError::NotUtf8 { .. }
            | BackendError::Tag { .. }
            | BackendError::Rules(_)
            | BackendError::Socket(SocketError::NotASocket { .. } | SocketError::Bind { .. })
    )
}
