//! A panic of PID 1 takes the kernel down with it, so the host hears of it first.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use lookback_wire::control::FromGuest;

use crate::console::say;
use crate::port::Port;

/// This process is a worker: its pipe is its only way to the host.
static WORKER: AtomicBool = AtomicBool::new(false);

/// From here on this process is a worker.
pub fn in_worker() {
    WORKER.store(true, Ordering::SeqCst);
}

/// Report panics on the console and to the host.
pub fn report_through(port: Port) {
    let port = Mutex::new(port);
    panic::set_hook(Box::new(move |info| {
        say(format!("{info}"));
        if !WORKER.load(Ordering::SeqCst) {
            let message = FromGuest::Broken(format!("the agent panicked: {info}"));
            let mut port = port.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(e) = port.send(&message) {
                say(format!("the host can't be told: {e}"));
            }
        }
    }));
}
