//! The way to a guest's agent, for several threads.

use std::{
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use lookback_wire::{
    control::ToGuest,
    frame::{self, FrameError},
};

/// The way to a guest's agent. Clones are the same way; a message is sent whole
/// before another begins.
#[derive(Debug, Clone)]
pub struct Line(Arc<Mutex<UnixStream>>);

impl Line {
    /// Over this stream.
    pub fn new(control: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(control)))
    }

    /// Sends one message. That it fails is most often the guest's end, which its
    /// events tell.
    pub fn send(&self, message: &ToGuest) -> Result<(), FrameError> {
        // A panic in the middle of a message leaves a stream nobody can use.
        let mut control = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write_frame(&mut *control, message)
    }

    /// Sends one message without waiting for a guest that takes none.
    pub fn send_later(&self, message: ToGuest) {
        let line = self.clone();
        thread::spawn(move || line.send(&message));
    }
}
