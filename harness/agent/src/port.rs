//! The control channel: a virtio-serial port.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use lookback_wire::control::{FromGuest, PORT, ToGuest};
use lookback_wire::frame::{FrameError, read_frame, write_frame};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use thiserror::Error;

/// The channel can't be used.
#[derive(Debug, Error)]
pub enum PortError {
    /// The port is missing.
    #[error("no virtio-serial port is named `{PORT}` (/sys/class/virtio-ports/*/name)")]
    Missing,
    /// It is there but can't be opened.
    #[error("{path}: {source}")]
    Open {
        /// The device.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The channel failed or carried nonsense.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// The host's end of the line, as the agent sees it.
#[derive(Debug)]
pub struct Port {
    file: File,
}

impl Port {
    /// Open the port by its name.
    ///
    /// # Errors
    /// [`PortError::Missing`], [`PortError::Open`].
    pub fn open() -> Result<Port, PortError> {
        let ports = fs::read_dir("/sys/class/virtio-ports").map_err(|_| PortError::Missing)?;
        let ours = ports.flatten().find(|entry| {
            fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT)
        });
        let name = ours.ok_or(PortError::Missing)?.file_name();
        let path = format!("/dev/{}", name.to_string_lossy());
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|source| PortError::Open {
            path: path.clone(),
            source,
        })?;
        let port = Port { file };
        port.signal_changes().map_err(|e| PortError::Open {
            path,
            source: e.into(),
        })?;
        Ok(port)
    }

    /// Ask for SIGIO when the host connects, and keep it pending until asked for.
    fn signal_changes(&self) -> nix::Result<()> {
        sigprocmask(
            SigmaskHow::SIG_BLOCK,
            Some(&SigSet::from(Signal::SIGIO)),
            None,
        )?;
        // SAFETY: F_SETOWN takes a process id and touches no memory.
        let ret = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETOWN, libc::getpid()) };
        nix::errno::Errno::result(ret)?;
        fcntl(&self.file, FcntlArg::F_SETFL(OFlag::O_ASYNC))?;
        Ok(())
    }

    /// Wait until the host has its end open: without it a read says "end".
    ///
    /// # Errors
    /// Those of poll(2) and sigtimedwait(2).
    pub fn await_host(&self) -> nix::Result<()> {
        loop {
            let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO)?;
            let hung_up = |events: PollFlags| events.contains(PollFlags::POLLHUP);
            if !fds[0].revents().is_some_and(hung_up) {
                return Ok(());
            }
            SigSet::from(Signal::SIGIO).wait()?;
        }
    }

    /// Send one message.
    ///
    /// # Errors
    /// [`PortError::Frame`].
    pub fn send(&mut self, message: &FromGuest) -> Result<(), PortError> {
        Ok(write_frame(self, message)?)
    }

    /// Receive one message; `None` when the host closed its end.
    ///
    /// # Errors
    /// [`PortError::Frame`].
    pub fn receive(&mut self) -> Result<Option<ToGuest>, PortError> {
        Ok(read_frame(self)?)
    }

    /// A second handle, for the panic hook.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn duplicate(&self) -> io::Result<Port> {
        Ok(Port {
            file: self.file.try_clone()?,
        })
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Read for Port {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

impl Write for Port {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
