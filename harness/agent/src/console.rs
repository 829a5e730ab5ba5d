//! What the agent says on the console: every line names it, so that the
//! console's reader can tell it from the kernel.

use std::fs::File;
use std::io::Write;

/// KERN_WARNING: printed with any `loglevel=` a guest is given.
const LEVEL: &str = "<4>";

/// Print one line, prefixed; what can't be printed is lost.
pub fn say(text: impl AsRef<str>) {
    let mut out = std::io::stderr().lock();
    for line in text.as_ref().lines() {
        // There is nowhere else to report that the console is gone.
        let _ = writeln!(out, "lookback-agent: {line}");
    }
}

/// Have the kernel log one line, in its order: behind all it has logged so far,
/// which what [`say`] prints may overtake.
pub fn log(text: &str) {
    let line = format!("{LEVEL}lookback-agent: {text}\n");
    let logged = File::options()
        .write(true)
        .open("/dev/kmsg")
        .and_then(|mut log| log.write_all(line.as_bytes()));
    if let Err(e) = logged {
        say(format!("/dev/kmsg: {e}"));
    }
}
