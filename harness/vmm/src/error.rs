//! Why there is no machine, or why it stopped.

use std::io;

use crate::boot::BootError;
use crate::memory::MemoryError;
use crate::virtio::{DeviceError, ImageError as DiskError};

/// Why there is no machine, or why it stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// /dev/kvm can't be opened, or lacks something.
    #[error("/dev/kvm: {0}")]
    NoKvm(String),
    /// KVM refuses a call.
    #[error("{call}: {source}")]
    Kvm {
        /// The ioctl.
        call: &'static str,
        /// Why.
        source: kvm_ioctls::Error,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// What is asked for is no machine.
    #[error("this machine cannot be built: {0}")]
    Config(String),
    /// Guest memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The kernel, the initramfs, the command line.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A disk's image.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A device.
    #[error("device {name}: {source}")]
    Device {
        /// Which.
        name: String,
        /// What about it.
        source: DeviceError,
    },
    /// CPUID leaves or MSRs of an impossible number.
    #[error("setting up a vCPU: {0}")]
    Cpuid(String),
    /// KVM does not take an MSR.
    #[error("KVM_SET_MSRS: MSR {index:#x} is refused")]
    Msr {
        /// Its number.
        index: u32,
    },
    /// A vCPU can't go on, through no doing of the guest's that KVM knows of.
    #[error("vCPU {cpu}: {what}")]
    Vcpu {
        /// Its number.
        cpu: u8,
        /// What KVM says, and where.
        what: String,
    },
    /// A guest that can't be taken a snapshot of.
    #[error("no snapshot: {0}")]
    Snapshot(String),
    /// A thread panicked, which is an error of this program.
    #[error("the thread of {0} panicked")]
    Panic(String),
}

/// Makes KVM's refusal of `call` an [`Error`].
pub(crate) fn kvm(call: &'static str) -> impl Fn(kvm_ioctls::Error) -> Error {
    move |source| Error::Kvm { call, source }
}

/// Makes the failure of `what` an [`Error`].
pub(crate) fn system(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { what, source }
}
