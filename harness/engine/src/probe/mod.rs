//! Can this host's KVM run a stock kernel?
//!
//! A `/dev/kvm` proves little: some hosts offer one that creates machines and
//! runs small guests, yet ends a stock kernel with `KVM_EXIT_INTERNAL_ERROR` at
//! its first `int3`, after running it thousands of times too slowly. So the
//! probe runs what a kernel runs.

mod guest;
mod machine;

use std::fmt;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use kvm_ioctls::Kvm;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// Where KVM lives.
const DEVICE: &str = "/dev/kvm";
/// How long the probe's guest may take; a CPU needs some milliseconds.
const LIMIT: Duration = Duration::from_secs(1);
/// How often a guest past its limit is interrupted: a signal that comes just
/// before `KVM_RUN` is lost.
const KICK: Duration = Duration::from_millis(10);

/// What [`probe`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A guest ran as a stock kernel would.
    Usable,
    /// There is no KVM here.
    Absent,
    /// There is one, closed to this user.
    Forbidden,
    /// There is one and it cannot run a stock kernel: why.
    Unable(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Usable => write!(f, "{DEVICE} runs what a stock kernel needs"),
            Verdict::Absent => write!(f, "this machine has no {DEVICE}"),
            Verdict::Forbidden => {
                write!(
                    f,
                    "{DEVICE} is closed to this user (add the user to the group kvm)"
                )
            }
            Verdict::Unable(why) => write!(f, "{DEVICE} cannot run a stock kernel: {why}"),
        }
    }
}

/// Runs a tiny 64-bit guest on the host's KVM: XSAVE and XRSTOR where CPUID
/// offers them, an `int3` through an IDT, a fixed number of turns of a loop, all
/// within a second.
///
/// Takes the signal `SIGRTMIN` for its own, to interrupt a guest that hangs.
pub fn probe() -> Verdict {
    match Kvm::new() {
        Ok(kvm) => watch(kvm).map_or_else(Verdict::Unable, |()| Verdict::Usable),
        Err(error) => from_open(&io::Error::from_raw_os_error(error.errno())),
    }
}

fn from_open(error: &io::Error) -> Verdict {
    match error.kind() {
        io::ErrorKind::NotFound => Verdict::Absent,
        io::ErrorKind::PermissionDenied => Verdict::Forbidden,
        _ => match error.raw_os_error() {
            // The node is there, the driver behind it is not.
            Some(libc::ENODEV | libc::ENXIO) => Verdict::Absent,
            _ => Verdict::Unable(error.to_string()),
        },
    }
}

extern "C" fn interrupt(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// Runs the guest in a thread of its own and interrupts it past the limit.
fn watch(kvm: Kvm) -> Result<(), String> {
    let signal = SIGRTMIN();
    register_signal_handler(signal, interrupt).map_err(|error| error.to_string())?;
    let deadline = Instant::now() + LIMIT;
    let (sender, receiver) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("kvm probe".to_owned())
        .spawn(move || {
            let _ = sender.send(machine::run(&kvm, deadline));
        })
        .map_err(|error| error.to_string())?;
    let mut patience = LIMIT;
    loop {
        match receiver.recv_timeout(patience) {
            Ok(verdict) => {
                let _ = thread.join();
                return verdict;
            }
            Err(RecvTimeoutError::Timeout) => {
                patience = KICK;
                if let Err(error) = thread.kill(signal) {
                    return Err(format!("it hangs and cannot be interrupted: {error}"));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the probe's thread panicked".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(libc::ENOENT, "this machine has no /dev/kvm")]
    #[case(libc::ENODEV, "this machine has no /dev/kvm")]
    #[case(libc::EACCES, "closed to this user")]
    #[case(libc::EMFILE, "cannot run a stock kernel: Too many open files")]
    fn tells_the_three_apart(#[case] errno: i32, #[case] sentence: &str) {
        let said = from_open(&io::Error::from_raw_os_error(errno)).to_string();
        assert!(said.contains(sentence), "{said}");
    }

    #[test]
    fn decides_in_time_whatever_the_host() {
        let start = Instant::now();
        let verdict = probe();
        assert!(start.elapsed() < LIMIT * 5, "{verdict:?}");
    }
}
