//! What a guest did when: the lines of its console and the marks of whoever
//! talks to it, by the clock of this machine.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Lines kept, the newest.
const LINES_MAX: usize = 20_000;
/// Longest line kept, in bytes.
const LINE_BYTES: usize = 4096;
/// What every line of the agent's begins with.
const AGENT: &str = "lookback-agent: ";

/// Who a line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The guest's kernel, or whoever else writes to its console.
    Kernel,
    /// The agent, on the console.
    Agent,
    /// This program.
    Mark,
    /// A server, asked by the guest.
    Fuse,
}

impl Source {
    /// As it stands in a line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Agent => "agent",
            Self::Mark => "mark",
            Self::Fuse => "fuse",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When it was whole here.
    pub at: Instant,
    /// Whose it is.
    pub source: Source,
    /// The line.
    pub text: String,
}

/// The newest lines since [`Journal::begin`]. Clones are one journal.
#[derive(Debug, Clone)]
pub struct Journal {
    /// When the guest was started.
    pub zero: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    partial: Vec<u8>,
    rows: VecDeque<Row>,
    dropped: u64,
}

impl Journal {
    /// Of a guest that was started then.
    pub fn new(zero: Instant) -> Self {
        Self {
            zero,
            state: Arc::default(),
        }
    }

    /// Forgets what was, and marks a beginning.
    pub fn begin(&self, mark: String) {
        let mut state = self.state();
        state.rows.clear();
        state.dropped = 0;
        state.push(Instant::now(), Source::Mark, mark);
    }

    /// Marks this moment.
    pub fn mark(&self, text: String) {
        self.state().push(Instant::now(), Source::Mark, text);
    }

    /// Takes what came of the console, in chunks of any size.
    pub fn console(&self, at: Instant, chunk: &[u8]) {
        let mut state = self.state();
        for byte in chunk {
            if *byte != b'\n' {
                state.partial.push(*byte);
            }
            if *byte == b'\n' || state.partial.len() == LINE_BYTES {
                state.line(at);
            }
        }
    }

    /// The lines so far, and how many before them are not kept.
    pub fn rows(&self) -> (Vec<Row>, u64) {
        let state = self.state();
        (state.rows.iter().cloned().collect(), state.dropped)
    }

    /// Whether the kernel has logged this line for the agent, since the beginning.
    pub fn has_logged(&self, line: &str) -> bool {
        // Whatever else is printed may have begun the line.
        let logged = format!("{AGENT}{line}");
        let state = self.state();
        state
            .rows
            .iter()
            .rev()
            .any(|row| row.text.ends_with(&logged))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn line(&mut self, at: Instant) {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        let text: String = text
            .chars()
            .filter(|c| *c == '\t' || !c.is_control())
            .collect();
        match text.strip_prefix(AGENT) {
            Some(text) => self.push(at, Source::Agent, text.to_owned()),
            None => self.push(at, Source::Kernel, text),
        }
    }

    fn push(&mut self, at: Instant, source: Source, text: String) {
        if self.rows.len() == LINES_MAX {
            self.rows.pop_front();
            self.dropped += 1;
        }
        self.rows.push_back(Row { at, source, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(journal: &Journal) -> Vec<(Source, String)> {
        let (rows, _) = journal.rows();
        rows.into_iter().map(|row| (row.source, row.text)).collect()
    }

    #[test]
    fn lines_are_whole_and_have_their_speaker() {
        let now = Instant::now();
        let journal = Journal::new(now);
        journal.console(now, b"[    0.1] one\r\nlookback-ag");
        journal.mark("a mark".into());
        journal.console(now, b"ent: two\n[    0.2] thr");
        let want = [
            (Source::Kernel, "[    0.1] one"),
            (Source::Mark, "a mark"),
            (Source::Agent, "two"),
        ];
        assert_eq!(
            texts(&journal),
            want.map(|(source, text)| (source, text.to_owned()))
        );
    }

    #[test]
    fn a_beginning_forgets_what_was() {
        let journal = Journal::new(Instant::now());
        journal.mark("before".into());
        journal.begin("now".into());
        assert_eq!(texts(&journal), [(Source::Mark, "now".to_owned())]);
    }

    #[test]
    fn what_the_agent_logs_is_found() {
        let now = Instant::now();
        let journal = Journal::new(now);
        journal.console(now, b"[    0.3] lookback-agent: case a is over\r\n");
        assert!(journal.has_logged("case a is over"));
        assert!(!journal.has_logged("case a"));
        journal.begin("case a begins".into());
        assert!(!journal.has_logged("case a is over"));
        journal.console(
            now,
            b"lookback-agent: one[    0.4] lookback-agent: case a is over\n",
        );
        assert!(journal.has_logged("case a is over"));
    }

    #[test]
    fn the_newest_are_kept_and_the_rest_counted() {
        let now = Instant::now();
        let journal = Journal::new(now);
        for line in 0..LINES_MAX + 3 {
            journal.console(now, format!("{line}\n").as_bytes());
        }
        let (rows, dropped) = journal.rows();
        assert_eq!((rows.len(), dropped), (LINES_MAX, 3));
        assert_eq!(rows[0].text, "3");
        journal.console(now, &[b'x'; 3 * LINE_BYTES]);
        assert_eq!(journal.rows().1, 6);
    }
}
