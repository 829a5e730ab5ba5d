//! Allocations that fail on purpose (Documentation/fault-injection).

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

use nix::mount::{MsFlags, mount};

use super::process::as_root;
use super::{Failed, UNSUPPORTED};

/// Makes one allocation to come of the opening thread fail.
const FAIL_NTH: &str = "/proc/thread-self/fail-nth";
/// Where debugfs is mounted.
const DEBUGFS: &str = "/sys/kernel/debug";
/// What all slab allocations obey.
const FAILSLAB: &str = "/sys/kernel/debug/failslab";

/// The n-th slab allocation from now on, made to fail.
#[derive(Debug)]
pub(super) struct FailNth(File);

impl FailNth {
    /// Ask this kernel to fail allocations that may sleep, and to do so in
    /// silence.
    ///
    /// # Errors
    /// [`UNSUPPORTED`] if it can't: the kernel lacks CONFIG_FAILSLAB.
    pub fn prepare() -> Result<FailNth, Failed> {
        as_root(|| {
            if !fs::exists(FAILSLAB).unwrap_or(false) {
                let none: Option<&str> = None;
                mount(
                    Some("debugfs"),
                    DEBUGFS,
                    Some("debugfs"),
                    MsFlags::empty(),
                    none,
                )
                .map_err(|_| UNSUPPORTED)?;
            }
            let set = |name, value| fs::write(format!("{FAILSLAB}/{name}"), value);
            set("ignore-gfp-wait", "N")
                .and_then(|()| set("verbose", "0"))
                .and_then(|()| OpenOptions::new().read(true).write(true).open(FAIL_NTH))
                .map(FailNth)
                .map_err(|_| UNSUPPORTED)
        })
    }

    /// Let the `n`-th allocation of this thread fail, from 1.
    pub fn arm(&self, n: u32) -> Result<(), Failed> {
        self.write(n)
    }

    /// Let no more fail; returns whether one has failed since [`FailNth::arm`].
    pub fn disarm(&self) -> Result<bool, Failed> {
        let mut text = [0; 16];
        let read = self.0.read_at(&mut text, 0);
        self.write(0)?;
        let len = read.map_err(|_| UNSUPPORTED)?;
        let left = std::str::from_utf8(&text[..len]).map_err(|_| UNSUPPORTED)?;
        Ok(left.trim() == "0")
    }

    fn write(&self, n: u32) -> Result<(), Failed> {
        let text = n.to_string();
        self.0
            .write_at(text.as_bytes(), 0)
            .map(drop)
            .map_err(|_| UNSUPPORTED)
    }
}
