//! Progress on the screen: a bar on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lookback_kernel::{Phase, Progress};

/// How a kernel build shows.
#[derive(Debug)]
pub struct BuildProgress {
    bar: ProgressBar,
    name: String,
    /// Without a terminal: the last tenth that was printed.
    tenth: u64,
    /// Without a terminal, only notes are printed.
    quiet: bool,
    phase: Option<Phase>,
}

impl BuildProgress {
    /// For the kernel of this name.
    pub fn new(name: &str) -> Self {
        let bar = ProgressBar::new(0);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            name: name.to_owned(),
            tenth: 0,
            quiet: false,
            phase: None,
        }
    }

    /// For many short builds: without a terminal nothing tells of each.
    pub fn quiet(name: &str) -> Self {
        Self {
            quiet: true,
            ..Self::new(name)
        }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }
}

impl Progress for BuildProgress {
    fn phase(&mut self, phase: Phase) {
        self.phase = Some(phase);
        self.tenth = 0;
        self.bar.set_position(0);
        self.bar.set_length(0);
        let message = format!("kernel {}: {phase}", self.name);
        if self.bar.is_hidden() && !self.quiet {
            eprintln!("{message}");
        }
        self.bar.set_message(message);
    }

    fn step(&mut self, done: u64, expected: Option<u64>) {
        let template = match expected {
            Some(_) => "{msg} {wide_bar} {pos}/{len} {elapsed}",
            None => "{msg} {pos} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_length(expected.unwrap_or(done).max(done));
        self.bar.set_position(done);
        let told = self.bar.is_hidden() && !self.quiet;
        if let (true, Some(expected), Some(phase)) = (told, expected, self.phase) {
            let tenth = done * 10 / expected.max(1);
            if tenth > self.tenth {
                self.tenth = tenth;
                eprintln!("kernel {}: {phase} {done}/{expected}", self.name);
            }
        }
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }
}
