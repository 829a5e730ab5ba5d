//! Takes the console as it comes and gives back findings.

use crate::finding::Finding;
use crate::header::{CUT_HERE, Header, classify, is_rule};
use crate::line::{Lines, message};
use crate::report::{Report, Step};

/// Lines after a report within which its consequence is looked for: the
/// registers that an oops prints again before it panics fit in.
const LINGER: usize = 24;

/// Takes the console as it comes and gives back findings.
///
/// A finding is given back when nothing more can belong to it: some lines after
/// its end, or by [`Watcher::settle`] or [`Watcher::finish`]. [`Watcher::begun`] tells at once.
#[derive(Debug, Default)]
pub struct Watcher {
    lines: Lines,
    /// A line with a time stamp was seen: lines without one are not the kernel's.
    timed: bool,
    /// The line before was a rule of `=`.
    ruled: bool,
    open: Option<Report>,
    /// A whole report that may yet explain the next, and the lines since.
    resting: Option<(Report, usize)>,
    begun: usize,
}

impl Watcher {
    /// A watcher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the console, in chunks of any size.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for byte in bytes {
            if let Some(line) = self.lines.push(*byte) {
                self.line(&line, &mut findings);
            }
        }
        findings
    }

    /// Ends the console: whatever was still being collected.
    pub fn finish(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(line) = self.lines.rest() {
            self.line(&line, &mut findings);
        }
        if let Some(report) = self.open.take() {
            self.rest(report, &mut findings);
        }
        self.wake(&mut findings);
        findings
    }

    /// Gives back all that has begun, as far as it has come: for who can't wait
    /// for what may follow. What then comes of a report that had not ended is
    /// nobody's.
    pub fn settle(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.close(&mut findings);
        self.wake(&mut findings);
        findings
    }

    /// Whether a report has begun that has not ended.
    pub fn is_collecting(&self) -> bool {
        self.open.is_some()
    }

    /// How many findings have begun so far, given back or not: a count that
    /// rises as soon as the kernel complains.
    pub fn begun(&self) -> usize {
        self.begun
    }

    fn line(&mut self, line: &str, findings: &mut Vec<Finding>) {
        let message = message(line);
        self.timed |= message.timed;
        let text = message.text;
        let kernels = message.timed || !self.timed;
        let header = if kernels {
            classify(text, self.ruled)
        } else {
            None
        };
        self.ruled = is_rule(text);
        if let Some(header) = header {
            self.headline(header, text, findings);
        } else if kernels && text == CUT_HERE {
            self.cut_here(findings);
        } else if let Some(report) = &mut self.open {
            match report.take(text) {
                Step::More => {}
                Step::Last => self.close(findings),
                Step::Past => {
                    self.close(findings);
                    self.linger(findings);
                }
            }
        } else {
            self.linger(findings);
        }
    }

    fn cut_here(&mut self, findings: &mut Vec<Finding>) {
        let panic = Header {
            kind: crate::Kind::Warning,
            ends: crate::header::Ends::EndTrace,
        };
        match &mut self.open {
            // Whatever warns while the kernel panics belongs to the panic.
            Some(report) if report.kind() == Some(crate::Kind::Panic) => {
                report.absorb(panic, CUT_HERE);
            }
            _ => {
                self.close(findings);
                self.open = Some(Report::cut_here());
            }
        }
    }

    fn headline(&mut self, header: Header, text: &str, findings: &mut Vec<Finding>) {
        if let Some(report) = &mut self.open
            && report.explains(header, true)
        {
            let undecided = report.kind().is_none();
            report.absorb(header, text);
            if undecided && let Some(report) = self.open.take() {
                self.decided(report, header, findings);
            }
            return;
        }
        self.close(findings);
        self.decided(Report::headed(header, text), header, findings);
    }

    /// A report has said what it is: part of the one before it, or one more.
    fn decided(&mut self, report: Report, header: Header, findings: &mut Vec<Finding>) {
        match self.resting.take() {
            Some((mut first, _)) if first.explains(header, false) => {
                first.continue_with(report);
                self.open = Some(first);
            }
            resting => {
                self.resting = resting;
                self.wake(findings);
                self.begun += 1;
                self.open = Some(report);
            }
        }
        if self.open.as_ref().is_some_and(Report::is_whole) {
            self.close(findings);
        }
    }

    /// The open report has ended.
    fn close(&mut self, findings: &mut Vec<Finding>) {
        if let Some(report) = self.open.take() {
            self.rest(report, findings);
        }
    }

    fn rest(&mut self, report: Report, findings: &mut Vec<Finding>) {
        self.wake(findings);
        if report.kind().is_none() {
            self.begun += 1;
        }
        self.resting = Some((report, 0));
    }

    fn linger(&mut self, findings: &mut Vec<Finding>) {
        if let Some((_, lines)) = &mut self.resting {
            *lines += 1;
            if *lines > LINGER {
                self.wake(findings);
            }
        }
    }

    /// Gives back the report that rested.
    fn wake(&mut self, findings: &mut Vec<Finding>) {
        if let Some((report, _)) = self.resting.take() {
            findings.push(report.finding());
        }
    }
}
