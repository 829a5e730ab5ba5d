//! Memory all of the agent's processes share: who is where on which arm, and
//! whether anything moves.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lookback_wire::control::Arm;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// Most workers one trace may have.
pub const MAX_WORKERS: usize = 256;

/// Value of `turn` that tells workers to give up.
const ABANDONED: u32 = u32::MAX;

/// A pause is cut into beats of this length.
const PAUSE: Duration = Duration::from_secs(1);
/// Arms that can run at the same time: all there are.
const LANES: usize = 4;

/// The shared pages. All zero is a valid start.
#[repr(C)]
#[derive(Debug)]
pub struct Board {
    /// Counts every operation, snapshot node and other step.
    beats: AtomicU32,
    /// Non-zero while something is expected to beat.
    busy: AtomicU32,
    lanes: [Lane; LANES],
}

/// One arm's workers.
#[repr(C)]
#[derive(Debug)]
pub struct Lane {
    /// Whose turn it is where workers take turns.
    turn: AtomicU32,
    /// The trace's line each worker is at, from 1; 0 for no such worker.
    positions: [AtomicU32; MAX_WORKERS],
}

impl Board {
    /// A board shared with every process forked later; it lives as long as they do.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn new() -> nix::Result<&'static Board> {
        let len = NonZeroUsize::new(size_of::<Board>()).unwrap_or(NonZeroUsize::MIN);
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping touches no memory of ours.
        let memory = unsafe { mmap_anonymous(None, len, prot, MapFlags::MAP_SHARED) }?;
        // SAFETY: the mapping is page-aligned, zeroed, large enough, never
        // unmapped, and all its fields are atomics, so sharing it is sound.
        Ok(unsafe { memory.cast::<Board>().as_ref() })
    }

    /// Something happened.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something happened, wrapping.
    pub fn beats(&self) -> u32 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Let this time pass: there is nothing else to await.
    pub fn pause(&self, mut left: Duration) {
        while !left.is_zero() {
            let beat = left.min(PAUSE);
            std::thread::sleep(beat);
            self.beat();
            left -= beat;
        }
    }

    /// Say whether beats are to be expected from now on.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(u32::from(busy), Ordering::Relaxed);
    }

    /// Beats are to be expected.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) != 0
    }

    /// Where `arm`'s workers are.
    pub fn lane(&self, arm: Arm) -> &Lane {
        &self.lanes[match arm {
            Arm::Backed => 0,
            Arm::Plain => 1,
            Arm::Devfuse => 2,
            Arm::Ext4 => 3,
        }]
    }
}

impl Lane {
    /// Before a trace starts.
    pub fn reset(&self) {
        self.turn.store(0, Ordering::SeqCst);
        for position in &self.positions {
            position.store(0, Ordering::SeqCst);
        }
    }

    /// Worker `worker` begins line `line` of the trace.
    pub fn enter(&self, worker: u16, line: u32) {
        if let Some(position) = self.positions.get(usize::from(worker)) {
            position.store(line + 1, Ordering::SeqCst);
        }
    }

    /// The line worker `worker` is at, from 1; 0 before its first.
    pub fn position(&self, worker: u16) -> u32 {
        self.positions
            .get(usize::from(worker))
            .map_or(0, |p| p.load(Ordering::SeqCst))
    }

    /// Workers that have begun, and the line each is at, from 1.
    pub fn started(&self) -> impl Iterator<Item = (usize, u32)> {
        let at = self.positions.iter().map(|p| p.load(Ordering::SeqCst));
        at.enumerate().filter(|(_, line)| *line != 0)
    }

    /// Wait until it is this turn; `false` if the trace was abandoned.
    pub fn await_turn(&self, wanted: u32) -> bool {
        loop {
            match self.turn.load(Ordering::SeqCst) {
                ABANDONED => return false,
                turn if turn == wanted => return true,
                turn => self.futex(libc::FUTEX_WAIT, turn),
            }
        }
    }

    /// A turn is over and this one has come. Not if the trace was abandoned
    /// meanwhile.
    pub fn pass_to(&self, from: u32, next: u32) {
        let order = Ordering::SeqCst;
        // Whoever waits for a turn that never comes looks at the word again.
        let _ = self.turn.compare_exchange(from, next, order, order);
        self.futex(libc::FUTEX_WAKE, i32::MAX.cast_unsigned());
    }

    /// No further turn will come.
    pub fn abandon(&self) {
        self.turn.store(ABANDONED, Ordering::SeqCst);
        self.futex(libc::FUTEX_WAKE, i32::MAX.cast_unsigned());
    }

    fn futex(&self, op: i32, value: u32) {
        let timeout: *const libc::timespec = std::ptr::null();
        // SAFETY: the word outlives the call. A spurious return is harmless,
        // every caller looks at the word again.
        unsafe { libc::syscall(libc::SYS_futex, self.turn.as_ptr(), op, value, timeout) };
    }
}
