//! The result on a terminal.

use std::{collections::BTreeMap, fmt::Write};

use crate::model::{CaseResult, Finding, Fsck, FsckStatus, Kind, Problem, RunResult, Status};

/// Lines one finding may take.
pub const MAX_LINES: usize = 40;
/// Findings with signatures of their own that are shown; the rest is in result.json.
pub const MAX_FINDINGS: usize = 20;

/// How it is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// With colours, for a terminal.
    pub color: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn good(self, text: &str) -> String {
        self.paint("32", text)
    }
}

/// The whole result: a line a scenario, the findings, and what it comes to.
#[must_use]
pub fn render(run: &RunResult, style: Style) -> String {
    let mut out = String::new();
    let kernel = &run.kernel;
    line(
        &mut out,
        &format!(
            "lookback {} · run {} · {} · kernel {} {} ({}) · seed {}",
            run.lookback,
            run.run,
            run.engine,
            kernel.name,
            kernel.release,
            kernel.profile,
            run.seed
        ),
    );
    table(&mut out, run, style);
    reasons(&mut out, run);
    findings(&mut out, run, style);
    excused(&mut out, run);
    checks(&mut out, run, style);
    if let Some(against) = &run.against {
        let other = &against.kernel;
        line(
            &mut out,
            &format!(
                "against {} {} ({}): {} findings are known from it, {} signatures are gone",
                other.name,
                other.release,
                other.profile,
                against.known,
                against.gone.len()
            ),
        );
        for gone in against.gone.iter().take(MAX_FINDINGS) {
            line(&mut out, &format!("    gone: {gone}"));
        }
    }
    let ended = match &run.problem {
        None => None,
        Some(Problem::Environment(text)) => Some(format!("this machine can't run it: {text}")),
        Some(Problem::Hang(text)) => Some(format!("hung: {text}")),
        Some(Problem::Crash(text)) => Some(format!("the guest ended: {text}")),
    };
    if let Some(text) = ended {
        line(&mut out, &style.bad(&text));
    }
    line(&mut out, &last(run, style));
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

const COLUMNS: [&str; 7] = [
    "passed", "failed", "crashed", "hung", "skipped", "not run", KNOWN,
];
/// Shown only where a run is held against another.
const KNOWN: &str = "known";

fn column(status: &Status) -> usize {
    match status {
        Status::Passed => 0,
        Status::Failed => 1,
        Status::Crashed => 2,
        Status::Hung => 3,
        Status::Skipped { .. } => 4,
        Status::NotRun { .. } => 5,
        Status::Known => 6,
    }
}

fn table(out: &mut String, run: &RunResult, style: Style) {
    let scenarios = run.scenarios();
    let width = scenarios
        .iter()
        .map(|name| name.len())
        .max()
        .unwrap_or(0)
        .max("scenario".len());
    let _ = write!(out, "{:width$}  {:>5}", "scenario", "cases");
    let columns = if run.against.is_some() {
        &COLUMNS[..]
    } else {
        &COLUMNS[..COLUMNS.len() - 1]
    };
    for name in columns {
        let _ = write!(out, "  {name:>7}");
    }
    line(out, &format!("  {:>10}", "operations"));
    for name in scenarios {
        let mut counts = [0usize; COLUMNS.len()];
        let mut operations = 0;
        let cases = || run.cases.iter().filter(|case| case.scenario == name);
        for case in cases() {
            counts[column(&case.status)] += 1;
            operations += case.operations;
        }
        let _ = write!(out, "{name:width$}  {:>5}", cases().count());
        for (column, count) in counts[..columns.len()].iter().enumerate() {
            let cell = format!("{count:>7}");
            let is_bad = *count > 0 && matches!(column, 1 | 2 | 3 | 5);
            let _ = write!(out, "  {}", if is_bad { style.bad(&cell) } else { cell });
        }
        line(out, &format!("  {operations:>10}"));
    }
}

/// What e2fsck said. Of many guests those with one answer share a line.
fn checks(out: &mut String, run: &RunResult, style: Style) {
    let mut alike: Vec<(String, Vec<u32>)> = Vec::new();
    for fsck in &run.fsck {
        let said = match &fsck.status {
            FsckStatus::Clean => format!("e2fsck {}: clean", fsck.image),
            FsckStatus::NotRun { reason } | FsckStatus::Skipped { reason } => {
                format!("e2fsck {}: not run: {reason}", fsck.image)
            }
            FsckStatus::Errors => continue,
        };
        match alike.iter_mut().find(|(known, _)| *known == said) {
            Some((_, guests)) => guests.extend(fsck.guest),
            None => alike.push((said, fsck.guest.into_iter().collect())),
        }
    }
    for (said, guests) in alike {
        let guests: Vec<String> = guests.iter().map(u32::to_string).collect();
        let of = match &guests[..] {
            [] => String::new(),
            [guest] => format!(" (guest {guest})"),
            guests => format!(" (guests {})", guests.join(", ")),
        };
        line(out, &format!("{said}{of}"));
    }
    let errors = |fsck: &&Fsck| fsck.status == FsckStatus::Errors;
    for fsck in run.fsck.iter().filter(errors) {
        let head = format!("e2fsck {}: errors{}", fsck.image, of_guest(fsck.guest));
        line(out, &style.bad(&head));
        fsck.output
            .lines()
            .take(MAX_LINES - 1)
            .for_each(|l| line(out, &format!("    {l}")));
    }
}

/// Which guest it is of, where there were several.
fn of_guest(guest: Option<u32>) -> String {
    guest.map_or_else(String::new, |guest| format!(" (guest {guest})"))
}

/// Why something did not run, once per reason.
fn reasons(out: &mut String, run: &RunResult) {
    let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for case in &run.cases {
        let key = match &case.status {
            Status::Skipped { reason } => ("skipped", reason.as_str()),
            Status::NotRun { reason } => ("not run", reason.as_str()),
            _ => continue,
        };
        reasons.entry(key).or_default().push(&case.id);
    }
    for ((what, reason), ids) in reasons {
        let more = if ids.len() > 1 {
            format!(" and {} more", ids.len() - 1)
        } else {
            String::new()
        };
        line(out, &format!("{what}: {}{more}: {reason}", ids[0]));
    }
}

struct Group<'a> {
    finding: &'a Finding,
    case: Option<&'a str>,
    guest: Option<u32>,
    files: &'a [String],
    more: u64,
}

/// The findings by signature, crashes first, each with where it showed first.
fn findings(out: &mut String, run: &RunResult, style: Style) {
    let of_console = run
        .console
        .iter()
        .map(|c| (&c.finding, c.case.as_deref(), c.guest, [].as_slice()));
    let of_cases = run.cases.iter().flat_map(|case: &CaseResult| {
        let (id, files) = (Some(case.id.as_str()), case.files.as_slice());
        case.findings
            .iter()
            .map(move |f| (f, id, case.guest, files))
    });
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (finding, case, guest, files) in of_console.chain(of_cases) {
        match groups
            .iter_mut()
            .find(|group| group.finding.signature == finding.signature)
        {
            Some(group) => group.more += 1,
            None => groups.push(Group {
                finding,
                case,
                guest,
                files,
                more: 0,
            }),
        }
    }
    groups.sort_by_key(|group| match group.finding.kind {
        Kind::Crash | Kind::Leak => 0,
        Kind::Hang => 1,
        Kind::Difference => 2,
    });
    for group in groups.iter().take(MAX_FINDINGS) {
        line(out, "");
        show(out, group, style);
    }
    if groups.len() > MAX_FINDINGS {
        line(
            out,
            &format!(
                "\n… and {} more findings in result.json",
                groups.len() - MAX_FINDINGS
            ),
        );
    }
    let omitted: u64 = run.cases.iter().map(|case| case.omitted).sum();
    if omitted > 0 {
        line(
            out,
            &format!("{omitted} further differences of the same cases left out"),
        );
    }
    if !groups.is_empty() {
        line(out, "");
    }
}

fn show(out: &mut String, group: &Group<'_>, style: Style) {
    let Finding {
        kind,
        signature,
        title,
        text,
        folder,
        ..
    } = group.finding;
    let kind = match kind {
        Kind::Difference => "difference",
        Kind::Crash => "crash",
        Kind::Leak => "leak",
        Kind::Hang => "hang",
    };
    let case = group
        .case
        .map(|case| format!(" in {case}"))
        .unwrap_or_default();
    let head = format!("{kind}{case}{}", of_guest(group.guest));
    line(out, &style.bad(&head));
    line(out, &format!("  {}", printable(title)));
    let footer = 1 + usize::from(!group.files.is_empty()) + usize::from(group.more > 0);
    let room = MAX_LINES - 3 - footer;
    let left_out = text.len().saturating_sub(room);
    // The end of a trace is what led to the difference; of a console text it is the beginning.
    let is_trace = group.finding.difference.is_some();
    let shown = if is_trace {
        &text[left_out..]
    } else {
        &text[..text.len() - left_out]
    };
    let ellipsis = || format!("    … {left_out} lines left out");
    if left_out > 0 && is_trace {
        line(out, &ellipsis());
    }
    shown
        .iter()
        .for_each(|text| line(out, &format!("    {}", printable(text))));
    if left_out > 0 && !is_trace {
        line(out, &ellipsis());
    }
    if group.more > 0 {
        line(out, &format!("  and {} more like it", group.more));
    }
    if !group.files.is_empty() {
        line(out, &format!("  files: {}", group.files.join(", ")));
    }
    if let Some(folder) = folder {
        line(out, &format!("  to hand over: {folder}"));
    }
    line(out, &format!("  signature: {}", printable(signature)));
}

/// What a guest wrote must not steer the terminal, nor be two lines.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = if c.is_control() && c != '\t' {
                Some(c.escape_default())
            } else {
                None
            };
            let kept = if escaped.is_none() { Some(c) } else { None };
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}

fn excused(out: &mut String, run: &RunResult) {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (id, count) in run.cases.iter().flat_map(|case| &case.excused) {
        *sums.entry(id).or_default() += count;
    }
    if !sums.is_empty() {
        let list: Vec<String> = sums
            .iter()
            .map(|(id, count)| format!("{id} {count}"))
            .collect();
        line(out, &format!("legitimate differences: {}", list.join(", ")));
    }
}

fn last(run: &RunResult, style: Style) -> String {
    let boot = run
        .boot_ms
        .map(|ms| format!(", boot {}", seconds(ms)))
        .unwrap_or_default();
    let guests = match run.guests {
        0 | 1 => String::new(),
        guests => format!(", {guests} guests"),
    };
    let cost = format!(
        "{} operations compared in {}{boot}{guests}",
        run.operations,
        seconds(run.total_ms)
    );
    let verdict = match run.exit_code() {
        0 => style.good("all hold"),
        1 => style.bad("there are differences"),
        3 => style.bad("the guest kernel crashed, warned or leaked"),
        4 => style.bad("hung"),
        _ => style.bad("not everything could run"),
    };
    format!("{verdict} · {cost}")
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests;
