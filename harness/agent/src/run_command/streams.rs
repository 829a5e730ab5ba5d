//! The pipes to and from a program.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin};

use lookback_wire::control::FromGuest;
use lookback_wire::exec::{OUTPUT_MAX, Stream};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use super::{RunError, call};
use crate::port::Port;

/// A pipe the program writes to.
trait Source: Read + AsFd {}
impl<T: Read + AsFd> Source for T {}

/// What a poll found to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// The host has sent something.
    pub(super) host: bool,
    out: bool,
    err: bool,
    input: bool,
}

/// The agent's ends of a program's three pipes.
pub(super) struct Streams {
    /// `None` once nobody can write any more.
    out: Option<Box<dyn Source>>,
    err: Option<Box<dyn Source>>,
    /// `None` once nothing more is to be written, or nobody can read any more.
    input: Option<ChildStdin>,
    /// What the input has not taken yet.
    pending: VecDeque<u8>,
}

impl Streams {
    /// Take them from a new child.
    pub(super) fn of(child: &mut Child) -> Result<Streams, RunError> {
        let input = child.stdin.take();
        if let Some(pipe) = &input {
            // A program that does not read must not keep the agent waiting.
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(call("fcntl"))?;
        }
        Ok(Streams {
            out: child.stdout.take().map(|pipe| Box::new(pipe) as _),
            err: child.stderr.take().map(|pipe| Box::new(pipe) as _),
            input,
            pending: VecDeque::new(),
        })
    }

    /// Nobody can print anything any more, and all of it is sent.
    pub(super) fn are_done(&self) -> bool {
        self.out.is_none() && self.err.is_none()
    }

    /// What the host has sent for the program; nothing is the end.
    pub(super) fn feed(&mut self, bytes: Vec<u8>, port: &mut Port) -> Result<(), RunError> {
        if bytes.is_empty() {
            self.input = None;
            return Ok(());
        }
        self.pending.extend(bytes);
        self.write(port)
    }

    /// Wait until there is something to do, or a child has ended.
    pub(super) fn wait(&self, ends: &SignalFd, port: &Port) -> Result<Ready, RunError> {
        let mut fds = vec![
            PollFd::new(ends.as_fd(), PollFlags::POLLIN),
            PollFd::new(port.as_fd(), PollFlags::POLLIN),
        ];
        let mut add = |fd, events| {
            fds.push(PollFd::new(fd, events));
            fds.len() - 1
        };
        let out = self.out.as_ref().map(|p| add(p.as_fd(), PollFlags::POLLIN));
        let err = self.err.as_ref().map(|p| add(p.as_fd(), PollFlags::POLLIN));
        let waiting = self.input.as_ref().filter(|_| !self.pending.is_empty());
        let input = waiting.map(|p| add(p.as_fd(), PollFlags::POLLOUT));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(Ready::default()),
            polled => polled.map_err(call("poll"))?,
        };
        let ready = |index: Option<usize>| {
            let fd = index.and_then(|index| fds.get(index));
            fd.and_then(PollFd::any).unwrap_or(false)
        };
        Ok(Ready {
            host: ready(Some(1)),
            out: ready(out),
            err: ready(err),
            input: ready(input),
        })
    }

    /// Send on what the program prints, and give it what it reads.
    pub(super) fn forward(&mut self, ready: &Ready, port: &mut Port) -> Result<(), RunError> {
        if ready.out {
            pass(&mut self.out, Stream::Out, port)?;
        }
        if ready.err {
            pass(&mut self.err, Stream::Err, port)?;
        }
        if ready.input {
            self.write(port)?;
        }
        Ok(())
    }

    fn write(&mut self, port: &mut Port) -> Result<(), RunError> {
        while let Some(pipe) = &mut self.input
            && !self.pending.is_empty()
        {
            let (bytes, _) = self.pending.as_slices();
            match pipe.write(bytes) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody reads any more: what is left is lost, as in any pipe.
                Err(_) => self.input = None,
            }
        }
        self.pending.clear();
        Ok(port.send(&FromGuest::Taken)?)
    }
}

fn pass(
    pipe: &mut Option<Box<dyn Source>>,
    stream: Stream,
    port: &mut Port,
) -> Result<(), RunError> {
    let mut bytes = vec![0; OUTPUT_MAX];
    let Some(source) = pipe else { return Ok(()) };
    match source.read(&mut bytes) {
        Ok(0) => *pipe = None,
        Ok(length) => {
            bytes.truncate(length);
            port.send(&FromGuest::Output { stream, bytes })?;
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(call("read what the program prints")(error)),
    }
    Ok(())
}
