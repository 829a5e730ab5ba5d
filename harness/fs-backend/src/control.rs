//! How a backend's handle reaches its threads.

use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::config::{BackendError, system};

/// An event that happens once.
pub(crate) struct Flag(EventFd);

impl Flag {
    pub(crate) fn new() -> Result<Self, BackendError> {
        EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(Self)
            .map_err(|errno| system("eventfd")(errno.into()))
    }

    pub(crate) fn signal(&self) {
        // Fails only when the counter is full, that is, signalled already.
        let _ = self.0.write(1);
    }

    pub(crate) fn is_signalled(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Flag {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How the handle reaches the thread.
pub(crate) struct Control {
    pub(crate) stop: Flag,
    pub(crate) done: Flag,
    connection: Mutex<Option<UnixStream>>,
}

impl Control {
    pub(crate) fn new() -> Result<Self, BackendError> {
        Ok(Self {
            stop: Flag::new()?,
            done: Flag::new()?,
            connection: Mutex::new(None),
        })
    }

    pub(crate) fn stop(&self) {
        self.stop.signal();
        self.hang_up();
    }

    pub(crate) fn connected(&self, connection: Option<UnixStream>) {
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = connection;
        // `stop` may have come between accept and here.
        if self.stop.is_signalled() {
            self.hang_up();
        }
    }

    fn hang_up(&self) {
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &*connection {
            // An error means that the front end was faster.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}
