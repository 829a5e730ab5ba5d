//! Puts a machine together.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, KVM_PIT_SPEAKER_DUMMY, kvm_pit_config,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, IoEventAddress, Kvm, VcpuFd, VmFd};
use linux_loader::loader::Cmdline;
use virtio_bindings::virtio_mmio::VIRTIO_MMIO_QUEUE_NOTIFY;
use vm_device::bus::{MmioAddress, MmioRange, PioAddress, PioRange};
use vm_device::device_manager::{IoManager, MmioManager, PioManager};
use vm_memory::{GuestMemory, GuestMemoryRegion};
use vmm_sys_util::eventfd::EventFd;

use super::Event;
use super::snapshot::{Shape, Snapshot};
use super::supervisor::{self, CpuThread, Parts};
use crate::boot::{self, BootError};
use crate::complaints::Complaints;
use crate::config::{Config, Streams};
use crate::cpu::{self, Bus, Cpu};
use crate::error::{Error, kvm, system};
use crate::layout;
use crate::memory::{self, Memory};
use crate::port::{I8042_PORTS, ResetPort, SERIAL_PORTS, SerialPort};
use crate::virtio::{Blk, Console, Device, DeviceError, Fs, MmioTransport};

/// Everything of a machine but its vCPUs.
pub(super) struct Vm {
    /// The devices, in the order of their addresses.
    pub(super) transports: Vec<Arc<Mutex<MmioTransport>>>,
    pub(super) serial: Arc<Mutex<SerialPort>>,
    pub(super) bus: Arc<Bus>,
    pub(super) fd: VmFd,
    // Behind the VM that has it mapped.
    pub(super) memory: Memory,
    pub(super) shape: Shape,
    /// MSRs that make up a vCPU.
    pub(super) msrs: Arc<[u32]>,
    kvm: Kvm,
    supported: CpuId,
}

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm").field("shape", &self.shape).finish()
    }
}

/// A device whose holder panicked is as good as before: each register write
/// leaves it whole.
pub(super) fn lock<T>(device: &Mutex<T>) -> MutexGuard<'_, T> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine at its kernel's first instruction.
pub(super) fn boot(
    config: &Config,
    streams: Streams,
    complaints: &Complaints,
    events: &Sender<Event>,
) -> Result<Parts, Error> {
    let memory = memory::allocate(config.memory_mib)?;
    let vm = assemble(config, streams, memory, None, complaints, events)?;
    let cpus = vm.create_cpus(config.cpus)?;
    let entry = boot::load(
        &vm.memory,
        &config.kernel,
        &config.initramfs,
        &cmdline(config, &cpus)?,
        config.cpus,
    )?;
    if let Some(first) = cpus.first() {
        cpu::boot_registers(first, entry)?;
    }
    vm.start(cpus, events)
}

/// A machine that goes on where a snapshot was taken.
pub(super) fn restore(
    snapshot: &Snapshot,
    config: &Config,
    streams: Streams,
    complaints: &Complaints,
    events: &Sender<Event>,
) -> Result<Parts, Error> {
    snapshot.check(&Shape::of(config))?;
    let memory = memory::copy(&snapshot.memory)?;
    let vm = assemble(config, streams, memory, Some(snapshot), complaints, events)?;
    let cpus = vm.create_cpus(config.cpus)?;
    snapshot.put(&vm, &cpus)?;
    vm.start(cpus, events)
}

/// The machine without vCPUs.
fn assemble(
    config: &Config,
    streams: Streams,
    memory: Memory,
    snapshot: Option<&Snapshot>,
    complaints: &Complaints,
    events: &Sender<Event>,
) -> Result<Vm, Error> {
    config.check()?;
    let kvm_device = open()?;
    let fd = create(&kvm_device, &memory)?;
    let supported = kvm_device
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(kvm("KVM_GET_SUPPORTED_CPUID"))?;
    let msrs = kvm_device
        .get_msr_index_list()
        .map_err(kvm("KVM_GET_MSR_INDEX_LIST"))?;

    let mut bus = IoManager::new();
    let Streams { serial, control } = streams;
    let line = EventFd::new(libc::EFD_NONBLOCK).map_err(system("eventfd"))?;
    fd.register_irqfd(&line, layout::SERIAL_IRQ)
        .map_err(kvm("KVM_IRQFD"))?;
    let serial = match snapshot {
        None => SerialPort::new(line, serial, complaints.clone()),
        Some(snapshot) => SerialPort::restored(&snapshot.serial, line, serial, complaints.clone())
            .map_err(Error::Snapshot)?,
    };
    let serial = Arc::new(Mutex::new(serial));
    ports(
        &mut bus,
        layout::SERIAL_PORT,
        SERIAL_PORTS,
        Arc::clone(&serial) as _,
    )?;
    let reset = Arc::new(Mutex::new(ResetPort::new(events.clone())));
    ports(&mut bus, layout::I8042_PORT, I8042_PORTS, reset)?;

    let mut transports = Vec::new();
    for device in devices(config, control)? {
        let name = device.name();
        let failed = |source| Error::Device { name, source };
        let transport =
            MmioTransport::new(device, memory.clone(), complaints.clone()).map_err(failed)?;
        transports.push(attach(&fd, &mut bus, transports.len(), transport)?);
    }
    Ok(Vm {
        transports,
        serial,
        bus: Arc::new(Bus(bus)),
        fd,
        memory,
        shape: Shape::of(config),
        msrs: msrs.as_slice().into(),
        kvm: kvm_device,
        supported,
    })
}

/// KVM with all that this machine needs of it.
fn open() -> Result<Kvm, Error> {
    let kvm = Kvm::new().map_err(|error| Error::NoKvm(error.to_string()))?;
    for (cap, name) in [
        (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
        (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
        (Cap::Pit2, "KVM_CAP_PIT2"),
        (Cap::Irqfd, "KVM_CAP_IRQFD"),
        (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
        (Cap::SetTssAddr, "KVM_CAP_SET_TSS_ADDR"),
        (Cap::SetIdentityMapAddr, "KVM_CAP_SET_IDENTITY_MAP_ADDR"),
        (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    ] {
        if !kvm.check_extension(cap) {
            return Err(Error::NoKvm(format!("it lacks {name}")));
        }
    }
    Ok(kvm)
}

/// A VM with interrupt controllers, a timer and memory.
fn create(kvm_device: &Kvm, memory: &Memory) -> Result<VmFd, Error> {
    let fd = kvm_device.create_vm().map_err(kvm("KVM_CREATE_VM"))?;
    fd.set_identity_map_address(layout::KVM_IDENTITY_MAP)
        .map_err(kvm("KVM_SET_IDENTITY_MAP_ADDR"))?;
    fd.set_tss_address(layout::KVM_TSS)
        .map_err(kvm("KVM_SET_TSS_ADDR"))?;
    fd.create_irq_chip().map_err(kvm("KVM_CREATE_IRQCHIP"))?;
    fd.create_pit2(kvm_pit_config {
        // Port 0x61, which the kernel uses along with the timer.
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..kvm_pit_config::default()
    })
    .map_err(kvm("KVM_CREATE_PIT2"))?;
    for (slot, region) in (0..).zip(memory.iter()) {
        let slot = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().0,
            memory_size: region.len(),
            userspace_addr: region.as_ptr() as u64,
        };
        // SAFETY: the region is a mapping of `memory`'s, which `Vm` keeps until
        // after the VM is closed; regions do not overlap.
        unsafe { fd.set_user_memory_region(slot) }.map_err(kvm("KVM_SET_USER_MEMORY_REGION"))?;
    }
    Ok(fd)
}

/// The virtio devices: the control port, the disks, the shares.
fn devices(config: &Config, control: UnixStream) -> Result<Vec<Box<dyn Device>>, Error> {
    let named = |kind: &str, name: &str| {
        let name = format!("{kind} {name}");
        move |source: DeviceError| Error::Device { name, source }
    };
    let mut devices: Vec<Box<dyn Device>> = vec![Box::new(
        Console::new(&config.control_port, control)
            .map_err(named("console", &config.control_port))?,
    )];
    for disk in &config.disks {
        let device = Blk::open(&disk.path, &disk.serial, disk.readonly)?;
        devices.push(Box::new(device));
    }
    for share in &config.shares {
        let device = Fs::connect(&share.tag, &share.socket).map_err(named("share", &share.tag))?;
        devices.push(Box::new(device));
    }
    Ok(devices)
}

fn ports(
    bus: &mut IoManager,
    first: u16,
    count: u16,
    device: Arc<dyn vm_device::DevicePio + Send + Sync>,
) -> Result<(), Error> {
    PioRange::new(PioAddress(first), count)
        .map_err(|error| Error::Config(format!("ports {first:#x}: {error}")))
        .and_then(|range| {
            bus.register_pio(range, device)
                .map_err(|error| Error::Config(format!("ports {first:#x}: {error}")))
        })
}

/// Where the transport number `index` is.
fn address(index: usize) -> u64 {
    layout::VIRTIO_MMIO + MmioTransport::SIZE * index as u64
}

/// Gives a transport its address, its doorbells and its interrupt.
fn attach(
    fd: &VmFd,
    bus: &mut IoManager,
    index: usize,
    transport: MmioTransport,
) -> Result<Arc<Mutex<MmioTransport>>, Error> {
    let base = address(index);
    let doorbell = IoEventAddress::Mmio(base + u64::from(VIRTIO_MMIO_QUEUE_NOTIFY));
    for (queue, kick) in (0_u32..).zip(transport.kicks()) {
        fd.register_ioevent(kick, &doorbell, queue)
            .map_err(kvm("KVM_IOEVENTFD"))?;
    }
    fd.register_irqfd(transport.interrupt().line(), layout::VIRTIO_IRQS[index])
        .map_err(kvm("KVM_IRQFD"))?;
    let transport = Arc::new(Mutex::new(transport));
    MmioRange::new(MmioAddress(base), MmioTransport::SIZE)
        .map_err(|error| Error::Config(format!("address {base:#x}: {error}")))
        .and_then(|range| {
            bus.register_mmio(range, Arc::clone(&transport) as _)
                .map_err(|error| Error::Config(format!("address {base:#x}: {error}")))
        })?;
    Ok(transport)
}

/// The parameters that describe the machine, then those of the configuration.
fn cmdline(config: &Config, cpus: &[VcpuFd]) -> Result<Cmdline, Error> {
    let mut cmdline = Cmdline::new(layout::CMDLINE_SIZE).map_err(BootError::Cmdline)?;
    // reboot=k: by the keyboard controller, the one way this machine has.
    // no_timer_check: KVM's timer works; the check needs it calibrated.
    let mut text = "console=ttyS0 reboot=k no_timer_check".to_owned();
    // Spares the kernel a calibration that a loaded host can spoil.
    if let Some(Ok(khz)) = cpus.first().map(VcpuFd::get_tsc_khz) {
        text.push_str(&format!(" tsc_early_khz={khz}"));
    }
    for (index, irq) in (0..device_count(config)).zip(layout::VIRTIO_IRQS) {
        let base = address(index);
        let size = MmioTransport::SIZE;
        text.push_str(&format!(" virtio_mmio.device={size:#x}@{base:#x}:{irq}"));
    }
    text.push(' ');
    text.push_str(config.cmdline.trim());
    cmdline.insert_str(text).map_err(BootError::Cmdline)?;
    Ok(cmdline)
}

fn device_count(config: &Config) -> usize {
    1 + config.disks.len() + config.shares.len()
}

impl Vm {
    fn create_cpus(&self, count: u8) -> Result<Vec<VcpuFd>, Error> {
        let deadline_timer = self.kvm.check_extension(Cap::TscDeadlineTimer);
        (0..count)
            .map(|id| {
                let vcpu = self
                    .fd
                    .create_vcpu(u64::from(id))
                    .map_err(kvm("KVM_CREATE_VCPU"))?;
                cpu::prepare(&vcpu, &self.supported, id, count, deadline_timer)?;
                Ok(vcpu)
            })
            .collect()
    }

    /// Starts a thread for each vCPU.
    fn start(self, cpus: Vec<VcpuFd>, events: &Sender<Event>) -> Result<Parts, Error> {
        let mut threads = Vec::new();
        for (id, fd) in (0..).zip(cpus) {
            let (commands, receiver) = channel();
            let cpu = Cpu {
                id,
                fd,
                bus: Arc::clone(&self.bus),
                commands: receiver,
                events: events.clone(),
                msrs: Arc::clone(&self.msrs),
            };
            let spawned = cpu::with_kicks_held(|| {
                std::thread::Builder::new()
                    .name(format!("vcpu {id}"))
                    .spawn(move || cpu.run())
            })?;
            match spawned {
                Ok(thread) => threads.push(CpuThread { thread, commands }),
                Err(error) => {
                    supervisor::end(threads);
                    return Err(system("start a vCPU's thread")(error));
                }
            }
        }
        Ok(Parts {
            cpus: threads,
            vm: self,
        })
    }
}
