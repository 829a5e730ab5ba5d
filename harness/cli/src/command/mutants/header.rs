//! Mutants: patches that each bring one defect back, and say who must notice.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use lookback_kernel::Profile;

use crate::command::mutants::verdict::How;

/// What is wrong with the mutants.
#[derive(Debug, thiserror::Error)]
pub enum MutantError {
    /// A file or the directory can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is none.
    #[error("{}: no *.patch here", .0.display())]
    None(PathBuf),
    /// No mutant has the name.
    #[error("there is no mutant `{name}`; known: {}", known.join(", "))]
    Unknown {
        /// As asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A header is not as it should be.
    #[error("{}:{line}: {what}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

/// One defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The file's name without `.patch`, also that of its kernel.
    pub name: String,
    /// The patch, on top of the series.
    pub path: PathBuf,
    /// The first line of its text: the defect.
    pub about: String,
    /// The scenarios or cases that must notice, and the line each is named in.
    pub scenarios: Vec<(String, usize)>,
    /// How they are expected to.
    pub caught_by: BTreeSet<How>,
    /// The kernel's.
    pub profile: Profile,
    /// Seconds each of its cases may take, if not the usual.
    pub seconds: Option<u64>,
}

/// The mutants of a directory by name; of those only the ones asked for, if any are. What is asked
/// for is a name, or its beginning up to a `-`.
pub fn load(directory: &Path, asked: &[String]) -> Result<Vec<Mutant>, MutantError> {
    let read = |source| MutantError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|found| found == "patch") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(MutantError::None(directory.to_owned()));
    }
    let mut mutants = files
        .iter()
        .map(|path| {
            let text = fs::read(path).map_err(|source| MutantError::Read {
                path: path.clone(),
                source,
            })?;
            parse(path, &String::from_utf8_lossy(&text))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let is_meant = |mutant: &Mutant, name: &str| {
        mutant
            .name
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for name in asked {
        if !mutants.iter().any(|mutant| is_meant(mutant, name)) {
            return Err(MutantError::Unknown {
                name: name.clone(),
                known: mutants.into_iter().map(|mutant| mutant.name).collect(),
            });
        }
    }
    if !asked.is_empty() {
        mutants.retain(|mutant| asked.iter().any(|name| is_meant(mutant, name)));
    }
    Ok(mutants)
}

/// Reads one mutant: text, then a paragraph of tags, then the diff.
pub fn parse(path: &Path, text: &str) -> Result<Mutant, MutantError> {
    let wrong = |line: usize, what: String| MutantError::Header {
        path: path.to_owned(),
        line,
        what,
    };
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    let name = stem.to_string_lossy().into_owned();
    if let Err(error) = lookback_kernel::check_name(&name) {
        return Err(wrong(1, error.to_string()));
    }

    let lines: Vec<(usize, &str)> = (1..).zip(text.lines().map(str::trim_end)).collect();
    let is_diff = |line: &str| line.starts_with("diff --git ") || line.starts_with("--- a/");
    let Some(diff) = lines.iter().position(|(_, line)| is_diff(line)) else {
        return Err(wrong(lines.len().max(1), "there is no diff".into()));
    };
    let end = lines
        .iter()
        .position(|(_, line)| *line == "---")
        .map_or(diff, |end| end.min(diff));
    let mut paragraphs = lines[..end]
        .split(|(_, line)| line.is_empty())
        .filter(|paragraph| !paragraph.is_empty());
    let about = paragraphs.next();
    let tags = paragraphs.next_back();
    let (Some(about), Some(tags)) = (about, tags) else {
        let what = "before the diff belong a text and, in a paragraph of their own, the tags \
                    `Scenario: NAME` and `Caught-by: KIND,...`";
        return Err(wrong(end + 1, what.into()));
    };

    let mut mutant = Mutant {
        name,
        path: path.to_owned(),
        about: about[0].1.to_owned(),
        scenarios: Vec::new(),
        caught_by: BTreeSet::new(),
        profile: Profile::Fast,
        seconds: None,
    };
    let mut seen = BTreeSet::new();
    for (line, text) in tags {
        let (tag, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.trim();
        if tag != "Scenario" && !seen.insert(tag) {
            return Err(wrong(*line, format!("a second `{tag}:`")));
        }
        take(&mut mutant, tag, value, *line).map_err(|what| wrong(*line, what))?;
    }
    let last = tags[tags.len() - 1].0;
    if mutant.scenarios.is_empty() {
        return Err(wrong(last, "no `Scenario:` says who must notice".into()));
    }
    if mutant.caught_by.is_empty() {
        return Err(wrong(last, "no `Caught-by:` says how".into()));
    }
    Ok(mutant)
}

fn take(mutant: &mut Mutant, tag: &str, value: &str, line: usize) -> Result<(), String> {
    match tag {
        "Scenario" if value.is_empty() => return Err("`Scenario:` names none".into()),
        "Scenario" => mutant.scenarios.push((value.to_owned(), line)),
        "Caught-by" => {
            for word in value.split(',') {
                mutant.caught_by.insert(word.trim().parse()?);
            }
        }
        "Profile" => {
            mutant.profile = value
                .parse()
                .map_err(|error: lookback_kernel::SpecError| error.to_string())?;
        }
        "Seconds" => match value.parse() {
            Ok(seconds) if seconds > 0 => mutant.seconds = Some(seconds),
            _ => return Err(format!("`{value}` is no number of seconds")),
        },
        other => {
            return Err(format!(
                "`{other}` is no tag; there are Scenario, Caught-by, Profile and Seconds"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const DIFF: &str = "---\n x.c | 1 +\n\ndiff --git a/x.c b/x.c\n--- a/x.c\n+++ b/x.c\n";

    fn parsed(header: &str) -> Result<Mutant, String> {
        parse(Path::new("m/d05-leak.patch"), &format!("{header}{DIFF}"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_header_is_read() {
        let mutant = parsed(
            "A path leaks.\nAnd so on.\n\nWhy it matters: much\n\nScenario: lookup.file\n\
             Scenario: rename\nCaught-by: leak, warning\nProfile: debug\nSeconds: 90\n",
        )
        .unwrap();
        assert_eq!(mutant.name, "d05-leak");
        assert_eq!(mutant.about, "A path leaks.");
        assert_eq!(
            mutant.scenarios,
            [("lookup.file".to_owned(), 6), ("rename".to_owned(), 7)]
        );
        assert_eq!(mutant.caught_by, [How::Warning, How::Leak].into());
        assert_eq!(mutant.profile, Profile::Debug);
        assert_eq!(mutant.seconds, Some(90));
    }

    #[test]
    fn little_is_enough() {
        let mutant = parsed("X.\n\nScenario: lookup\nCaught-by: hang\n").unwrap();
        assert_eq!((mutant.profile, mutant.seconds), (Profile::Fast, None));
    }

    #[rstest]
    #[case("", "1: before the diff belong a text and")]
    #[case(
        "Scenario: x\nCaught-by: leak\n",
        "3: before the diff belong a text and"
    )]
    #[case("X.\n\nScenario: x\n", "3: no `Caught-by:`")]
    #[case("X.\n\nCaught-by: leak\n", "3: no `Scenario:`")]
    #[case("X.\n\nScenario:\nCaught-by: leak\n", "3: `Scenario:` names none")]
    #[case("X.\n\nScenario: x\nCaught-by: lek\n", "4: `lek`")]
    #[case("X.\n\nScenario: x\nCaught-by:\n", "4: ``")]
    #[case(
        "X.\n\nScenario: x\nCaught-by: leak\nCaught-by: oops\n",
        "5: a second `Caught-by:`"
    )]
    #[case(
        "X.\n\nScenario: x\nCaught-by: leak\nProfile: slow\n",
        "5: no profile `slow`"
    )]
    #[case(
        "X.\n\nScenario: x\nCaught-by: leak\nSeconds: 0\n",
        "5: `0` is no number of seconds"
    )]
    #[case(
        "X.\n\nScenario: x\nCaught-by: leak\nSenario: y\n",
        "5: `Senario` is no tag"
    )]
    #[case(
        "X.\n\nScenario: x\nCaught-by: leak\nand more text\n",
        "5: `and more text` is no tag"
    )]
    fn mistakes(#[case] header: &str, #[case] says: &str) {
        let error = parsed(header).unwrap_err();
        assert!(
            error.starts_with(&format!("m/d05-leak.patch:{says}")),
            "{error}"
        );
    }

    #[test]
    fn a_mutant_without_a_diff_or_with_an_impossible_name_is_none() {
        let parse = |path: &str, text: &str| parse(Path::new(path), text).unwrap_err().to_string();
        let text = "X.\n\nScenario: x\nCaught-by: leak\n";
        assert_eq!(parse("d1.patch", text), "d1.patch:4: there is no diff");
        let whole = format!("{text}{DIFF}");
        assert!(parse("D 1.patch", &whole).contains("cannot name a kernel"));
        assert!(parse("patched.patch", &whole).contains("patched"));
    }

    #[test]
    fn names_choose() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["d05-leak", "d06-x", "d06-y", "d061"] {
            let text = format!("X.\n\nScenario: x\nCaught-by: leak\n{DIFF}");
            fs::write(dir.path().join(format!("{name}.patch")), text).unwrap();
        }
        let names = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
            load(dir.path(), &asked)
                .map(|found| {
                    found
                        .into_iter()
                        .map(|mutant| mutant.name)
                        .collect::<Vec<_>>()
                })
                .map_err(|error| error.to_string())
        };
        assert_eq!(names(&[]).unwrap().len(), 4);
        assert_eq!(names(&["d06"]).unwrap(), ["d06-x", "d06-y"]);
        assert_eq!(names(&["d061", "d05-leak"]).unwrap(), ["d05-leak", "d061"]);
        assert_eq!(
            names(&["d07"]).unwrap_err(),
            "there is no mutant `d07`; known: d05-leak, d06-x, d06-y, d061"
        );
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(load(empty.path(), &[]), Err(MutantError::None(_))));
    }
}
