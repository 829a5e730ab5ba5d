//! Every trace file the documentation shows is one, and every directive is shown.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use lookback_scenario::Recording;

/// The ```trace-file blocks of the documentation.
fn shown() -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut blocks = Vec::new();
    for page in fs::read_dir(docs).unwrap() {
        let text = fs::read_to_string(page.unwrap().path()).unwrap();
        let found = text.split("```trace-file\n").skip(1);
        blocks.extend(found.map(|rest| rest.split("```").next().unwrap().to_owned()));
    }
    blocks
}

#[test]
fn every_example_reads_back() {
    let blocks = shown();
    assert!(!blocks.is_empty());
    for text in blocks {
        let path = Path::new("example.trace");
        let recording =
            Recording::parse(path, &text).unwrap_or_else(|error| panic!("{error} in:\n{text}"));
        let printed = recording.print().unwrap();
        assert_eq!(Recording::parse(path, &printed).unwrap(), recording);
    }
}

#[test]
fn every_directive_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/trace.md");
    let page = fs::read_to_string(page).unwrap();
    // What is no directive is told which there are.
    let error = Recording::parse(Path::new("x"), "%none-of-them").unwrap_err();
    let error = error.to_string();
    let (_, words) = error.split_once('(').unwrap();
    let (words, _) = words.split_once(')').unwrap();
    assert!(words.split_whitespace().count() > 10, "{error}");
    for word in words.split_whitespace() {
        assert!(
            page.contains(&format!("`{word}")),
            "docs/trace.md does not tell of {word}"
        );
    }
}
