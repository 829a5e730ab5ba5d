//! The bytes of the port, both ways.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;

use vm_memory::{ReadVolatile, VolatileMemoryError, WriteVolatile};

use crate::complaints::Complaints;
use crate::virtio::chain::Chain;
use crate::virtio::device::ConsoleState;
use crate::virtio::drain::{QueueError, Step};

/// The host's end.
#[derive(Debug)]
pub(super) struct Stream {
    pub socket: UnixStream,
    /// The peer may still say something.
    pub open: bool,
    /// The peer may still listen.
    listened_to: bool,
}

impl Stream {
    pub fn new(socket: UnixStream) -> Self {
        Stream {
            socket,
            open: true,
            listened_to: true,
        }
    }
}

/// The port, and what it and the driver know of each other.
#[derive(Debug)]
pub(super) struct Port {
    /// For messages.
    pub device: String,
    pub name: String,
    pub stream: Stream,
    pub state: ConsoleState,
    pub multiport: bool,
    pub complaints: Complaints,
}

impl Port {
    /// Whether the guest takes bytes: without a control queue nothing says
    /// otherwise, and nothing tells it of the end.
    pub fn receives(&self) -> bool {
        self.stream.open && (self.state.guest_open || !self.multiport)
    }

    /// Fills a buffer of the driver with what has come.
    pub fn receive(&mut self, mut chain: Chain<'_>) -> Result<Step, QueueError> {
        let mut received = 0;
        for piece in chain.writable.pieces_mut() {
            let count = match retry(|| self.stream.socket.read_volatile(piece)) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.lost("read", &error);
                    self.stream.open = false;
                    break;
                }
            };
            received += count;
            if count == 0 {
                self.stream.open = false;
            }
            if count < piece.len() {
                break;
            }
        }
        if received == 0 && chain.writable.len() > 0 {
            return Ok(Step::Wait);
        }
        // A chain is less than 4 GiB long.
        Ok(Step::Used(u32::try_from(received).unwrap_or(u32::MAX)))
    }

    /// Passes a buffer of the driver on. What the socket takes of it first is
    /// not sent again.
    pub fn transmit(&mut self, mut chain: Chain<'_>) -> Result<Step, QueueError> {
        let sent = chain.readable.take_front(self.state.sent);
        sent.map_err(QueueError::request)?;
        for piece in chain.readable.pieces() {
            let mut at = 0;
            while self.stream.listened_to && at < piece.len() {
                let rest = piece.offset(at).map_err(QueueError::request)?;
                match retry(|| self.stream.socket.write_volatile(&rest)) {
                    Ok(count) => {
                        at += count;
                        self.state.sent += count;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Step::Wait),
                    Err(error) => {
                        self.lost("written", &error);
                        self.stream.listened_to = false;
                    }
                }
            }
        }
        self.state.sent = 0;
        Ok(Step::Used(0))
    }

    /// A host that went away did so on its own account.
    fn lost(&self, what: &str, error: &io::Error) {
        use ErrorKind::{BrokenPipe, ConnectionReset};
        if !matches!(error.kind(), BrokenPipe | ConnectionReset) {
            self.complain(&format!("the socket can't be {what}: {error}"));
        }
    }

    pub fn complain(&self, what: &str) {
        self.complaints
            .push(format_args!("{}: {what}", self.device));
    }
}

/// A call on the socket, again if a signal came.
fn retry(mut call: impl FnMut() -> Result<usize, VolatileMemoryError>) -> io::Result<usize> {
    loop {
        match call() {
            Ok(count) => return Ok(count),
            Err(VolatileMemoryError::IOError(e)) if e.kind() == ErrorKind::Interrupted => {}
            Err(VolatileMemoryError::IOError(error)) => return Err(error),
            Err(other) => return Err(io::Error::other(other)),
        }
    }
}
