//! A conversation that ends in time.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Has the peer on `stream` answer within `limit`: hangs up on it otherwise,
/// so that `talk`, which waits for an answer, ends. `None` if that happened.
///
/// A timeout of the socket would not do: the vhost crate takes it for a reason
/// to ask again.
pub(super) fn within<T>(
    limit: Duration,
    stream: &UnixStream,
    talk: impl FnOnce() -> T,
) -> io::Result<Option<T>> {
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        let clock = thread::Builder::new()
            .name("fs-deadline".to_owned())
            .spawn_scoped(scope, move || {
                let late = wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                if late {
                    // Fails if the peer was quicker to hang up.
                    let _ = stream.shutdown(Shutdown::Both);
                }
                late
            })?;
        let said = talk();
        drop(done);
        let late = clock.join().unwrap_or(false);
        Ok((!late).then_some(said))
    })
}
