//! Notices that a backend hangs up while the guest relies on it.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use crate::complaints::Complaints;
use crate::virtio::interrupt::Interrupt;

/// Waits for the end of the connection, and reads nothing from it: its
/// messages are another's.
#[derive(Debug)]
pub(super) struct HangUp {
    pub(super) stream: UnixStream,
    /// Device and socket, for the complaint.
    pub(super) name: String,
    pub(super) interrupt: Arc<Interrupt>,
    pub(super) complaints: Complaints,
}

impl HangUp {
    fn complain(&self, what: &str) {
        self.complaints.push(format_args!("{}: {what}", self.name));
    }
}

impl MutEventSubscriber for HangUp {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        self.complain("the backend hung up, the share is lost");
        // Fails only with 2^64 - 2 interrupts pending.
        let _ = self.interrupt.needs_reset();
        // The end stays; once is enough.
        if let Err(error) = ops.remove(events) {
            self.complain(&format!("the watch does not end: {error:?}"));
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        let end = Events::new(&self.stream, EventSet::READ_HANG_UP);
        if let Err(error) = ops.add(end) {
            self.complain(&format!("the backend can't be watched: {error:?}"));
        }
    }
}
