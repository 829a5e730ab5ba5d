//! The thread a vCPU runs in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError};

use kvm_ioctls::{VcpuExit, VcpuFd};
use vm_device::bus::{MmioAddress, PioAddress};
use vm_device::device_manager::{IoManager, MmioManager, PioManager};

use super::exit::{self, Ended};
use super::kick;
use super::state::CpuState;
use crate::error::Error;
use crate::machine::Event;

/// What a vCPU is told. The first and the last are followed by a
/// [kick](fn@super::kick).
#[derive(Debug)]
pub(crate) enum Command {
    /// Stand still and say so.
    Pause(SyncSender<()>),
    /// Standing still: answer with the state.
    Save(SyncSender<Result<CpuState, Error>>),
    /// Go on.
    Resume,
    /// End.
    Stop,
}

/// A vCPU and what its thread needs.
#[derive(Debug)]
pub(crate) struct Cpu {
    /// Its number.
    pub(crate) id: u8,
    /// KVM's end.
    pub(crate) fd: VcpuFd,
    /// Where its I/O goes.
    pub(crate) bus: Arc<Bus>,
    /// From the machine.
    pub(crate) commands: Receiver<Command>,
    /// To the machine.
    pub(crate) events: Sender<Event>,
    /// MSRs that make up its state.
    pub(crate) msrs: Arc<[u32]>,
}

/// The ports and the MMIO addresses of a machine.
pub(crate) struct Bus(pub(crate) IoManager);

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bus")
    }
}

impl Bus {
    /// A port that nobody has floats high, as on an ISA bus.
    fn read_port(&self, port: u16, data: &mut [u8]) {
        if self.0.pio_read(PioAddress(port), data).is_err() {
            data.fill(0xff);
        }
    }

    fn write_port(&self, port: u16, data: &[u8]) {
        if self.0.pio_write(PioAddress(port), data).is_err() {
            tracing::trace!("nobody is at port {port:#x}");
        }
    }

    fn read(&self, address: u64, data: &mut [u8]) {
        if self.0.mmio_read(MmioAddress(address), data).is_err() {
            data.fill(0xff);
        }
    }

    fn write(&self, address: u64, data: &[u8]) {
        if self.0.mmio_write(MmioAddress(address), data).is_err() {
            tracing::trace!("nobody is at {address:#x}");
        }
    }
}

impl Cpu {
    /// Runs the vCPU until it ends, and reports how.
    pub(crate) fn run(mut self) {
        // The machine must hear of the end, even of one by an error in here.
        let how = catch_unwind(AssertUnwindSafe(|| match kick::let_in(&self.fd) {
            Ok(()) => self.work(),
            Err(error) => Ended::Failed(error.to_string()),
        }));
        let how = how.unwrap_or_else(|_| Ended::Failed("its thread panicked".to_owned()));
        let cpu = self.id;
        // A machine that is gone wants no report.
        let _ = self.events.send(Event::CpuEnded { cpu, how });
    }

    fn work(&mut self) -> Ended {
        loop {
            let reason = match self.fd.run() {
                Ok(VcpuExit::IoIn(port, data)) => {
                    self.bus.read_port(port, data);
                    continue;
                }
                Ok(VcpuExit::IoOut(port, data)) => {
                    self.bus.write_port(port, data);
                    continue;
                }
                Ok(VcpuExit::MmioRead(address, data)) => {
                    self.bus.read(address, data);
                    continue;
                }
                Ok(VcpuExit::MmioWrite(address, data)) => {
                    self.bus.write(address, data);
                    continue;
                }
                Ok(VcpuExit::Intr) => match self.obey() {
                    Some(how) => return how,
                    None => continue,
                },
                Err(error) if error.errno() == libc::EINTR => match self.obey() {
                    Some(how) => return how,
                    None => continue,
                },
                Err(error) if error.errno() == libc::EAGAIN => continue,
                Ok(VcpuExit::Shutdown) => {
                    // On AMD the processor's own state is lost by then, and
                    // these are the registers of a reset.
                    return Ended::TripleFault(exit::describe(&self.fd, "triple fault"));
                }
                Ok(VcpuExit::SystemEvent(kind, _)) => return exit::system_event(kind),
                Ok(VcpuExit::FailEntry(reason, _)) => {
                    format!("the processor refuses to enter the guest (reason {reason:#x})")
                }
                Ok(VcpuExit::InternalError) => self.internal_error(),
                Ok(other) => format!("unexpected exit {other:?}"),
                Err(error) => format!("KVM_RUN: {error}"),
            };
            return Ended::Failed(exit::describe(&self.fd, &reason));
        }
    }

    /// KVM's own trouble: most often an instruction it can't emulate.
    fn internal_error(&mut self) -> String {
        let run = self.fd.get_kvm_run();
        // SAFETY: after KVM_EXIT_INTERNAL_ERROR this is the member of the union
        // that KVM has written.
        let suberror = unsafe { run.__bindgen_anon_1.internal.suberror };
        let meaning = match suberror {
            1 => "an instruction that KVM can't emulate",
            2 => "an exception during the delivery of another",
            3 => "an unexpected exit during the delivery of an exception",
            4 => "an exit KVM knows nothing of",
            _ => "of a kind unknown here",
        };
        format!("KVM_EXIT_INTERNAL_ERROR {suberror} ({meaning})")
    }

    /// Does what the machine wants; returns if that is the end.
    fn obey(&mut self) -> Option<Ended> {
        if let Err(error) = kick::acknowledge() {
            return Some(Ended::Failed(error.to_string()));
        }
        let mut paused = false;
        loop {
            let command = if paused {
                self.commands.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.commands.try_recv()
            };
            match command {
                // Who asked may be gone; then the commands end, too.
                Ok(Command::Pause(answer)) => {
                    paused = true;
                    let _ = answer.send(());
                }
                Ok(Command::Save(answer)) => {
                    let _ = answer.send(CpuState::take(&self.fd, &self.msrs));
                }
                Ok(Command::Resume) => paused = false,
                Err(TryRecvError::Empty) => return None,
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => {
                    // Of a guest that hangs this may be all there is to see.
                    tracing::debug!("vCPU {}: {}", self.id, exit::describe(&self.fd, "stopped"));
                    return Some(Ended::Stopped);
                }
            }
        }
    }
}
