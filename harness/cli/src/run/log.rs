//! What the servers were asked and what the guest's console said, in one file by
//! time: what came right before a crash is next to it.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use lookback_fs_backend::Requests;
use lookback_wire::control::Arm;

use crate::{
    failure::Failure,
    guest::{
        folder::Folder,
        journal::{Journal, Row, Source},
    },
};

/// Writes `log/ID.log`; returns its name in the run's directory. `requests` are
/// each share's, by its tag.
pub fn write(
    folder: &Folder,
    id: &str,
    arms: &[Arm],
    journal: &Journal,
    requests: &[(&str, Requests)],
) -> Result<String, Failure> {
    let name = format!("{id}.log");
    folder.write("log", &name, &render(id, arms, journal, requests))?;
    Ok(format!("log/{name}"))
}

fn render(id: &str, arms: &[Arm], journal: &Journal, requests: &[(&str, Requests)]) -> String {
    let (mut rows, dropped) = journal.rows();
    let mut text = format!(
        "# {id}: what the guest asked the servers and said on its console, by the time it came to\n\
         # this machine, in seconds since the guest was started\n"
    );
    let kept = |what: &str, count: usize, dropped: u64| match dropped {
        0 => format!("# {what}: {count}\n"),
        _ => format!("# {what}: {count}, and {dropped} before them that are not kept\n"),
    };
    for (tag, requests) in requests {
        let count = requests.entries.len();
        text.push_str(&kept(
            &format!("requests to {tag}"),
            count,
            requests.dropped,
        ));
        rows.extend(requests.entries.iter().map(|request| Row {
            at: request.at,
            source: Source::Fuse,
            text: format!("{tag} {request}"),
        }));
    }
    if dropped > 0 {
        text.push_str(&kept("lines of the console", rows.len(), dropped));
    }
    if arms.contains(&Arm::Devfuse) {
        text.push_str(
            "# the daemon of devfuse is a process of the guest: its requests are not here\n",
        );
    }
    // A stable sort: lines of one moment stay in their order.
    rows.sort_by_key(|row| row.at);
    for row in rows {
        line(&mut text, journal.zero, &row);
    }
    text
}

fn line(text: &mut String, zero: Instant, row: &Row) {
    let since: Duration = row.at.saturating_duration_since(zero);
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "+{}.{:06} {:<6} {}",
        since.as_secs(),
        since.subsec_micros(),
        row.source.name(),
        row.text
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_stands_by_its_time() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let journal = Journal::new(zero);
        journal.console(at(12_345), b"[   11.900000] BUG: x\n");
        journal.console(at(12_340), b"lookback-agent: case c\n");
        let text = render(
            "c",
            &[Arm::Devfuse],
            &journal,
            &[("plain", Requests::default())],
        );
        let (head, lines): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('#'));
        assert_eq!(
            lines,
            [
                "+12.340000 agent  case c",
                "+12.345000 kernel [   11.900000] BUG: x"
            ]
        );
        assert!(
            head.iter()
                .any(|line| line.contains("requests to plain: 0"))
        );
        assert!(head.iter().any(|line| line.contains("daemon of devfuse")));
    }
}
