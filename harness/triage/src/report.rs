//! A report being collected, line by line.

use crate::finding::{Finding, Kind};
use crate::frames;
use crate::header::{self, CUT_HERE, Ends, Header};
use crate::title::{self, Parts};

/// Most lines and bytes of one report; lockdep's longest stay below.
const LINES_MAX: usize = 600;
const BYTES_MAX: usize = 128 * 1024;
/// Lines without a stack after which one is no longer awaited.
const PATIENCE: usize = 32;
/// Frames kept.
const FRAMES_MAX: usize = 16;

/// What a line did to the report it was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The report goes on.
    More,
    /// This was its last line.
    Last,
    /// The line before was its last.
    Past,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stack {
    Awaited,
    Inside,
    Seen,
}

/// A report being collected.
#[derive(Debug)]
pub(crate) struct Report {
    /// `None` between `cut here` and the line that says what it is.
    header: Option<(Header, String)>,
    cut_here: bool,
    lines: Vec<String>,
    bytes: usize,
    stack: Stack,
    /// RIP, then the first stack, machinery included.
    frames: Vec<String>,
    /// The part of that stack the unwinder was unsure of.
    doubtful: Vec<String>,
    locks_listed: bool,
    also: Vec<String>,
}

impl Report {
    /// A report that begins with [`CUT_HERE`] and has yet to say what it is.
    pub(crate) fn cut_here() -> Self {
        Self::new(None, true, CUT_HERE)
    }

    /// A report that begins with its headline.
    pub(crate) fn headed(header: Header, text: &str) -> Self {
        Self::new(Some((header, text.to_owned())), false, text)
    }

    fn new(header: Option<(Header, String)>, cut_here: bool, first: &str) -> Self {
        let mut report = Report {
            header,
            cut_here,
            lines: Vec::new(),
            bytes: 0,
            stack: Stack::Awaited,
            frames: Vec::new(),
            doubtful: Vec::new(),
            locks_listed: false,
            also: Vec::new(),
        };
        report.keep(first);
        report
    }

    pub(crate) fn kind(&self) -> Option<Kind> {
        self.header.as_ref().map(|(header, _)| header.kind)
    }

    fn ends(&self) -> Ends {
        match self.header {
            // WARN() prints its message before its headline.
            Some((header, _)) if self.cut_here && header.ends == Ends::Line => Ends::EndTrace,
            Some((header, _)) => header.ends,
            None => Ends::EndTrace,
        }
    }

    /// True if its headline is all there is to it.
    pub(crate) fn is_whole(&self) -> bool {
        self.ends() == Ends::Line
    }

    /// True if `next`, met within this report or soon after it, tells of the
    /// same event: the second headline of one fault, or what the first led to.
    pub(crate) fn explains(&self, next: Header, within: bool) -> bool {
        let Some((first, _)) = &self.header else {
            return within;
        };
        if next.kind == Kind::Panic || (within && first.kind == Kind::Panic) {
            return true;
        }
        if within
            && self.stack == Stack::Awaited
            && self.ends() == Ends::EndTrace
            && next.ends == Ends::EndTrace
        {
            return true;
        }
        if first.kind == Kind::KernelLeak && next.kind == Kind::Warning {
            return true;
        }
        let damage = matches!(
            first.kind,
            Kind::Kasan
                | Kind::Kfence
                | Kind::Ubsan
                | Kind::Slab
                | Kind::ListCorruption
                | Kind::RefcountBug
                | Kind::BusyInodes
                | Kind::DentryInUse
        );
        damage && matches!(next.kind, Kind::Oops | Kind::Bug) && next.ends == Ends::EndTrace
    }

    /// Takes a further headline of the same event.
    pub(crate) fn absorb(&mut self, next: Header, text: &str) {
        match &mut self.header {
            None => self.header = Some((next, text.to_owned())),
            Some((first, _)) => {
                if self.stack != Stack::Awaited || next.kind == Kind::Panic {
                    self.also.push(text.to_owned());
                }
                first.ends = next.ends;
            }
        }
        self.keep(text);
    }

    /// Takes what has been collected of a report that this one explains.
    pub(crate) fn continue_with(&mut self, next: Report) {
        if let (Some((first, _)), Some((header, text))) = (&mut self.header, next.header) {
            first.ends = header.ends;
            self.also.push(text);
        }
        self.cut_here |= next.cut_here;
        for line in next.lines {
            self.keep(&line);
        }
    }

    /// Takes a line that is no headline.
    pub(crate) fn take(&mut self, text: &str) -> Step {
        if self.ends() == Ends::Locks && self.locks_listed && !text.trim_start().starts_with('#') {
            return Step::Past;
        }
        self.keep(text);
        self.read_stack(text);
        self.locks_listed |= text.contains(" held by ");
        let trimmed = text.trim();
        let last = match self.ends() {
            Ends::Line => true,
            Ends::EndTrace => trimmed.starts_with("---[ end trace"),
            Ends::Rule => header::is_rule(trimmed),
            Ends::Stack => trimmed == "</TASK>" || self.gives_up(),
            Ends::Locks => self.lines.len() > PATIENCE,
            Ends::Panic => trimmed.starts_with("---[ end Kernel panic"),
        };
        if last || self.is_full() {
            Step::Last
        } else {
            Step::More
        }
    }

    /// lockdep and RCU print pages before their stacks, the others do not.
    fn gives_up(&self) -> bool {
        self.stack == Stack::Awaited
            && self.lines.len() > PATIENCE
            && !matches!(self.kind(), Some(Kind::Lockdep | Kind::RcuStall))
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX || self.bytes >= BYTES_MAX
    }

    fn keep(&mut self, text: &str) {
        if !self.is_full() {
            self.bytes += text.len();
            self.lines.push(text.to_owned());
        }
    }

    fn read_stack(&mut self, text: &str) {
        match self.stack {
            Stack::Awaited if text.trim_start().starts_with("Call Trace:") => {
                self.stack = Stack::Inside;
            }
            Stack::Awaited => {
                if let Some(function) = frames::instruction_pointer(text) {
                    self.frames.push(function.to_owned());
                }
            }
            Stack::Inside => {
                if let Some(function) = frames::frame(text) {
                    if self.frames.last().is_none_or(|last| last != function) {
                        self.frames.push(function.to_owned());
                    }
                } else if let Some(function) = frames::doubtful(text) {
                    self.doubtful.push(function.to_owned());
                } else if text.trim() == "</TASK>" || !frames::is_stack_mark(text) {
                    self.stack = Stack::Seen;
                }
            }
            Stack::Seen => {}
        }
    }

    /// The finding that this report is.
    pub(crate) fn finding(self) -> Finding {
        let cut = self.is_full();
        let frames = without_machinery(self.frames);
        // A kernel built without frame pointers or ORC is unsure of all.
        let frames = if frames.is_empty() {
            without_machinery(self.doubtful)
        } else {
            frames
        };
        let (kind, title) = match &self.header {
            Some((header, text)) => {
                let parts = Parts {
                    kind: header.kind,
                    header: text,
                    lines: &self.lines,
                    function: frames.first().map(String::as_str),
                };
                (header.kind, title::title(&parts))
            }
            None => (Kind::Warning, "WARNING cut short".to_owned()),
        };
        let mut text = self.lines.join("\n");
        if cut {
            text.push_str("\n[cut: the report goes on in the console log]");
        }
        Finding::new(kind, title, text, frames, self.also)
    }
}

fn without_machinery(frames: Vec<String>) -> Vec<String> {
    frames
        .into_iter()
        .skip_while(|name| frames::is_machinery(name))
        .take(FRAMES_MAX)
        .collect()
}
