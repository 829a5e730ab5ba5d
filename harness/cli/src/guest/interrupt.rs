//! What a signal that ends us must not leave behind, and who else hears of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use lookback_wire::control::ToGuest;
use nix::sys::signal::{SigSet, Signal};

use crate::guest::line::Line;

/// Who is told of a signal before it ends us.
#[derive(Debug, Clone, Default)]
pub struct Heir(Arc<Mutex<Option<Line>>>);

impl Heir {
    /// The next signal is the program's that runs in this guest.
    pub fn set(&self, line: Line) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }

    /// The next signal is ours.
    pub fn take(&self) -> Option<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Has SIGINT, SIGTERM and SIGHUP remove directories and end the process with
/// 128 and the signal's number, as a shell reports it. The guest dies with us
/// by its parent-death signal, the servers are our threads.
///
/// Where there is an [`Heir`] the first signal is its instead.
///
/// To be called before other threads are made, which inherit the mask.
pub fn remove_on_signal(directories: &[&Path]) -> io::Result<Heir> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let directories: Vec<PathBuf> = directories.iter().map(|path| path.to_path_buf()).collect();
    let heir = Heir::default();
    let told = heir.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                if let Some(line) = told.take() {
                    eprintln!("lookback: {signal} is passed on; once more ends the guest");
                    line.send_later(ToGuest::Signal(signal as i32));
                    continue;
                }
                eprintln!("lookback: {signal}: ending");
                for directory in &directories {
                    if let Err(error) = fs::remove_dir_all(directory) {
                        eprintln!("lookback: {}: {error}", directory.display());
                    }
                }
                std::process::exit(128 + signal as i32);
            }
        })?;
    Ok(heir)
}
