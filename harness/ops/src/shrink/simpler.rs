//! Simpler forms of one line.
//!
//! They are found in the line's text, which spells every operation alike:
//! words that may be left out, numbers, flags joined by `|`.

use crate::{
    op::{FileOp, Line, Op},
    trace,
};

/// Simpler forms of a line, the simplest first, each with a smaller
/// [`weight`].
#[must_use]
pub fn simpler(line: &Line) -> Vec<Line> {
    let now = weight(line);
    let mut all: Vec<Line> = Vec::new();
    let structural = [
        without_expectation(line),
        unwrapped(line),
        short_value(line),
    ];
    // A word less must not turn an argument into a name.
    let same_names = |other: &Line| other.op.paths() == line.op.paths();
    let textual = texts(line)
        .into_iter()
        .map(|text| read(&text).filter(same_names));
    for candidate in structural.into_iter().chain(textual).flatten() {
        if weight(&candidate) < now && !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    all
}

/// How complicated a line is: how many words are needed for it, then the sum
/// of their numbers, then how long they are. Words that say what holds without
/// them weigh nothing.
#[must_use]
pub fn weight(line: &Line) -> (usize, u128, usize) {
    let words = words(&line.to_string());
    let mut weight = (0, 0, 0);
    for (index, word) in words.iter().enumerate() {
        let is_default = read(&without(&words, index)).is_some_and(|same| same == *line);
        if !is_default {
            weight.0 += 1;
            weight.1 += pieces(word).filter_map(number).sum::<u128>();
            weight.2 += word.chars().count();
        }
    }
    weight
}

fn without_expectation(line: &Line) -> Option<Line> {
    line.expect.map(|_| Line {
        expect: None,
        ..line.clone()
    })
}

fn unwrapped(line: &Line) -> Option<Line> {
    match &line.op {
        Op::Repeat { op, .. } | Op::EachAlloc { op, .. } => Some(Line {
            op: op.as_ref().clone(),
            ..line.clone()
        }),
        _ => None,
    }
}

/// Half of an attribute's value.
fn short_value(line: &Line) -> Option<Line> {
    let mut shorter = line.clone();
    let Op::File(FileOp::SetXattr { value, .. }) = &mut shorter.op else {
        return None;
    };
    value.truncate(value.len() / 2);
    Some(shorter)
}

fn read(text: &str) -> Option<Line> {
    let mut lines = trace::parse(text).ok()?;
    match lines.len() {
        1 => lines.pop(),
        _ => None,
    }
}

/// The line with one word less, or one word made simpler.
fn texts(line: &Line) -> Vec<String> {
    let words = words(&line.to_string());
    let mut texts: Vec<String> = (0..words.len())
        .map(|index| without(&words, index))
        .collect();
    for (index, word) in words.iter().enumerate() {
        for simpler in simpler_words(word) {
            let mut changed = words.clone();
            changed[index] = simpler;
            texts.push(changed.join(" "));
        }
    }
    texts
}

/// Cut at blanks outside of quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        if c == ' ' && !quoted {
            words.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words
}

fn without(words: &[String], index: usize) -> String {
    [&words[..index], &words[index + 1..]].concat().join(" ")
}

/// What a word joins: `off=4096`, `rdwr|creat`, `1000:-`.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    word.split(['=', ':', '|'])
}

/// A decimal number, perhaps with a unit. Octal ones say how things are, not
/// how many there are.
fn number(piece: &str) -> Option<u128> {
    let digits = piece.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let octal = digits.len() > 1 && digits.starts_with('0');
    if octal { None } else { digits.parse().ok() }
}

fn simpler_words(word: &str) -> Vec<String> {
    let mut all = Vec::new();
    if word.starts_with('"') {
        return all;
    }
    let flags: Vec<&str> = word.split('|').collect();
    for index in (0..flags.len()).filter(|_| flags.len() > 1) {
        let rest = [&flags[..index], &flags[index + 1..]].concat();
        all.push(rest.join("|"));
    }
    let mut at = 0;
    for piece in pieces(word) {
        if let Some(number) = number(piece) {
            let digits = piece.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = &piece[digits.len()..];
            for smaller in [0, 1, 4096, number / 2] {
                if smaller < number {
                    let before = &word[..at];
                    let after = &word[at + piece.len()..];
                    all.push(format!("{before}{smaller}{unit}{after}"));
                }
            }
        }
        at += piece.len() + 1;
    }
    all
}
