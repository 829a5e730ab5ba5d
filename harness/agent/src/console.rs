//! What the agent says on the console: every line names it, so that the
//! console's reader can tell it from the kernel.

use std::io::Write;

/// Print one line, prefixed; what can't be printed is lost.
pub fn say(text: impl AsRef<str>) {
    let mut out = std::io::stderr().lock();
    for line in text.as_ref().lines() {
        // There is nowhere else to report that the console is gone.
        let _ = writeln!(out, "lookback-agent: {line}");
    }
}
