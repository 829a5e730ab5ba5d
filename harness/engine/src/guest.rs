//! The two traits an engine implements.

use std::fmt::Debug;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use crate::error::Error;
use crate::spec::GuestSpec;

/// Boots guests.
pub trait Engine: Debug + Send + Sync {
    /// A short name for reports, such as `qemu+tcg`.
    fn name(&self) -> &'static str;

    /// Starts a guest and returns once its machine runs (not once its agent
    /// answers: that is the caller's deadline).
    fn boot(&self, spec: &GuestSpec) -> Result<Box<dyn Guest>, Error>;
}

/// A running guest. Dropping it kills and reaps it and leaves no process,
/// thread or socket behind; the console log stays.
pub trait Guest: Debug + Send {
    /// The host's end of the control port, connected from the start; end of
    /// file means that the guest has ended. `None` from the second call on.
    fn control(&mut self) -> Option<UnixStream>;

    /// Everything the guest's console prints, from its first byte, in chunks of
    /// any size. The channel closes when the guest has ended and all is
    /// delivered. `None` from the second call on.
    fn console(&mut self) -> Option<Receiver<Vec<u8>>>;

    /// The last `lines` lines of the console so far.
    fn console_tail(&self, lines: usize) -> String;

    /// What the engine itself had to say (QEMU's standard error), possibly
    /// nothing.
    fn diagnostics(&self) -> String;

    /// Waits until the guest has ended and its console log is complete; `None`
    /// if it still runs at `deadline`.
    ///
    /// Fails when the engine ended by an error of its own, or when the console
    /// log could not be written in full.
    fn wait(&mut self, deadline: Instant) -> Result<Option<Exit>, Error>;

    /// Ends the guest at once, as pulling the plug would, and reaps it.
    /// Killing a guest that has ended is no error.
    fn kill(&mut self) -> Result<(), Error>;
}

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Status of the engine's process. A guest that resets, whether by
    /// `reboot=t` or after a panic, ends it with success: the console tells
    /// which.
    pub status: ExitStatus,
    /// True if [`Guest::kill`] ended it.
    pub killed: bool,
}
