use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;

use super::*;
use crate::virtio::testing::await_readable;

/// Counts what comes, answers it, and panics when told to.
struct Counter {
    event: EventFd,
    answer: EventFd,
    count: u64,
    dropped: Option<Arc<Mutex<bool>>>,
}

impl Counter {
    fn new() -> (Counter, EventFd, EventFd) {
        let event = EventFd::new(libc::EFD_NONBLOCK).unwrap();
        let answer = EventFd::new(libc::EFD_NONBLOCK).unwrap();
        let (ring, answered) = (event.try_clone().unwrap(), answer.try_clone().unwrap());
        let counter = Counter {
            event,
            answer,
            count: 0,
            dropped: None,
        };
        (counter, ring, answered)
    }
}

impl MutEventSubscriber for Counter {
    fn process(&mut self, _events: Events, _ops: &mut EventOps) {
        let mask = SigSet::thread_get_mask().unwrap();
        assert!(mask.contains(Signal::SIGTERM) && mask.contains(Signal::SIGIO));
        match self.event.read().unwrap() {
            666 => panic!("as told"),
            count => self.count += count,
        }
        self.answer.write(1).unwrap();
    }

    fn init(&mut self, ops: &mut EventOps) {
        ops.add(Events::new(&self.event, EventSet::IN)).unwrap();
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            *dropped.lock().unwrap() = true;
        }
    }
}

#[test]
fn events_are_served_until_the_stop() {
    let (counter, ring, answered) = Counter::new();
    let worker = Worker::start("counter", counter).unwrap();
    for count in [3, 4] {
        ring.write(count).unwrap();
        await_readable(&answered);
    }
    let counter = worker.stop().unwrap();
    assert_eq!(counter.count, 7);
    let worker = Worker::start("counter", counter).unwrap();
    ring.write(1).unwrap();
    await_readable(&answered);
    assert_eq!(worker.stop().unwrap().count, 8);
}

#[test]
fn a_panic_is_an_error_of_the_stop() {
    let (counter, ring, _answered) = Counter::new();
    let worker = Worker::start("counter", counter).unwrap();
    ring.write(666).unwrap();
    while !worker.thread.as_ref().unwrap().is_finished() {
        thread::yield_now();
    }
    assert!(matches!(worker.stop(), Err(DeviceError::Panic)));
}

#[test]
fn a_worker_that_is_dropped_has_ended() {
    let (mut counter, _ring, _answered) = Counter::new();
    let dropped = Arc::new(Mutex::new(false));
    counter.dropped = Some(Arc::clone(&dropped));
    drop(Worker::start("counter", counter).unwrap());
    assert!(*dropped.lock().unwrap());
}
