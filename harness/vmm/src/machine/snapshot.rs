//! A booted guest, kept in memory, to start others from.

use kvm_bindings::{
    KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, kvm_clock_data, kvm_irqchip,
    kvm_pit_state2,
};
use kvm_ioctls::{VcpuFd, VmFd};
use vm_superio::SerialState;

use super::build::{Vm, lock};
use crate::config::{Config, Disk};
use crate::cpu::CpuState;
use crate::error::{Error, kvm};
use crate::memory::{self, Memory};
use crate::virtio::TransportState;

/// A booted guest: its memory, vCPUs, interrupt controllers and devices. What
/// its disks hold is not in it.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) memory: Memory,
    pub(super) serial: SerialState,
    shape: Shape,
    cpus: Vec<CpuState>,
    chips: Chips,
    transports: Vec<TransportState>,
}

/// What a machine must have in common with the snapshot that it goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    cpus: u8,
    memory_mib: u32,
    disks: Vec<(String, bool)>,
    tags: Vec<String>,
}

impl Shape {
    pub(super) fn of(config: &Config) -> Self {
        Shape {
            cpus: config.cpus,
            memory_mib: config.memory_mib,
            disks: config
                .disks
                .iter()
                .map(
                    |Disk {
                         serial, readonly, ..
                     }| (serial.clone(), *readonly),
                )
                .collect(),
            tags: config
                .shares
                .iter()
                .map(|share| share.tag.clone())
                .collect(),
        }
    }
}

/// The interrupt controllers and clocks that are KVM's.
#[derive(Debug, Clone)]
struct Chips {
    controllers: [kvm_irqchip; 3],
    timer: kvm_pit_state2,
    clock: kvm_clock_data,
}

impl Chips {
    fn take(fd: &VmFd) -> Result<Self, Error> {
        let mut controllers = [
            KVM_IRQCHIP_PIC_MASTER,
            KVM_IRQCHIP_PIC_SLAVE,
            KVM_IRQCHIP_IOAPIC,
        ]
        .map(|chip_id| kvm_irqchip {
            chip_id,
            ..kvm_irqchip::default()
        });
        for controller in &mut controllers {
            fd.get_irqchip(controller).map_err(kvm("KVM_GET_IRQCHIP"))?;
        }
        let mut clock = fd.get_clock().map_err(kvm("KVM_GET_CLOCK"))?;
        // What KVM tells about the clock is not what it takes.
        clock.flags = 0;
        Ok(Chips {
            controllers,
            timer: fd.get_pit2().map_err(kvm("KVM_GET_PIT2"))?,
            clock,
        })
    }

    fn put(&self, fd: &VmFd) -> Result<(), Error> {
        for controller in &self.controllers {
            fd.set_irqchip(controller).map_err(kvm("KVM_SET_IRQCHIP"))?;
        }
        fd.set_pit2(&self.timer).map_err(kvm("KVM_SET_PIT2"))?;
        fd.set_clock(&self.clock).map_err(kvm("KVM_SET_CLOCK"))
    }
}

/// Takes a snapshot of a machine whose vCPUs stand still; `cpus` asks them for
/// their state. The devices go on afterwards.
pub(super) fn take(
    vm: &mut Vm,
    cpus: impl FnOnce() -> Result<Vec<CpuState>, Error>,
) -> Result<Snapshot, Error> {
    let mut transports = Vec::new();
    let mut failed = None;
    for transport in &vm.transports {
        let mut transport = lock(transport);
        match transport.save() {
            Ok(state) => transports.push(state),
            Err(source) => {
                let name = transport.name().to_owned();
                failed.get_or_insert(Error::Device { name, source });
            }
        }
    }
    let snapshot = failed.map_or(Ok(()), Err).and_then(|()| {
        Ok(Snapshot {
            cpus: cpus()?,
            chips: Chips::take(&vm.fd)?,
            memory: memory::copy(&vm.memory)?,
            serial: lock(&vm.serial).state(),
            shape: vm.shape.clone(),
            transports,
        })
    });
    let mut resumed = Ok(());
    for transport in &vm.transports {
        let mut transport = lock(transport);
        if let Err(source) = transport.resume() {
            let name = transport.name().to_owned();
            resumed = Err(Error::Device { name, source });
        }
    }
    snapshot.and_then(|snapshot| resumed.map(|()| snapshot))
}

impl Snapshot {
    /// The guest's memory, as every machine that goes on from here begins with.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Says what a machine lacks to go on from here.
    pub(super) fn check(&self, shape: &Shape) -> Result<(), Error> {
        if *shape == self.shape {
            return Ok(());
        }
        Err(Error::Snapshot(format!(
            "it was taken of a machine with {:?}, not of one with {shape:?}",
            self.shape
        )))
    }

    /// Makes a machine without a past go on from here.
    pub(super) fn put(&self, vm: &Vm, cpus: &[VcpuFd]) -> Result<(), Error> {
        self.chips.put(&vm.fd)?;
        for (state, cpu) in self.cpus.iter().zip(cpus) {
            state.put(cpu)?;
        }
        for (state, transport) in self.transports.iter().zip(&vm.transports) {
            let mut transport = lock(transport);
            transport.restore(state).map_err(|source| Error::Device {
                name: transport.name().to_owned(),
                source,
            })?;
        }
        Ok(())
    }
}
