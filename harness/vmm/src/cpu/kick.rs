//! Getting a vCPU's thread out of `KVM_RUN`.
//!
//! The signal is blocked in the thread and let through inside `KVM_RUN` only,
//! so that none is lost between a look at the commands and the next
//! `KVM_RUN`: that one then returns at once.

use std::io;
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;

use kvm_bindings::KVMIO;
use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;
use vmm_sys_util::signal::{self, Killable, SIGRTMIN, block_signal, clear_signal, unblock_signal};

use crate::error::{Error, system};

/// `struct kvm_signal_mask` with a kernel's sigset of 64 signals behind it.
#[repr(C)]
struct SignalMask {
    len: u32,
    sigset: [u8; 8],
}

// The number holds the size of the struct without the set.
ioctl_iow_nr!(KVM_SET_SIGNAL_MASK, KVMIO, 0x8b, u32);

/// Does `spawn` with the signal blocked: a thread inherits that, and is never
/// without it.
///
/// # Errors
/// Those of sigprocmask(2).
pub(crate) fn with_kicks_held<T>(spawn: impl FnOnce() -> T) -> Result<T, Error> {
    let failed = |error| Error::System {
        what: "block the signal for vCPUs",
        source: io::Error::other(format!("{error:?}")),
    };
    match block_signal(SIGRTMIN()) {
        // It was blocked before, and stays so.
        Err(signal::Error::SignalAlreadyBlocked(_)) => Ok(spawn()),
        Err(error) => Err(failed(error)),
        Ok(()) => {
            let spawned = spawn();
            unblock_signal(SIGRTMIN()).map_err(failed)?;
            Ok(spawned)
        }
    }
}

/// Lets the signal through inside `KVM_RUN`, in a thread made by
/// [`with_kicks_held`].
///
/// # Errors
/// KVM's.
pub(super) fn let_in(vcpu: &VcpuFd) -> Result<(), Error> {
    let signal = SIGRTMIN();
    let all_but_one = !(1_u64 << (signal - 1));
    let mask = SignalMask {
        len: 8,
        sigset: all_but_one.to_le_bytes(),
    };
    // SAFETY: the descriptor is a vCPU's, and the kernel reads `len` and as many
    // bytes behind it, which are `mask`'s own.
    let ret = unsafe { ioctl_with_ref(&vcpu.as_raw_fd(), KVM_SET_SIGNAL_MASK(), &mask) };
    if ret < 0 {
        return Err(system("KVM_SET_SIGNAL_MASK")(io::Error::last_os_error()));
    }
    Ok(())
}

/// Takes note of a kick: the next `KVM_RUN` runs again.
///
/// # Errors
/// Those of sigtimedwait(2).
pub(super) fn acknowledge() -> Result<(), Error> {
    clear_signal(SIGRTMIN()).map_err(|error| Error::System {
        what: "take a vCPU's signal",
        source: io::Error::other(error.to_string()),
    })
}

/// Gets a vCPU's thread out of `KVM_RUN`; one that has ended does not mind.
///
/// # Errors
/// Those of pthread_kill(3).
pub(crate) fn kick<T>(thread: &JoinHandle<T>) -> Result<(), Error> {
    if thread.is_finished() {
        return Ok(());
    }
    match thread.kill(SIGRTMIN()) {
        Err(error) if error.errno() != libc::ESRCH => Err(Error::System {
            what: "signal a vCPU's thread",
            source: error.into(),
        }),
        _ => Ok(()),
    }
}
