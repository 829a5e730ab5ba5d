//! The thread that sees a machine through to its end.

use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::thread::JoinHandle;

use super::build::Vm;
use super::snapshot::{self, Snapshot};
use super::{End, Event, Life};
use crate::cpu::{self, Command, CpuState, Ended};
use crate::error::Error;

/// A running machine's parts.
#[derive(Debug)]
pub(super) struct Parts {
    // Before the VM that they are part of.
    pub(super) cpus: Vec<CpuThread>,
    pub(super) vm: Vm,
}

/// A vCPU's thread and the way to it.
#[derive(Debug)]
pub(super) struct CpuThread {
    pub(super) thread: JoinHandle<()>,
    pub(super) commands: Sender<Command>,
}

/// Says that the guest has ended, whatever becomes of the thread.
struct Obituary<'a> {
    life: &'a Life,
    end: End,
}

impl Drop for Obituary<'_> {
    fn drop(&mut self) {
        self.life.finish(self.end.clone());
    }
}

/// Waits for the end, and tears everything down.
pub(super) fn run(parts: Parts, events: &Receiver<Event>, life: &Life) {
    let mut obituary = Obituary {
        life,
        end: End::Failed {
            cpu: 0,
            what: "the machine's thread panicked".to_owned(),
        },
    };
    let Parts { cpus, mut vm } = parts;
    obituary.end = loop {
        match events.recv() {
            Ok(Event::CpuEnded { cpu, how }) => {
                break match how {
                    Ended::Stopped => End::Stopped,
                    Ended::Reset => End::Reset,
                    Ended::TripleFault(what) => End::TripleFault { cpu, what },
                    Ended::Failed(what) => End::Failed { cpu, what },
                };
            }
            Ok(Event::Reset) => break End::Reset,
            Ok(Event::Stop) | Err(_) => break End::Stopped,
            Ok(Event::Snapshot(answer)) => {
                // Who asked may have given up.
                let _ = answer.send(take(&cpus, &mut vm));
            }
        }
    };
    end(cpus);
    // The devices' threads end, and the streams are closed.
    drop(vm);
}

/// Ends all vCPUs.
pub(super) fn end(cpus: Vec<CpuThread>) {
    for cpu in cpus {
        // One that has ended takes no command and no signal.
        let _ = cpu.commands.send(Command::Stop);
        if let Err(error) = cpu::kick(&cpu.thread) {
            tracing::warn!("{error}");
        }
        if cpu.thread.join().is_err() {
            tracing::warn!("a vCPU's thread panicked");
        }
    }
}

/// Stops everything, takes the state, and lets everything go on.
fn take(cpus: &[CpuThread], vm: &mut Vm) -> Result<Snapshot, Error> {
    let gone = || Error::Snapshot("a vCPU has ended".to_owned());
    let mut result = Ok(());
    for cpu in cpus {
        let (sender, receiver) = sync_channel(1);
        let paused = cpu
            .commands
            .send(Command::Pause(sender))
            .map_err(|_| gone())
            .and_then(|()| cpu::kick(&cpu.thread))
            .and_then(|()| receiver.recv().map_err(|_| gone()));
        result = result.and(paused);
    }
    // The devices stop before the vCPUs' state is read: their last interrupts
    // are in it.
    let snapshot = result.and_then(|()| {
        snapshot::take(vm, || {
            cpus.iter()
                .map(|cpu| {
                    let (sender, receiver) = sync_channel(1);
                    cpu.commands
                        .send(Command::Save(sender))
                        .map_err(|_| gone())?;
                    receiver.recv().map_err(|_| gone())?
                })
                .collect::<Result<Vec<CpuState>, Error>>()
        })
    });
    for cpu in cpus {
        let _ = cpu.commands.send(Command::Resume);
    }
    snapshot
}
