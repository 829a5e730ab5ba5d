//! One stream of everything a guest says: control messages and console findings.

use std::{
    collections::VecDeque,
    io::{BufReader, ErrorKind},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lookback_triage::{Finding, Watcher};
use lookback_wire::{
    control::FromGuest,
    frame::{self, FrameError},
};

use crate::guest::journal::Journal;

/// How long a report on the console that has begun may take to end.
const REPORT: Duration = Duration::from_millis(300);
/// And how often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(10);

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
    /// Received, and to be told yet.
    held: VecDeque<Event>,
    watcher: Arc<Mutex<Watcher>>,
}

impl Events {
    /// Listens to both. The threads end when the guest does.
    /// What the console prints goes to `journal`, too.
    pub fn listen(control: UnixStream, console: Receiver<Vec<u8>>, journal: Journal) -> Self {
        let (sender, receiver) = mpsc::channel();
        let messages = sender.clone();
        let control = thread::spawn(move || listen_to_control(control, &messages));
        let watcher = Arc::default();
        let watched = Arc::clone(&watcher);
        thread::spawn(move || listen_to_console(&console, &journal, &watched, control, &sender));
        Self {
            receiver,
            held: VecDeque::new(),
            watcher,
        }
    }

    /// The next event; `None` if there is none by the deadline, or never will be.
    pub fn next(&mut self, deadline: Instant) -> Option<Event> {
        if let Some(event) = self.held.pop_front() {
            return Some(event);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.receiver.recv_timeout(left).ok()
    }

    /// What the kernel has complained about so far, of which some would be told
    /// only when more of the console has been seen. `lag` is how far the console
    /// may be behind.
    pub fn settle(&mut self, lag: Duration) -> Vec<Finding> {
        thread::sleep(lag);
        let deadline = Instant::now() + REPORT;
        let last = loop {
            let mut watcher = lock(&self.watcher);
            if !watcher.is_collecting() || Instant::now() > deadline {
                break watcher.settle();
            }
            drop(watcher);
            thread::sleep(LOOK);
        };
        let mut findings = Vec::new();
        let mut others = std::mem::take(&mut self.held);
        others.extend(self.receiver.try_iter());
        for event in others {
            match event {
                Event::Finding(finding) => findings.push(*finding),
                other => self.held.push_back(other),
            }
        }
        findings.extend(last);
        findings
    }
}

fn lock(watcher: &Mutex<Watcher>) -> MutexGuard<'_, Watcher> {
    // Whole between any two calls.
    watcher.lock().unwrap_or_else(PoisonError::into_inner)
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
    watcher: &Mutex<Watcher>,
    control: JoinHandle<()>,
    to: &Sender<Event>,
) {
    // What the watcher gives back is sent before anybody else can ask it.
    let forward = |findings: Vec<Finding>| {
        findings
            .into_iter()
            .all(|finding| to.send(Event::Finding(Box::new(finding))).is_ok())
    };
    for chunk in console {
        journal.console(Instant::now(), &chunk);
        let mut watcher = lock(watcher);
        if !forward(watcher.push(&chunk)) {
            return;
        }
    }
    let told = forward(lock(watcher).finish());
    if told {
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
        let mut events = Events::listen(ours, chunks, Journal::new(Instant::now()));
        drop(console);
        frame::write_frame(&mut guest, &FromGuest::Bye).unwrap();
        drop(guest);
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut next = || events.next(deadline);
        assert!(matches!(next(), Some(Event::Message(FromGuest::Bye))));
        assert!(matches!(next(), Some(Event::ControlClosed(None))));
        assert!(matches!(next(), Some(Event::ConsoleClosed)));
        assert!(next().is_none());
    }

    #[test]
    fn a_complaint_is_told_before_the_console_goes_on() {
        let (ours, mut guest) = UnixStream::pair().unwrap();
        let (console, chunks) = channel();
        let mut events = Events::listen(ours, chunks, Journal::new(Instant::now()));
        let report = "[    1.000000] ------------[ cut here ]------------\n\
                      [    1.000000] WARNING: CPU: 0 PID: 1 at fs/fuse/dev.c:560 f+0x47/0x52\n\
                      [    1.000000] ---[ end trace 0000000000000000 ]---\n";
        console.send(report.as_bytes().to_vec()).unwrap();
        frame::write_frame(&mut guest, &FromGuest::Bye).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut found = Vec::new();
        while found.is_empty() && Instant::now() < deadline {
            found = events.settle(LOOK);
        }
        assert_eq!(found.len(), 1);
        assert!(events.settle(Duration::ZERO).is_empty());
        drop((console, guest));
        // And nothing else is lost.
        let mut next = || events.next(deadline);
        assert!(matches!(next(), Some(Event::Message(FromGuest::Bye))));
        assert!(matches!(next(), Some(Event::ControlClosed(None))));
        assert!(matches!(next(), Some(Event::ConsoleClosed)));
    }
}
