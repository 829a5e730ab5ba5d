//! The table of mutants.

use std::fmt::Write as _;

use serde::Serialize;

use crate::command::mutants::verdict::{Catch, How};

/// Characters of a finding's title on the screen.
const TITLE: usize = 60;

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Fate {
    /// Its scenario found it.
    Caught {
        /// Who, and how.
        #[serde(flatten)]
        catch: Catch,
        /// Whether in a way its header expects.
        as_expected: bool,
    },
    /// Its scenario passed.
    Survived,
    /// It could not be built or run.
    NotJudged {
        /// 2 if the patch is wrong, 5 if this machine is.
        exit_code: u8,
        /// Why.
        reason: String,
    },
}

/// One mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub mutant: String,
    /// The defect.
    pub about: String,
    /// The scenarios that must notice.
    pub scenarios: Vec<String>,
    /// How they are expected to.
    pub expected: Vec<How>,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// What the fixed load found, if anything.
    pub fsstress: Option<Catch>,
    /// Milliseconds the kernel's build took.
    pub build_ms: u64,
    /// Milliseconds the guest of its scenarios took.
    pub scenarios_ms: u64,
    /// Milliseconds the guest of the fixed load took.
    pub fsstress_ms: u64,
}

/// The kernel without a mutant, in one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// The kernel's name.
    pub kernel: String,
    /// Its profile.
    pub profile: String,
    /// The scenarios it passed.
    pub scenarios: Vec<String>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The kernels that were found clean first.
    pub clean: Vec<Reference>,
    /// The mutants.
    pub mutants: Vec<Row>,
    /// How many were caught by the scenario that names them.
    pub caught: usize,
    /// How many the fixed load found by itself.
    pub caught_by_fsstress: usize,
    /// Milliseconds in all.
    pub total_ms: u64,
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let (by, how, title) = match &self.fate {
            Fate::Caught { catch, as_expected } => {
                let otherwise = if *as_expected { "" } else { " (otherwise)" };
                (
                    catch.by.clone(),
                    format!("{}{otherwise}", catch.how),
                    catch.title.clone(),
                )
            }
            Fate::Survived => ("-".into(), "survived".into(), "-".into()),
            Fate::NotJudged { reason, .. } => {
                let first = reason.lines().next().unwrap_or_default();
                ("-".into(), "not judged".into(), first.to_owned())
            }
        };
        let ms = self.build_ms + self.scenarios_ms + self.fsstress_ms;
        let fsstress = self
            .fsstress
            .as_ref()
            .map_or_else(|| "no".to_owned(), |catch| catch.how.to_string());
        [
            self.mutant.clone(),
            by,
            how,
            title,
            format!("{:.1}", seconds(ms)),
            fsstress,
        ]
    }

    /// The row as a line of progress.
    pub fn line(&self) -> String {
        let [mutant, by, how, title, _, fsstress] = self.cells();
        format!(
            "{mutant}: {how} in {by}: {title} (build {:.1} s, scenarios {:.1} s, fsstress {:.1} s: {fsstress})",
            seconds(self.build_ms),
            seconds(self.scenarios_ms),
            seconds(self.fsstress_ms)
        )
    }
}

/// Seconds for people.
fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

const COLUMNS: [&str; 6] = [
    "mutant",
    "caught by",
    "how",
    "finding",
    "seconds",
    "fsstress",
];

impl Table {
    /// A table of what is known.
    pub fn new(clean: Vec<Reference>, mutants: Vec<Row>, total_ms: u64) -> Self {
        let is_caught = |row: &&Row| matches!(row.fate, Fate::Caught { .. });
        Self {
            caught: mutants.iter().filter(is_caught).count(),
            caught_by_fsstress: mutants.iter().filter(|row| row.fsstress.is_some()).count(),
            clean,
            mutants,
            total_ms,
        }
    }

    /// 0 if every mutant was caught, 1 if one survived, else why one was not judged.
    pub fn exit_code(&self) -> u8 {
        let fates = || self.mutants.iter().map(|row| &row.fate);
        if fates().any(|fate| *fate == Fate::Survived) {
            return 1;
        }
        fates()
            .filter_map(|fate| match fate {
                Fate::NotJudged { exit_code, .. } => Some(*exit_code),
                Fate::Caught { .. } | Fate::Survived => None,
            })
            .max()
            .unwrap_or(0)
    }

    fn summary(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .clean
            .iter()
            .map(|reference| {
                format!(
                    "clean without a mutant: {} ({}): {}, fsstress",
                    reference.kernel,
                    reference.profile,
                    reference.scenarios.join(", ")
                )
            })
            .collect();
        let names = |is: fn(&Fate) -> bool| {
            let rows = self.mutants.iter().filter(|row| is(&row.fate));
            rows.map(|row| row.mutant.as_str()).collect::<Vec<_>>()
        };
        for (what, names) in [
            ("survived", names(|fate| *fate == Fate::Survived)),
            (
                "not judged",
                names(|fate| matches!(fate, Fate::NotJudged { .. })),
            ),
        ] {
            if !names.is_empty() {
                lines.push(format!("{what}: {}", names.join(", ")));
            }
        }
        lines.push(format!(
            "{} of {} caught by the scenario that names them, in {:.0} s",
            self.caught,
            self.mutants.len(),
            seconds(self.total_ms)
        ));
        lines.push(format!("{} by fsstress alone", self.caught_by_fsstress));
        lines
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut rows = vec![COLUMNS.map(str::to_owned)];
        rows.extend(self.mutants.iter().map(|row| {
            let mut cells = row.cells();
            cells[3] = shortened(&cells[3]);
            cells
        }));
        let width = |column: usize| {
            let widths = rows.iter().map(|cells| cells[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3, 4, 5].map(width);
        let mut out = String::new();
        for cells in &rows {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        for line in self.summary() {
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    /// For a page.
    pub fn markdown(&self) -> String {
        let escaped = |cell: &String| cell.replace('|', "\\|");
        let mut out = format!("| {} |\n", COLUMNS.join(" | "));
        out.push_str(&"|---".repeat(COLUMNS.len()));
        out.push_str("|\n");
        for row in &self.mutants {
            let cells: Vec<String> = row.cells().iter().map(escaped).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        for line in self.summary() {
            let _ = write!(out, "\n{line}\n");
        }
        out
    }
}

fn shortened(title: &str) -> String {
    if title.chars().count() <= TITLE {
        return title.to_owned();
    }
    let mut short: String = title.chars().take(TITLE - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mutant: &str, fate: Fate, fsstress: bool) -> Row {
        let catch = || Catch {
            how: How::Warning,
            by: "fsstress.p2".into(),
            title: "WARNING at x.c".into(),
        };
        Row {
            mutant: mutant.into(),
            about: "A defect.".into(),
            scenarios: vec!["lookup".into()],
            expected: vec![How::Leak],
            fate,
            fsstress: fsstress.then(catch),
            build_ms: 12_000,
            scenarios_ms: 3_000,
            fsstress_ms: 500,
        }
    }

    fn caught(as_expected: bool) -> Fate {
        Fate::Caught {
            catch: Catch {
                how: How::Leak,
                by: "lookup.file".into(),
                title: format!("umount: EBUSY | {}", "x".repeat(80)),
            },
            as_expected,
        }
    }

    fn not_judged(exit_code: u8) -> Fate {
        Fate::NotJudged {
            exit_code,
            reason: "does not apply\nand more".into(),
        }
    }

    fn table(fates: &[(Fate, bool)]) -> Table {
        let rows = fates.iter().enumerate();
        let rows = rows.map(|(n, (fate, fsstress))| row(&format!("m{n}"), fate.clone(), *fsstress));
        let clean = Reference {
            kernel: "patched".into(),
            profile: "fast".into(),
            scenarios: vec!["lookup".into()],
        };
        Table::new(vec![clean], rows.collect(), 61_400)
    }

    #[rstest::rstest]
    #[case(&[(caught(true), true), (caught(false), false)], 0)]
    #[case(&[(caught(true), true), (Fate::Survived, true), (not_judged(5), false)], 1)]
    #[case(&[(not_judged(2), false), (caught(true), true)], 2)]
    #[case(&[(not_judged(2), false), (not_judged(5), false)], 5)]
    fn the_exit_code_is_the_worst_fate(#[case] fates: &[(Fate, bool)], #[case] code: u8) {
        assert_eq!(table(fates).exit_code(), code);
    }

    #[test]
    fn the_text_has_a_line_a_mutant_and_the_sums_last() {
        let text = table(&[
            (caught(true), false),
            (caught(false), true),
            (Fate::Survived, true),
            (not_judged(2), false),
        ])
        .text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 4 + 5, "{text}");
        assert!(lines[1].starts_with("m0      lookup.file  leak              "));
        assert!(lines[1].contains("…  15.5     no"), "{text}");
        assert!(lines[2].contains("leak (otherwise)") && lines[2].ends_with("warning"));
        assert!(lines[3].contains("survived"));
        assert!(lines[4].contains("does not apply") && !text.contains("and more"));
        assert_eq!(
            lines[5..],
            [
                "clean without a mutant: patched (fast): lookup, fsstress",
                "survived: m2",
                "not judged: m3",
                "2 of 4 caught by the scenario that names them, in 61 s",
                "2 by fsstress alone",
            ]
        );
    }

    #[test]
    fn the_page_has_whole_titles_and_no_loose_bars() {
        let page = table(&[(caught(true), false)]).markdown();
        assert!(page.contains(&"x".repeat(80)), "{page}");
        assert!(page.contains("EBUSY \\| x"), "{page}");
        assert!(page.starts_with("| mutant | caught by |"));
    }

    #[test]
    fn the_json_says_it_in_words() {
        let json = serde_json::to_value(table(&[(caught(true), true)])).unwrap();
        let row = &json["mutants"][0];
        assert_eq!(row["status"], "caught");
        assert_eq!(row["how"], "leak");
        assert_eq!(row["as_expected"], true);
        assert_eq!(row["fsstress"]["how"], "warning");
        assert_eq!(json["caught"], 1);
    }
}
