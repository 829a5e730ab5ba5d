//! A thread that serves one device's events.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::io;
use std::os::fd::AsRawFd;
use std::thread::{self, JoinHandle};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use vmm_sys_util::eventfd::EventFd;

use crate::virtio::device::DeviceError;

/// A running thread. Dropped without [`Worker::stop`], it stops and what it
/// served is dropped with it.
#[derive(Debug)]
pub struct Worker<S> {
    stop: EventFd,
    thread: Option<JoinHandle<Result<S, DeviceError>>>,
}

impl<S: MutEventSubscriber + Send + 'static> Worker<S> {
    /// Starts a thread by this name (the kernel keeps 15 bytes of it). The
    /// first thing it does is `subscriber.init`.
    ///
    /// # Errors
    /// [`DeviceError::System`] for an eventfd, an epoll instance or a thread
    /// that can't be had; the subscriber is dropped.
    pub fn start(name: &str, subscriber: S) -> Result<Self, DeviceError> {
        let stop = EventFd::new(libc::EFD_NONBLOCK).map_err(system("eventfd"))?;
        let stopped = stop.try_clone().map_err(system("eventfd"))?;
        let manager = EventManager::new().map_err(|e| event_error("epoll", e))?;
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(manager, stopped, subscriber))
            .map_err(system("thread"))?;
        Ok(Worker {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the thread after the event it is at, and gives the subscriber back.
    ///
    /// # Errors
    /// [`DeviceError::Panic`]; [`DeviceError::System`] if its loop ended early.
    pub fn stop(mut self) -> Result<S, DeviceError> {
        self.join().unwrap_or(Err(DeviceError::Panic))
    }
}

impl<S> Worker<S> {
    fn join(&mut self) -> Option<Result<S, DeviceError>> {
        let thread = self.thread.take()?;
        // Fails only with 2^64 - 2 stops pending, each of which ends the loop.
        let _ = self.stop.write(1);
        Some(
            thread
                .join()
                .unwrap_or_else(|_: Box<dyn Any + Send>| Err(DeviceError::Panic)),
        )
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

fn serve<S: MutEventSubscriber>(
    mut manager: EventManager<Stoppable<S>>,
    stop: EventFd,
    inner: S,
) -> Result<S, DeviceError> {
    // The signals that interrupt KVM_RUN and those that end the program are
    // for other threads.
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None)
        .map_err(|e| system("signal mask")(e.into()))?;
    let id = manager.add_subscriber(Stoppable {
        inner,
        stop,
        stopping: None,
    });
    loop {
        let subscriber = manager
            .subscriber_mut(id)
            .map_err(|e| event_error("epoll", e))?;
        match subscriber.stopping.take() {
            Some(Ok(())) => break,
            Some(Err(error)) => return Err(error),
            None => {}
        }
        manager.run().map_err(|e| event_error("epoll", e))?;
    }
    manager
        .remove_subscriber(id)
        .map(|subscriber| subscriber.inner)
        .map_err(|e| event_error("epoll", e))
}

/// A subscriber and the eventfd that ends its loop.
struct Stoppable<S> {
    inner: S,
    stop: EventFd,
    stopping: Option<Result<(), DeviceError>>,
}

impl<S: MutEventSubscriber> MutEventSubscriber for Stoppable<S> {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        if events.fd() == self.stop.as_raw_fd() {
            self.stopping = Some(Ok(()));
        } else if self.stopping.is_none() {
            self.inner.process(events, ops);
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        match ops.add(Events::new(&self.stop, EventSet::IN)) {
            Ok(()) => self.inner.init(ops),
            Err(error) => self.stopping = Some(Err(event_error("epoll", error))),
        }
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> DeviceError {
    move |source| DeviceError::System { what, source }
}

fn event_error(what: &'static str, error: event_manager::Error) -> DeviceError {
    system(what)(match error {
        event_manager::Error::Epoll(errno) => io::Error::from_raw_os_error(errno.errno()),
        other => io::Error::other(other),
    })
}
