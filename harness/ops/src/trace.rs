//! The text of a trace: one operation a line.
//!
//! ```text
//! # a comment; blank lines are fine
//! mkdir d 0755
//! creat d/f
//! write d/f off=0 len=4k seed=7
//! rename d/f @outside/f noreplace
//! p1: open 3 "a name with spaces" rdwr|creat 0644
//! ```
//!
//! A path is relative to the case's directory (`.` is the directory itself)
//! unless it starts with `@lower/`, `@outside/` or `@root/`. Text in double quotes may
//! hold `\n`, `\t`, `\"`, `\\` and `\u{HEX}`; a prefix stays outside the
//! quotes. Numbers take `k`, `m` and `g` (powers of 1024). A worker other than
//! 0 is named in front, `p1:`. At the end may stand what every arm must answer,
//! `-> EIO` or `-> ok` (a name `->` is quoted). [`print()`] and [`parse()`] are inverse.

mod args;
mod parse;
mod print;
#[cfg(test)]
mod tests;
mod words;

use thiserror::Error;

use crate::op::Line;

/// A line that is no operation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column, in characters, from 1.
    pub column: usize,
    /// What could stand there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

/// Read a trace.
///
/// # Errors
/// The first line that is no operation.
pub fn parse(text: &str) -> Result<Vec<Line>, ParseError> {
    parse_checked(text, |_| Ok(()))
}

/// Read a trace whose lines must please `check`, which says what was expected
/// instead of a line.
///
/// # Errors
/// The first line that is no operation, or that `check` refuses.
pub fn parse_checked(
    text: &str,
    mut check: impl FnMut(&Line) -> Result<(), String>,
) -> Result<Vec<Line>, ParseError> {
    let mut lines = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let located = |(column, expected, found)| ParseError {
            line: index + 1,
            column,
            expected,
            found,
        };
        let mut args = args::Args::of(text).map_err(located)?;
        let Some(first) = args.peek() else {
            continue;
        };
        let column = first.column;
        let line = parse::line(&mut args).map_err(located)?;
        check(&line).map_err(|expected| located((column, expected, format!("`{line}`"))))?;
        lines.push(line);
    }
    Ok(lines)
}

/// Write a trace: what [`parse()`] reads back as the same lines.
#[must_use]
pub fn print(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
