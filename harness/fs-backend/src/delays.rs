//! Replies that a rule holds back.
//!
//! A thread of their own sends them, so that the one that serves the queues
//! never waits. A request whose queue has been stopped is nobody's any more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{debug, error};
use vhost_user_backend::{VringMutex, VringT};
use virtio_queue::{DescriptorChain, QueueT};
use vm_memory::GuestMemoryLoadGuard;

use crate::device::{AtomicMemory, complete};
use crate::service::{Memory, write_reply};

/// A reply that is not sent yet.
pub(crate) struct Pending {
    pub(crate) vring: VringMutex<AtomicMemory>,
    pub(crate) chain: DescriptorChain<GuestMemoryLoadGuard<Memory>>,
    pub(crate) bytes: Vec<u8>,
    /// The length for the used ring.
    pub(crate) used: u32,
    pub(crate) event_idx: bool,
}

impl Pending {
    /// Whether the front end has taken the queue back, and with it the request.
    fn is_stopped(&self) -> bool {
        !self.vring.get_ref().get_queue().ready()
    }

    fn send(&self) {
        if self.is_stopped() {
            return;
        }
        let sent = write_reply(self.chain.memory(), &self.chain, &self.bytes)
            .inspect_err(|error| error!("a late reply is lost: {error}"));
        // Its buffers go back to the guest all the same.
        let used = if sent.is_ok() { self.used } else { 0 };
        let done = complete(&self.vring, self.chain.head_index(), used, self.event_idx);
        if let Err(error) = done {
            error!("a late reply found its queue broken: {error}");
        }
    }
}

/// In the order they are due; those due at one instant in that they came in.
type Waiting = BTreeMap<(Instant, u64), Pending>;

#[derive(Default)]
struct State {
    waiting: Waiting,
    /// Replies ever held back.
    count: u64,
    ended: bool,
}

#[derive(Default)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is due until the end.
    fn run(&self) {
        let mut state = self.state();
        while !state.ended {
            let now = Instant::now();
            let Some((&(due, _), _)) = state.waiting.first_key_value() else {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if due > now {
                let wait = self.changed.wait_timeout(state, due - now);
                state = wait.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            // Sent under the lock: once `clear` has returned, no reply of
            // before reaches the guest.
            if let Some((_, pending)) = state.waiting.pop_first() {
                pending.send();
            }
        }
    }
}

/// The replies held back on one device. Dropping it drops them.
#[derive(Default)]
pub(crate) struct Delays {
    line: Arc<Line>,
    /// Started by the first reply: few devices have one.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays")
            .field("waiting", &self.line.state().waiting.len())
            .finish()
    }
}

impl Delays {
    /// Sends the reply after `delay`.
    pub(crate) fn add(&self, delay: Duration, pending: Pending) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let line = Arc::clone(&self.line);
            let name = "fs-backend-late".to_owned();
            match thread::Builder::new().name(name).spawn(move || line.run()) {
                Ok(handle) => *thread = Some(handle),
                Err(error) => {
                    error!("no thread for late replies, so this one is early: {error}");
                    pending.send();
                    return;
                }
            }
        }
        let mut state = self.line.state();
        let order = state.count;
        state.count += 1;
        // Rules allow an hour at most.
        let due = Instant::now() + delay;
        state.waiting.insert((due, order), pending);
        self.line.changed.notify_one();
    }

    /// Drops all replies: the device was reset.
    pub(crate) fn clear(&self) {
        self.line.state().waiting.clear();
    }

    /// Drops the replies to requests the front end has taken back.
    pub(crate) fn drop_stopped(&self) {
        let mut state = self.line.state();
        let before = state.waiting.len();
        state.waiting.retain(|_, pending| !pending.is_stopped());
        debug!("{} late replies dropped", before - state.waiting.len());
    }
}

impl Drop for Delays {
    fn drop(&mut self) {
        let mut state = self.line.state();
        state.ended = true;
        state.waiting.clear();
        drop(state);
        self.line.changed.notify_one();
        let thread = self.thread.get_mut();
        let thread = thread.unwrap_or_else(PoisonError::into_inner).take();
        // A panic was reported when it happened.
        let _ = thread.map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests;
