//! Carries the guest's console to its log and to whoever watches.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::error::Error;

/// Bytes kept in memory for [`Console::tail`].
const TAIL_BYTES: usize = 256 * 1024;

/// The reading end of a guest's console. A thread of its own writes every byte
/// to the log before it passes it on, until the guest's end closes.
#[derive(Debug)]
pub(crate) struct Console {
    log: PathBuf,
    tail: Arc<Mutex<VecDeque<u8>>>,
    chunks: Option<Receiver<Vec<u8>>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Console {
    /// Starts to read `stream` into a new file `log`.
    pub(crate) fn start(stream: UnixStream, log: &Path) -> Result<Self, Error> {
        let file = File::create(log).map_err(|source| Error::ConsoleLog {
            path: log.to_owned(),
            source,
        })?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, receiver) = channel();
        let shared = Arc::clone(&tail);
        let thread = std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || pump(stream, file, &shared, &sender))
            .map_err(|source| Error::System {
                what: "start the console's thread",
                source,
            })?;
        Ok(Console {
            log: log.to_owned(),
            tail,
            chunks: Some(receiver),
            thread: Some(thread),
        })
    }

    pub(crate) fn take_chunks(&mut self) -> Option<Receiver<Vec<u8>>> {
        self.chunks.take()
    }

    /// The last `lines` lines so far.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = tail.iter().copied().filter(|byte| *byte != b'\r').collect();
        drop(tail);
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits for the end of the console and says whether the log holds all of
    /// it. To be called once the writing end is closed.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let result = thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
        result.map_err(|source| Error::ConsoleLog {
            path: self.log.clone(),
            source,
        })
    }
}

/// The two ends of a stream between an engine and its guest.
pub(crate) fn pair() -> Result<(UnixStream, UnixStream), Error> {
    UnixStream::pair().map_err(|source| Error::System {
        what: "make a socket pair",
        source,
    })
}

/// Reads until the end of `stream`. A log that cannot be written does not stop
/// the reading: QEMU would block on a full socket and the watcher would miss
/// the rest.
fn pump(
    mut stream: UnixStream,
    mut log: impl Write,
    tail: &Mutex<VecDeque<u8>>,
    chunks: &Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut written = Ok(());
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let chunk = match stream.read(&mut buffer) {
            Ok(0) => return written.and_then(|()| log.flush()),
            Ok(length) => &buffer[..length],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A killed QEMU may reset the socket: an end like any other.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return written,
            Err(error) => return written.and(Err(error)),
        };
        if written.is_ok() {
            written = log.write_all(chunk);
        }
        {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend(chunk);
            let surplus = tail.len().saturating_sub(TAIL_BYTES);
            tail.drain(..surplus);
        }
        // Nobody has to watch.
        let _ = chunks.send(chunk.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_socket_log_and_watcher() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        let (mut guest, host) = UnixStream::pair().unwrap();
        let mut console = Console::start(host, &log).unwrap();
        let chunks = console.take_chunks().unwrap();
        assert!(console.take_chunks().is_none());
        let mut sent = Vec::new();
        for line in 0..20_000 {
            let text = format!("line {line}\r\n");
            guest.write_all(text.as_bytes()).unwrap();
            sent.extend_from_slice(text.as_bytes());
        }
        drop(guest);
        console.finish().unwrap();
        assert_eq!(chunks.iter().flatten().collect::<Vec<u8>>(), sent);
        assert_eq!(std::fs::read(&log).unwrap(), sent);
        assert_eq!(console.tail(2), "line 19998\nline 19999");
        assert_eq!(console.tail(0), "");
    }

    #[test]
    fn a_full_disk_is_reported_and_the_watcher_still_sees_everything() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut guest, host) = UnixStream::pair().unwrap();
        let (sender, receiver) = channel();
        let writer = std::thread::spawn(move || guest.write_all(&[b'x'; 300_000]).unwrap());
        let error = pump(host, Full, &Mutex::default(), &sender).unwrap_err();
        writer.join().unwrap();
        drop(sender);
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(receiver.iter().flatten().count(), 300_000);
    }
}
