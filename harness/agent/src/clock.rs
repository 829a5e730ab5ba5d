//! The clock of the guest, set before each line of a case whose clock is
//! stepped, and set right again.
//!
//! Nothing else goes by it: pauses and limits are the monotonic clock's, FUSE's
//! timeouts are jiffies (`fuse_time_to_jiffies`).

use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

use crate::guest;

/// What the clock would say if nobody had set it.
#[derive(Debug, Clone, Copy)]
pub struct RealTime {
    /// The time since 1970 when the kernel started.
    booted: Duration,
}

impl RealTime {
    /// Of a clock that is right.
    ///
    /// # Errors
    /// Those of clock_gettime(2).
    pub fn now() -> nix::Result<RealTime> {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_REALTIME)?);
        let booted = now.saturating_sub(guest::uptime());
        Ok(RealTime { booted })
    }

    /// Set the clock right.
    ///
    /// # Errors
    /// Those of clock_settime(2).
    pub fn restore(self) -> nix::Result<()> {
        guest::set_clock(self.booted + guest::uptime())
    }
}

/// Set the clock to the start of this second since 1970, whoever the process's
/// user is, if it can become root again.
///
/// # Errors
/// Those of clock_settime(2) and setresuid(2).
pub fn set(second: i64) -> nix::Result<()> {
    let time = Duration::from_secs(u64::try_from(second).map_err(|_| Errno::EINVAL)?);
    guest::as_root(|| guest::set_clock(time))
}
