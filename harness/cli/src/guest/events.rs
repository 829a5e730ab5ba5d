//! One stream of everything a guest says: control messages and console findings.

use std::{
    collections::VecDeque,
    io::{BufReader, ErrorKind},
    os::unix::net::UnixStream,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
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

/// How long the console may take to come as far as the agent, and a report that
/// has begun there to end.
const CATCH_UP: Duration = Duration::from_secs(2);

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
    journal: Journal,
    console: Arc<Console>,
}

/// What is made of the console.
#[derive(Debug, Default)]
struct Console {
    watched: Mutex<Watched>,
    /// More of it has been seen.
    more: Condvar,
}

#[derive(Debug, Default)]
struct Watched {
    watcher: Watcher,
    over: bool,
}

impl Events {
    /// Listens to both. The threads end when the guest does.
    /// What the console prints goes to `journal`, too.
    pub fn listen(control: UnixStream, console: Receiver<Vec<u8>>, journal: Journal) -> Self {
        let (sender, receiver) = mpsc::channel();
        let messages = sender.clone();
        let control = thread::spawn(move || listen_to_control(control, &messages));
        let listener = Listener {
            journal: journal.clone(),
            console: Arc::default(),
            to: sender,
        };
        let seen = Arc::clone(&listener.console);
        thread::spawn(move || listener.listen(&console, control));
        Self {
            receiver,
            held: VecDeque::new(),
            journal,
            console: seen,
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

    /// What the kernel has complained about until it logged `line` for the agent,
    /// of which some would be told only when more of the console has been seen.
    pub fn settle(&mut self, line: &str) -> Vec<Finding> {
        let behind = |seen: &mut Watched| {
            let there = self.journal.has_logged(line) && !seen.watcher.is_collecting();
            !there && !seen.over
        };
        let seen = self.console.lock();
        let waited = self.console.more.wait_timeout_while(seen, CATCH_UP, behind);
        let (mut seen, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let last = seen.watcher.settle();
        drop(seen);
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

impl Console {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        // Whole between any two calls.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Who takes the console.
struct Listener {
    journal: Journal,
    console: Arc<Console>,
    to: Sender<Event>,
}

impl Listener {
    fn listen(self, console: &Receiver<Vec<u8>>, control: JoinHandle<()>) {
        let mut told = true;
        for chunk in console {
            told = self.see(|seen| {
                self.journal.console(Instant::now(), &chunk);
                seen.watcher.push(&chunk)
            });
            if !told {
                break;
            }
        }
        told &= self.see(|seen| {
            seen.over = true;
            seen.watcher.finish()
        });
        if told {
            // Both streams end with the guest, in no order: without waiting, its
            // last message could come after the news of its end. A thread that
            // panicked has no more to say either.
            let _ = control.join();
            let _ = self.to.send(Event::ConsoleClosed);
        }
    }

    /// Whoever asks the watcher next finds sent what it gave back before. False
    /// if there is nobody any more to tell it.
    fn see(&self, work: impl FnOnce(&mut Watched) -> Vec<Finding>) -> bool {
        let mut seen = self.console.lock();
        let mut findings = work(&mut seen).into_iter();
        self.console.more.notify_all();
        findings.all(|finding| self.to.send(Event::Finding(Box::new(finding))).is_ok())
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

    const WARNING: &str = "[    1.000000] ------------[ cut here ]------------\n\
                           [    1.000000] WARNING: CPU: 0 PID: 1 at fs/fuse/dev.c:560 f+0x47/0x52\n";
    const ITS_END: &str = "[    1.000000] ---[ end trace 0000000000000000 ]---\n";

    #[test]
    fn a_complaint_is_told_with_the_line_behind_it() {
        let (ours, mut guest) = UnixStream::pair().unwrap();
        let (console, chunks) = channel();
        let mut events = Events::listen(ours, chunks, Journal::new(Instant::now()));
        let print = |text: &str| console.send(text.as_bytes().to_vec()).unwrap();
        print(WARNING);
        print(ITS_END);
        print("[    1.000100] lookback-agent: case a is over\n");
        frame::write_frame(&mut guest, &FromGuest::Bye).unwrap();
        assert_eq!(events.settle("case a is over").len(), 1);

        // One that another processor is still printing.
        print(WARNING);
        print("[    1.000100] lookback-agent: case b is over\n");
        print(ITS_END);
        assert_eq!(events.settle("case b is over").len(), 1);

        // The console's end ends the waiting, and nothing else is lost.
        drop((console, guest));
        assert!(events.settle("case c is over").is_empty());
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut next = || events.next(deadline);
        assert!(matches!(next(), Some(Event::Message(FromGuest::Bye))));
        assert!(matches!(next(), Some(Event::ControlClosed(None))));
        assert!(matches!(next(), Some(Event::ConsoleClosed)));
    }
}
