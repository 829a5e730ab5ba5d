//! Faults in mapped files, as outcomes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::Failed;

/// Page size of x86-64.
pub(super) const PAGE: u16 = 4096;

/// A page of a mapping could not be brought in.
pub(super) const SIGBUS: Failed = Failed {
    step: "SIGBUS",
    errno: Errno::EFAULT,
};

/// Mapping being touched, for the signal handler.
static TOUCHED: AtomicUsize = AtomicUsize::new(0);
/// Its end; zero outside [`touch`].
static TOUCHED_END: AtomicUsize = AtomicUsize::new(0);
/// A page of it could not be brought in.
static FAULTED: AtomicBool = AtomicBool::new(false);

/// Run `work`, which touches the `len` bytes from `start` on, part of a mapping
/// of ours. What it faults on becomes memory of nobody's and reads as zero.
///
/// # Errors
/// [`SIGBUS`] if there was such a page.
pub(super) fn touch(start: *mut u8, len: usize, work: impl FnOnce()) -> Result<(), Failed> {
    TOUCHED.store(start as usize, Ordering::SeqCst);
    TOUCHED_END.store(start as usize + len, Ordering::SeqCst);
    FAULTED.store(false, Ordering::SeqCst);
    work();
    TOUCHED_END.store(0, Ordering::SeqCst);
    if FAULTED.load(Ordering::SeqCst) {
        Err(SIGBUS)
    } else {
        Ok(())
    }
}

/// Turn a fault in a mapped file (no space, an I/O error) into an outcome.
///
/// # Errors
/// Those of sigaction(2).
pub fn survive_sigbus() -> nix::Result<()> {
    let handler = SigHandler::SigAction(on_sigbus);
    let action = SigAction::new(handler, SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handler uses atomics and mmap(2) alone.
    unsafe { sigaction(Signal::SIGBUS, &action) }.map(drop)
}

extern "C" fn on_sigbus(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo of SIGBUS.
    let at = unsafe { (*info).si_addr() } as usize;
    let (start, end) = (
        TOUCHED.load(Ordering::SeqCst),
        TOUCHED_END.load(Ordering::SeqCst),
    );
    if !(start..end).contains(&at) {
        // Not ours: let it kill the worker when the instruction runs again.
        // SAFETY: signal(2) is async-signal-safe.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        return;
    }
    FAULTED.store(true, Ordering::SeqCst);
    let page = usize::from(PAGE);
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
    );
    // SAFETY: the page lies in a mapping of ours that nothing refers to by reference.
    unsafe {
        libc::mmap(
            (at - at % page) as *mut libc::c_void,
            page,
            prot,
            flags,
            -1,
            0,
        )
    };
}
