//! virtio devices on the MMIO transport (virtio 1.2, section 4.2).

mod device;
mod fs;
mod interrupt;

pub use device::{Activation, ActiveQueue, ConsoleState, Device, DeviceError, DeviceState};
pub use fs::Fs;
pub use interrupt::Interrupt;
