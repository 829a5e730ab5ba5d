//! The machine: built, running in threads of its own, ended.

mod build;
mod snapshot;
mod supervisor;

use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::complaints::Complaints;
use crate::config::{Config, Streams};
use crate::cpu::Ended;
use crate::error::{Error, system};

pub use snapshot::Snapshot;

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It reset itself, as it was told to or after a panic.
    Reset,
    /// It did what no processor recovers from; what is known of the place.
    TripleFault {
        /// The vCPU.
        cpu: u8,
        /// Its registers.
        what: String,
    },
    /// [`Machine::stop`].
    Stopped,
    /// KVM or this program could not go on.
    Failed {
        /// The vCPU.
        cpu: u8,
        /// The reason, and its registers.
        what: String,
    },
}

/// What the machine's threads, and who holds it, tell its supervisor.
#[derive(Debug)]
pub(crate) enum Event {
    /// A vCPU has ended.
    CpuEnded {
        /// Its number.
        cpu: u8,
        /// How.
        how: Ended,
    },
    /// The guest has pulled the reset line.
    Reset,
    /// End it.
    Stop,
    /// Take a snapshot and go on.
    Snapshot(SyncSender<Result<Snapshot, Error>>),
}

/// A running guest. Dropping it ends the guest.
#[derive(Debug)]
pub struct Machine {
    life: Arc<Life>,
    events: Sender<Event>,
    complaints: Complaints,
    supervisor: Option<JoinHandle<()>>,
}

/// Whether the guest lives.
#[derive(Debug, Default)]
struct Life {
    end: Mutex<Option<End>>,
    over: Condvar,
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, Option<End>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, end: End) {
        self.lock().get_or_insert(end);
        self.over.notify_all();
    }
}

impl Machine {
    /// Builds a machine and starts its kernel.
    ///
    /// # Errors
    /// What is missing or refused.
    pub fn boot(config: &Config, streams: Streams) -> Result<Self, Error> {
        Self::start(|complaints, events| build::boot(config, streams, complaints, events))
    }

    /// Builds a machine that goes on where the snapshot was taken, with disks
    /// whose content is what it was then, and shares of which no guest has
    /// mounted any.
    ///
    /// # Errors
    /// What is missing, refused, or not as it was.
    pub fn restore(snapshot: &Snapshot, config: &Config, streams: Streams) -> Result<Self, Error> {
        Self::start(|complaints, events| {
            build::restore(snapshot, config, streams, complaints, events)
        })
    }

    fn start(
        build: impl FnOnce(&Complaints, &Sender<Event>) -> Result<supervisor::Parts, Error>,
    ) -> Result<Self, Error> {
        let complaints = Complaints::default();
        let (events, receiver) = std::sync::mpsc::channel();
        let parts = build(&complaints, &events)?;
        let life = Arc::new(Life::default());
        let shared = Arc::clone(&life);
        let supervisor = std::thread::Builder::new()
            .name("machine".to_owned())
            .spawn(move || supervisor::run(parts, &receiver, &shared))
            .map_err(system("start the machine's thread"))?;
        Ok(Machine {
            life,
            events,
            complaints,
            supervisor: Some(supervisor),
        })
    }

    /// Waits until the guest has ended and its streams are closed; `None` if it
    /// still runs at `deadline`.
    pub fn wait(&self, deadline: Instant) -> Option<End> {
        let mut end = self.life.lock();
        loop {
            if end.is_some() {
                return end.clone();
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            end = self
                .life
                .over
                .wait_timeout(end, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(end, _)| end);
        }
    }

    /// Ends the guest at once, as pulling the plug would, and returns when
    /// nothing of it is left. Does nothing to a guest that has ended.
    pub fn stop(&mut self) {
        // A supervisor that is gone has ended the guest.
        let _ = self.events.send(Event::Stop);
        if let Some(supervisor) = self.supervisor.take()
            && supervisor.join().is_err()
        {
            self.complaints.push("the machine's thread panicked");
        }
    }

    /// Takes a snapshot of a guest that has no share mounted; it then goes on.
    ///
    /// # Errors
    /// KVM's refusals, and [`Error::Snapshot`] for a guest that has ended.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        let (sender, receiver) = sync_channel(1);
        let ended = || Error::Snapshot("the guest has ended".to_owned());
        self.events
            .send(Event::Snapshot(sender))
            .map_err(|_| ended())?;
        receiver.recv().map_err(|_| ended())?
    }

    /// What the machine has to say beside the guest's console.
    pub fn complaints(&self) -> String {
        self.complaints.text()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}
