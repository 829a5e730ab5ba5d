//! What a signal that ends us must not leave behind.

use std::{fs, io, path::Path, thread};

use nix::sys::signal::{SigSet, Signal};

/// Has SIGINT, SIGTERM and SIGHUP remove a directory and end the process with
/// 128 and the signal's number, as a shell reports it. The guest dies with us
/// by its parent-death signal, the servers are our threads.
///
/// To be called before other threads are made, which inherit the mask.
pub fn remove_on_signal(directory: &Path) -> io::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let directory = directory.to_owned();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Ok(signal) = signals.wait() {
                eprintln!("lookback: {signal}: ending");
                if let Err(error) = fs::remove_dir_all(&directory) {
                    eprintln!("lookback: {}: {error}", directory.display());
                }
                std::process::exit(128 + signal as i32);
            }
        })?;
    Ok(())
}
