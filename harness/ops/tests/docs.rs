//! Every trace the documentation shows is one, and every operation is shown.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

use lookback_ops::{Line, trace};

/// The lines of all ```trace blocks of docs/trace.md.
fn shown() -> Vec<Line> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/trace.md");
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```trace\n").skip(1);
    blocks
        .flat_map(|rest| {
            let block = rest.split("```").next().unwrap();
            trace::parse(block).unwrap_or_else(|error| panic!("{error} in:\n{block}"))
        })
        .collect()
}

#[test]
fn every_example_reads_back() {
    let lines = shown();
    assert!(!lines.is_empty());
    assert_eq!(trace::parse(&trace::print(&lines)).unwrap(), lines);
}

#[test]
fn every_operation_has_an_example() {
    let shown: BTreeSet<String> = shown()
        .iter()
        .map(|line| {
            let text = line.op.to_string();
            text.split(' ').next().unwrap().to_owned()
        })
        .collect();
    // What is no operation is told which there are.
    let refused = trace::parse("none-of-them").unwrap_err().expected;
    let (_, words) = refused.split_once('(').unwrap();
    for word in words.trim_end_matches(')').split_whitespace() {
        assert!(shown.contains(word), "docs/trace.md shows no `{word}`");
    }
}
