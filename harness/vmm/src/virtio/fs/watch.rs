//! Notices that a backend hangs up while the guest relies on it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;

use crate::virtio::device::DeviceError;

/// A thread that waits for the peer's end. Dropping this ends it.
#[derive(Debug)]
pub(super) struct Watch {
    /// Closed, it ends the thread.
    stop: Option<io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Calls `gone` once if the peer of `stream` hangs up. Nothing is read from
    /// the stream, whose messages are another's.
    pub(super) fn start(
        stream: UnixStream,
        gone: impl FnOnce() + Send + 'static,
    ) -> Result<Self, DeviceError> {
        let system = |what| move |source| DeviceError::System { what, source };
        let (stopped, stop) = io::pipe().map_err(system("pipe"))?;
        let thread = thread::Builder::new()
            .name("fs-watch".to_owned())
            .spawn(move || {
                if hangs_up(&stream, &stopped) {
                    gone();
                }
            })
            .map_err(system("starting a thread"))?;
        Ok(Watch {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        // A panic was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Waits; whether it was the peer that ended the wait.
fn hangs_up(stream: &UnixStream, stopped: &io::PipeReader) -> bool {
    // Those that interrupt KVM_RUN or end the program are for other threads.
    // Without it a signal is handled here, which is late but not lost.
    let _ = SigSet::all().thread_block();
    loop {
        let mut fds = [
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(stream.as_fd(), PollFlags::POLLHUP),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            // Out of memory: without a watch the share is as good as lost.
            Err(_) => return true,
        }
        let [stopped, hung_up] = fds.map(|fd| fd.any().unwrap_or(false));
        if stopped || hung_up {
            return !stopped;
        }
    }
}
