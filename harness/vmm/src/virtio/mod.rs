//! virtio devices on the MMIO transport (virtio 1.2, section 4.2).

mod blk;
mod chain;
mod console;
mod device;
mod drain;
mod fs;
mod interrupt;
mod mmio;
mod rings;
#[cfg(test)]
mod testing;
mod worker;

pub use blk::{Blk, ImageError};
pub use console::Console;
pub use device::{Activation, ActiveQueue, ConsoleState, Device, DeviceError, DeviceState};
pub use fs::Fs;
pub use interrupt::Interrupt;
pub use mmio::{MmioTransport, TransportState};
pub use worker::Worker;
