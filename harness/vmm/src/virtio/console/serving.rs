//! The queues at work, and what wakes them up.

use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::{CONTROL_RECEIVE, CONTROL_TRANSMIT, QUEUES, RECEIVE, TRANSMIT};
use crate::memory::Memory;
use crate::virtio::console::port::Port;
use crate::virtio::device::ActiveQueue;
use crate::virtio::drain::{QueueError, drain};
use crate::virtio::interrupt::Interrupt;

/// All that the device's thread has.
#[derive(Debug)]
pub(super) struct Serving {
    pub port: Port,
    pub memory: Memory,
    pub interrupt: Arc<Interrupt>,
    pub queues: [ActiveQueue; QUEUES],
}

impl Serving {
    /// Does what can be done. A queue that is broken ends it all, until the
    /// driver resets the device.
    pub fn serve(&mut self) {
        if self.interrupt.is_broken() {
            return;
        }
        if let Err((index, error)) = self.serve_queues() {
            self.port.complain(&format!("queue {index}: {error}"));
            if let Err(error) = self.interrupt.needs_reset() {
                self.port
                    .complain(&format!("the driver can't be told: {error}"));
            }
        }
    }

    fn serve_queues(&mut self) -> Result<(), (usize, QueueError)> {
        // First: Linux waits for it with a lock held.
        self.hear()?;
        self.tell()?;
        let Serving {
            port,
            memory,
            interrupt,
            queues,
        } = self;
        drain(&mut queues[TRANSMIT], memory, interrupt, |chain| {
            port.transmit(chain)
        })
        .map_err(|e| (TRANSMIT, e))?;
        if port.receives() {
            drain(&mut queues[RECEIVE], memory, interrupt, |chain| {
                port.receive(chain)
            })
            .map_err(|e| (RECEIVE, e))?;
        }
        // The stream may have ended.
        self.tell()
    }

    fn hear(&mut self) -> Result<(), (usize, QueueError)> {
        let queue = &mut self.queues[CONTROL_TRANSMIT];
        let port = &mut self.port;
        drain(queue, &self.memory, &self.interrupt, |chain| {
            Ok(port.hear(&chain))
        })
        .map_err(|e| (CONTROL_TRANSMIT, e))
    }

    fn tell(&mut self) -> Result<(), (usize, QueueError)> {
        if !self.port.has_news() {
            return Ok(());
        }
        let queue = &mut self.queues[CONTROL_RECEIVE];
        let port = &mut self.port;
        drain(queue, &self.memory, &self.interrupt, |chain| {
            port.tell(&chain)
        })
        .map_err(|e| (CONTROL_RECEIVE, e))
    }

    fn watch(&self, ops: &mut EventOps) -> Result<(), event_manager::Error> {
        for (index, active) in (0..).zip(&self.queues) {
            ops.add(Events::with_data(&active.kick, index, EventSet::IN))?;
        }
        // Edges only: a stream with bytes for a guest without room, or with
        // room for a guest without bytes, is ready all the time.
        let edges = EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP;
        let edges = edges | EventSet::EDGE_TRIGGERED;
        let socket = &self.port.stream.socket;
        ops.add(Events::with_data(socket, u32::MAX, edges))
    }
}

impl MutEventSubscriber for Serving {
    fn process(&mut self, events: Events, _ops: &mut EventOps) {
        let index = usize::try_from(events.data()).ok();
        if let Some(active) = index.and_then(|index| self.queues.get(index)) {
            // Another wake-up may have emptied it already.
            let _ = active.kick.read();
        }
        self.serve();
    }

    fn init(&mut self, ops: &mut EventOps) {
        if let Err(error) = self.watch(ops) {
            self.port
                .complain(&format!("the queues can't be watched: {error:?}"));
        }
        self.serve();
    }
}
