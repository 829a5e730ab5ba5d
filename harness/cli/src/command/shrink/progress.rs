//! How shrinking shows: a line that changes on a terminal, lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lookback_scenario::{Recording, shrink::Stage};

/// Without a terminal: how long nothing may be said.
const SILENCE: Duration = Duration::from_secs(30);

/// How shrinking shows.
#[derive(Debug)]
pub struct Shrinking {
    bar: ProgressBar,
    stage: Option<Stage>,
    /// Operations of the trace and of the setup that are left.
    left: (usize, usize),
    /// Without a terminal: how many were left when that was last printed, and when.
    told: usize,
    told_at: Instant,
    runs: u64,
    shown: u64,
}

impl Shrinking {
    /// Of this case.
    pub fn of(recording: &Recording) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let left = (recording.trace.len(), recording.setup.len());
        Self {
            bar,
            stage: None,
            left,
            told: left.0,
            told_at: Instant::now(),
            runs: 0,
            shown: 0,
        }
    }

    /// This is what is made smaller from now on.
    pub fn stage(&mut self, stage: Stage) {
        self.stage = Some(stage);
        self.show();
    }

    /// A candidate has run.
    pub fn ran(&mut self, shown: bool) {
        self.runs += 1;
        self.shown += u64::from(shown);
        if self.told_at.elapsed() >= SILENCE {
            self.tell();
        }
        self.show();
    }

    /// A candidate is the smallest so far.
    pub fn kept(&mut self, recording: &Recording) {
        self.left = (recording.trace.len(), recording.setup.len());
        // Not each of hundreds.
        if self.left.0 <= self.told / 2 {
            self.tell();
        }
        self.show();
    }

    /// Without a terminal, on a line of its own.
    fn tell(&mut self) {
        self.told = self.left.0;
        self.told_at = Instant::now();
        if self.bar.is_hidden() {
            eprintln!("{}", self.text());
        }
    }

    /// Says something that stays.
    pub fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// Takes it off the screen; returns how many runs there were, and how many
    /// showed it.
    pub fn finish(self) -> (u64, u64) {
        self.bar.finish_and_clear();
        (self.runs, self.shown)
    }

    fn show(&self) {
        self.bar.set_message(self.text());
    }

    fn text(&self) -> String {
        let (trace, setup) = self.left;
        let setup = match setup {
            0 => String::new(),
            setup => format!(" and {setup} of the setup"),
        };
        let stage = self
            .stage
            .map_or_else(String::new, |stage| format!(" · {stage}"));
        format!(
            "{trace} operations{setup} left · {} runs, {} of which showed it{stage}",
            self.runs, self.shown
        )
    }
}
