//! The rate of the host's time stamp counter, which a translated guest sees as
//! its own (`cpu_get_host_ticks()` of QEMU).
//!
//! Such a guest calibrates it against an emulated PIT. On a loaded host that
//! fails, and not seldom: the kernel then does without the counter, and KVM in
//! a guest of that kind never enters a guest of its own
//! (`kvm_guest_time_update()` waits for a rate that does not come).

use std::arch::x86_64::_rdtsc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the counter is watched.
const SPAN: Duration = Duration::from_millis(20);
/// Readings of both clocks, of which the quickest counts.
const READINGS: usize = 16;

/// The rate in kHz, measured once.
pub(super) fn khz() -> u64 {
    static KHZ: OnceLock<u64> = OnceLock::new();
    *KHZ.get_or_init(measure)
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    ticks: u64,
    /// How far apart the clocks may have been read.
    doubt: u64,
}

fn read() -> Reading {
    // SAFETY: every x86-64 processor has the instruction, and it touches no
    // memory.
    let ticks = || unsafe { _rdtsc() };
    let before = ticks();
    let at = Instant::now();
    let doubt = ticks().wrapping_sub(before);
    Reading {
        at,
        ticks: before.wrapping_add(doubt / 2),
        doubt,
    }
}

/// The reading that was disturbed least.
fn best() -> Reading {
    let first = read();
    (1..READINGS).fold(first, |best, _| {
        let next = read();
        if next.doubt < best.doubt { next } else { best }
    })
}

fn measure() -> u64 {
    let start = best();
    std::thread::sleep(SPAN);
    let end = best();
    let elapsed = end.at.duration_since(start.at).as_nanos();
    let ticks = u128::from(end.ticks.wrapping_sub(start.ticks));
    // Ticks a nanosecond are GHz.
    u64::try_from(ticks * 1_000_000 / elapsed.max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_agree() {
        let (one, other) = (measure(), measure());
        assert!(one > 100_000, "{one} kHz");
        // 500 ppm is what the kernel's own check allows for.
        assert!(one.abs_diff(other) < one / 2000, "{one} and {other} kHz");
    }
}
