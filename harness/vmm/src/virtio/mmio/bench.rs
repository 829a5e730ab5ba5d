//! A transport, the driver in front of it and a device that only takes notes.

use std::sync::Mutex;

use virtio_bindings::virtio_config::*;
use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;

use super::*;
use crate::virtio::device::{Activation, ConsoleState, DeviceState};
use crate::virtio::testing::{Driver, memory};

pub const ACK: u32 = VIRTIO_CONFIG_S_ACKNOWLEDGE;
pub const DRIVER: u32 = ACK | VIRTIO_CONFIG_S_DRIVER;
pub const FEATURES_OK: u32 = DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;
pub const DRIVER_OK: u32 = FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
pub const NEEDS_RESET: u32 = VIRTIO_CONFIG_S_NEEDS_RESET;

pub const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;
pub const OFFERED: u64 = VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 0b10;
pub const CONFIG: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
pub const STATE: ConsoleState = ConsoleState {
    device_ready: true,
    port_ready: true,
    guest_open: true,
    told_open: Some(true),
    told_name: true,
    told_port: true,
    sent: 7,
};

#[derive(Debug, Default)]
pub struct Seen {
    pub activation: Option<Activation>,
    pub activations: usize,
    pub deactivations: usize,
    pub refuse: bool,
    pub by_itself: bool,
    pub restored: Option<DeviceState>,
    pub resets: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Fake(pub Arc<Mutex<Seen>>);

impl Fake {
    pub fn with<T>(&self, f: impl FnOnce(&mut Seen) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }
}

impl Device for Fake {
    fn device_type(&self) -> u32 {
        42
    }

    fn name(&self) -> String {
        "fake".to_owned()
    }

    fn features(&self) -> u64 {
        OFFERED
    }

    fn queue_sizes(&self) -> &[u16] {
        &[16, 8]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            *byte = usize::try_from(at)
                .ok()
                .and_then(|at| CONFIG.get(at).copied())
                .unwrap_or(0);
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<(), DeviceError> {
        self.with(|seen| {
            if seen.refuse {
                return Err(DeviceError::Backend("refused".to_owned()));
            }
            seen.activations += 1;
            seen.activation = Some(activation);
            Ok(())
        })
    }

    fn deactivate(&mut self) -> Result<Vec<Queue>, DeviceError> {
        self.with(|seen| {
            seen.deactivations += 1;
            let activation = seen.activation.take();
            let queues = activation.into_iter().flat_map(|a| a.queues);
            Ok(queues.map(|active| active.queue).collect())
        })
    }

    fn reset(&mut self) {
        self.with(|seen| {
            assert!(seen.activation.is_none(), "reset at work");
            seen.resets += 1;
        });
    }

    fn interrupts_by_itself(&self) -> bool {
        self.with(|seen| seen.by_itself)
    }

    fn save(&self) -> DeviceState {
        DeviceState::Console(STATE)
    }

    fn restore(&mut self, state: &DeviceState) -> Result<(), DeviceError> {
        self.with(|seen| seen.restored = Some(state.clone()));
        Ok(())
    }
}

pub struct Bench {
    pub fake: Fake,
    pub memory: Memory,
    pub complaints: Complaints,
    pub mmio: MmioTransport,
}

pub const BASE: MmioAddress = MmioAddress(0xd000_0000);

impl Bench {
    pub fn new() -> Self {
        Bench::on(&memory(0x10000))
    }

    pub fn on(memory: &Memory) -> Self {
        let fake = Fake::default();
        let complaints = Complaints::default();
        let device = Box::new(fake.clone());
        let mmio = MmioTransport::new(device, memory.clone(), complaints.clone()).unwrap();
        Bench {
            fake,
            memory: memory.clone(),
            complaints,
            mmio,
        }
    }

    pub fn read(&mut self, register: u32) -> u32 {
        let mut data = [0xff; 4];
        self.mmio.mmio_read(BASE, register.into(), &mut data);
        u32::from_le_bytes(data)
    }

    pub fn write(&mut self, register: u32, value: u32) -> &mut Self {
        self.mmio
            .mmio_write(BASE, register.into(), &value.to_le_bytes());
        self
    }

    pub fn status(&mut self) -> u32 {
        self.read(VIRTIO_MMIO_STATUS)
    }

    pub fn steps(&mut self, steps: &[u32]) -> &mut Self {
        for &step in steps {
            self.write(VIRTIO_MMIO_STATUS, step);
        }
        self
    }

    pub fn accept(&mut self, features: u64) -> &mut Self {
        for select in 0..2 {
            self.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
            self.write(VIRTIO_MMIO_DRIVER_FEATURES, word(features, select));
        }
        self
    }

    /// Up to `FEATURES_OK`.
    pub fn negotiate(&mut self, features: u64) -> &mut Self {
        self.steps(&[ACK, DRIVER])
            .accept(features)
            .steps(&[FEATURES_OK])
    }

    pub fn set_up(
        &mut self,
        index: u32,
        size: u32,
        table: u64,
        avail: u64,
        used: u64,
    ) -> &mut Self {
        self.write(VIRTIO_MMIO_QUEUE_SEL, index);
        self.write(VIRTIO_MMIO_QUEUE_NUM, size);
        for (low, high, address) in [
            (
                VIRTIO_MMIO_QUEUE_DESC_LOW,
                VIRTIO_MMIO_QUEUE_DESC_HIGH,
                table,
            ),
            (
                VIRTIO_MMIO_QUEUE_AVAIL_LOW,
                VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
                avail,
            ),
            (
                VIRTIO_MMIO_QUEUE_USED_LOW,
                VIRTIO_MMIO_QUEUE_USED_HIGH,
                used,
            ),
        ] {
            self.write(low, word(address, 0));
            self.write(high, word(address, 1));
        }
        self.write(VIRTIO_MMIO_QUEUE_READY, 1)
    }

    pub fn driver(&self, index: u32) -> Driver {
        let size = if index == 0 { 16 } else { 8 };
        Driver::new(&self.memory, 0x1000 * u64::from(index + 1), size)
    }

    /// All the way, with both queues.
    pub fn bring_up(&mut self, features: u64) -> &mut Self {
        self.negotiate(features);
        for (index, size) in [(0, 16), (1, 8)] {
            let driver = self.driver(index);
            self.set_up(index, size, driver.table(), driver.avail(), driver.used());
        }
        self.steps(&[DRIVER_OK])
    }

    pub fn activations(&self) -> usize {
        self.fake.with(|seen| seen.activations)
    }
}
