//! Real and realistic consoles in, findings out.
//!
//! Each `golden/NAME.txt` is a console; `golden/NAME.toml` is what must be found
//! in it. `BLESS=1 cargo test -p lookback-triage` writes the latter anew: read
//! the difference before you keep it.

// Helpers outside `#[test]` functions are tests too.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use lookback_triage::{Finding, Kind, Watcher};
use proptest::prelude::*;
use rstest::rstest;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Expected {
    #[serde(default)]
    finding: Vec<Expectation>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Expectation {
    kind: Kind,
    title: String,
    frames: Vec<String>,
    also: Vec<String>,
    signature: String,
    first_line: String,
    last_line: String,
}

impl From<Finding> for Expectation {
    fn from(finding: Finding) -> Self {
        let mut lines = finding.text.lines().map(str::to_owned);
        let first_line = lines.next().unwrap_or_default();
        Expectation {
            last_line: lines.next_back().unwrap_or_else(|| first_line.clone()),
            first_line,
            kind: finding.kind,
            title: finding.title,
            frames: finding.frames,
            also: finding.also,
            signature: finding.signature,
        }
    }
}

fn watch<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Finding> {
    let mut watcher = Watcher::new();
    let mut findings: Vec<Finding> = chunks.flat_map(|chunk| watcher.push(chunk)).collect();
    findings.extend(watcher.finish());
    assert_eq!(watcher.begun(), findings.len());
    findings
}

#[rstest]
fn finds_what_is_there(#[files("tests/golden/*.txt")] console: PathBuf) {
    let bytes = std::fs::read(&console).unwrap();
    let findings = watch(std::iter::once(bytes.as_slice()));
    let found = Expected {
        finding: findings.into_iter().map(Into::into).collect(),
    };
    let golden = console.with_extension("toml");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&golden, toml::to_string_pretty(&found).unwrap()).unwrap();
    }
    let expected: Expected = toml::from_str(&std::fs::read_to_string(&golden).unwrap()).unwrap();
    assert_eq!(found, expected, "{}", console.display());
}

/// Every golden console, one after the other.
fn everything() -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Cuts `bytes` into chunks of the given sizes, over and over.
fn chunked<'a>(bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let size = *sizes.next()?;
        if rest.is_empty() {
            return None;
        }
        let (chunk, next) = rest.split_at(size.min(rest.len()));
        rest = next;
        Some(chunk)
    })
}

/// Pieces that reports are made of, to put together at random.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = everything();
    let lines: Vec<Vec<u8>> = known
        .split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    prop_oneof![
        8 => prop::sample::select(lines),
        1 => prop::collection::vec(any::<u8>(), 0..80),
        1 => Just(b"------------[ cut here ]------------\n".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunking_of_real_consoles_changes_nothing(sizes in prop::collection::vec(1..200usize, 1..8)) {
        let bytes = everything();
        prop_assert_eq!(watch(chunked(&bytes, &sizes)), watch(std::iter::once(bytes.as_slice())));
    }

    #[test]
    fn no_mixture_of_lines_confuses_it(
        pieces in prop::collection::vec(piece(), 0..200),
        sizes in prop::collection::vec(1..50usize, 1..8),
    ) {
        let bytes = pieces.concat();
        let whole = watch(std::iter::once(bytes.as_slice()));
        prop_assert_eq!(watch(chunked(&bytes, &sizes)), whole);
    }

    #[test]
    fn any_bytes_do(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        watch(std::iter::once(bytes.as_slice()));
    }
}
