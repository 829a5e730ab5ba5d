//! Our own machine on the host's KVM as an engine.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use lookback_vmm::{Config, End, Machine, Streams};

use crate::console::{Console, pair};
use crate::error::Error;
use crate::guest::{Engine, Exit, Guest, Snapshot};
use crate::spec::GuestSpec;

/// Boots guests in this process, on `/dev/kvm`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kvm;

impl Engine for Kvm {
    fn name(&self) -> &'static str {
        "kvm"
    }

    fn boot(&self, spec: &GuestSpec) -> Result<Box<dyn Guest>, Error> {
        spec.check()?;
        let config = config(spec)?;
        start(spec, |streams| Machine::boot(&config, streams))
    }

    fn restore(&self, snapshot: &Snapshot, spec: &GuestSpec) -> Result<Box<dyn Guest>, Error> {
        spec.check()?;
        let config = config(spec)?;
        start(spec, |streams| {
            Machine::restore(&snapshot.0, &config, streams)
        })
    }
}

/// The machine that `spec` describes.
fn config(spec: &GuestSpec) -> Result<Config, Error> {
    Ok(Config {
        kernel: spec.kernel.clone(),
        initramfs: spec.initramfs.clone(),
        cmdline: cmdline(spec),
        memory_mib: spec.memory_mib,
        cpus: u8::try_from(spec.cpus).map_err(|_| {
            Error::Spec(format!("{} vCPUs are more than any machine has", spec.cpus))
        })?,
        control_port: spec.control_port.clone(),
        disks: spec.disks.clone(),
        shares: spec.shares.clone(),
    })
}

/// The parameters that are not about the machine; see the QEMU engine's.
fn cmdline(spec: &GuestSpec) -> String {
    // loglevel=5: warnings and worse. Each byte on the serial console takes two
    // exits to this process, which the chatter of a boot is not worth.
    let line = "panic=-1 oops=panic loglevel=5 printk.time=1 printk.devkmsg=on";
    format!("{line} {}", spec.cmdline.trim())
}

fn start(
    spec: &GuestSpec,
    machine: impl FnOnce(Streams) -> Result<Machine, lookback_vmm::Error>,
) -> Result<Box<dyn Guest>, Error> {
    let (console, serial) = pair()?;
    let (control, guest_control) = pair()?;
    let console = Console::start(console, &spec.run_dir.join("console.log"))?;
    let machine = machine(Streams {
        serial,
        control: guest_control,
    })
    .map_err(Error::Machine)?;
    Ok(Box::new(KvmGuest {
        machine,
        console,
        control: Some(control),
    }))
}

/// A guest of [`Kvm`].
#[derive(Debug)]
struct KvmGuest {
    /// Dropped first: the console's end of file follows.
    machine: Machine,
    console: Console,
    control: Option<UnixStream>,
}

impl KvmGuest {
    /// How the guest ended, if it has.
    fn end(&self) -> Option<End> {
        self.machine.wait(Instant::now())
    }
}

impl Guest for KvmGuest {
    fn control(&mut self) -> Option<UnixStream> {
        self.control.take()
    }

    fn console(&mut self) -> Option<Receiver<Vec<u8>>> {
        self.console.take_chunks()
    }

    fn console_tail(&self, lines: usize) -> String {
        self.console.tail(lines)
    }

    fn diagnostics(&self) -> String {
        let complaints = self.machine.complaints();
        match self.end() {
            Some(End::TripleFault { cpu, what } | End::Failed { cpu, what }) => {
                format!("{complaints}\nvCPU {cpu}: {what}")
                    .trim()
                    .to_owned()
            }
            _ => complaints,
        }
    }

    fn wait(&mut self, deadline: Instant) -> Result<Option<Exit>, Error> {
        let Some(end) = self.machine.wait(deadline) else {
            return Ok(None);
        };
        self.console.finish()?;
        match end {
            End::Reset | End::TripleFault { .. } => Ok(Some(Exit { killed: false })),
            End::Stopped => Ok(Some(Exit { killed: true })),
            End::Failed { cpu, what } => {
                Err(Error::Machine(lookback_vmm::Error::Vcpu { cpu, what }))
            }
        }
    }

    fn kill(&mut self) -> Result<(), Error> {
        self.machine.stop();
        self.console.finish()
    }

    fn snapshot(&mut self) -> Result<Snapshot, Error> {
        self.machine
            .snapshot()
            .map(Snapshot)
            .map_err(Error::Machine)
    }
}
