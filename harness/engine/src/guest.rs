//! The two traits an engine implements.

use std::fmt::Debug;
use std::os::unix::net::UnixStream;
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

    /// Starts a guest that goes on where `snapshot` was taken of another: of one
    /// with a `spec` of the same shape, whose disks hold now what they held
    /// then. No share may have been mounted.
    ///
    /// Fails with [`Error::NoSnapshots`] on an engine that knows none.
    fn restore(&self, snapshot: &Snapshot, spec: &GuestSpec) -> Result<Box<dyn Guest>, Error> {
        let _ = (snapshot, spec);
        Err(Error::NoSnapshots(self.name()))
    }
}

/// A booted guest, kept in memory, to start others from.
#[derive(Debug)]
pub struct Snapshot(pub(crate) lookback_vmm::Snapshot);

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

    /// Takes a snapshot of a guest that has no share mounted and no disk in use;
    /// the guest then goes on.
    ///
    /// Fails with [`Error::NoSnapshots`] on an engine that knows none.
    fn snapshot(&mut self) -> Result<Snapshot, Error>;
}

/// How a guest ended. One that resets, whether as it was told to or after a
/// panic, ends like any other: the console tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// True if [`Guest::kill`] ended it.
    pub killed: bool,
}
