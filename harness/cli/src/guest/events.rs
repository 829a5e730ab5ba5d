//! One stream of everything a guest says: control messages and console findings.

use std::{
    io::{BufReader, ErrorKind},
    os::unix::net::UnixStream,
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
    time::Instant,
};

use lookback_triage::{Finding, Watcher};
use lookback_wire::{
    control::FromGuest,
    frame::{self, FrameError},
};

use crate::guest::journal::Journal;

/// Something a guest did.
#[derive(Debug)]
pub enum Event {
    /// A message of the agent.
    Message(FromGuest),
    /// The control stream ended; with an error if it ended in the middle of a
    /// message or carried something else.
    ControlClosed(Option<String>),
    /// The kernel complained.
    Finding(Box<Finding>),
    /// The console ended: the guest is gone, and everything it printed or sent
    /// has been looked at. Always the last event.
    ConsoleClosed,
}

/// The events of one guest, in the order they came in.
#[derive(Debug)]
pub struct Events {
    receiver: Receiver<Event>,
}

impl Events {
    /// Listens to both. The threads end when the guest does.
    /// What the console prints goes to `journal`, too.
    pub fn listen(control: UnixStream, console: Receiver<Vec<u8>>, journal: Journal) -> Self {
        let (sender, receiver) = mpsc::channel();
        let messages = sender.clone();
        let control = thread::spawn(move || listen_to_control(control, &messages));
        thread::spawn(move || listen_to_console(&console, &journal, control, &sender));
        Self { receiver }
    }

    /// The next event; `None` if there is none by the deadline, or never will be.
    pub fn next(&self, deadline: Instant) -> Option<Event> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.receiver.recv_timeout(left).ok()
    }
}

fn listen_to_control(control: UnixStream, to: &Sender<Event>) {
    let mut control = BufReader::new(control);
    loop {
        let event = match frame::read_frame(&mut control) {
            Ok(Some(message)) => Event::Message(message),
            Ok(None) => Event::ControlClosed(None),
            // A machine that ends with something of ours unread: an end like
            // any other.
            Err(FrameError::Io(error)) if error.kind() == ErrorKind::ConnectionReset => {
                Event::ControlClosed(None)
            }
            Err(error) => Event::ControlClosed(Some(error.to_string())),
        };
        let last = matches!(event, Event::ControlClosed(_));
        if to.send(event).is_err() || last {
            return;
        }
    }
}

fn listen_to_console(
    console: &Receiver<Vec<u8>>,
    journal: &Journal,
    control: JoinHandle<()>,
    to: &Sender<Event>,
) {
    let mut watcher = Watcher::new();
    let forward = |findings: Vec<Finding>| {
        findings
            .into_iter()
            .all(|finding| to.send(Event::Finding(Box::new(finding))).is_ok())
    };
    for chunk in console {
        journal.console(Instant::now(), &chunk);
        if !forward(watcher.push(&chunk)) {
            return;
        }
    }
    if forward(watcher.finish()) {
        // Both streams end with the guest, in no order: without waiting, its
        // last message could come after the news of its end. A thread that
        // panicked has no more to say either.
        let _ = control.join();
        // Nobody listens any more if this fails, which is fine.
        let _ = to.send(Event::ConsoleClosed);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, time::Duration};

    use super::*;

    #[test]
    fn the_end_comes_after_the_last_message() {
        let (ours, mut guest) = UnixStream::pair().unwrap();
        let (console, chunks) = channel();
        let events = Events::listen(ours, chunks, Journal::new(Instant::now()));
        drop(console);
        frame::write_frame(&mut guest, &FromGuest::Bye).unwrap();
        drop(guest);
        let deadline = Instant::now() + Duration::from_secs(60);
        let next = || events.next(deadline);
        assert!(matches!(next(), Some(Event::Message(FromGuest::Bye))));
        assert!(matches!(next(), Some(Event::ControlClosed(None))));
        assert!(matches!(next(), Some(Event::ConsoleClosed)));
        assert!(next().is_none());
    }
}
