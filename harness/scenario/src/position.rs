//! Where in a file something stands.

use std::{ops::Range, path::Path};

use lookback_ops::{Line, trace};
use lookback_wire::control::Arm;
use toml::Spanned;

use crate::{error::ScenarioError, reach};

/// A file's name and text, for error messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Source<'_> {
    /// A mistake in the part of the file that `span` covers.
    pub fn error(&self, span: Range<usize>, what: impl Into<String>) -> ScenarioError {
        let (line, column) = self.place(span.start);
        self.at(line, column, what)
    }

    /// A mistake at a line and column, from 1.
    pub fn at(&self, line: usize, column: usize, what: impl Into<String>) -> ScenarioError {
        ScenarioError::At {
            file: self.path.to_owned(),
            line,
            column,
            what: what.into(),
        }
    }

    /// Line and column of a byte, from 1, the column in characters.
    fn place(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    /// The lines of a trace inside the file that runs on `arms`.
    pub fn trace(&self, text: &Spanned<String>, arms: &[Arm]) -> Result<Vec<Line>, ScenarioError> {
        let check = |line: &Line| reach::check(line, arms);
        trace::parse_checked(text.get_ref(), check).map_err(|error| {
            let span = text.span();
            let raw = self.text.get(span.clone()).unwrap_or_default();
            let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
                3
            } else {
                1
            };
            let body = raw.get(quotes..).unwrap_or_default();
            // TOML drops the newline after the opening quotes.
            let dropped = usize::from(body.starts_with('\n') || body.starts_with("\r\n"));
            let (first_line, first_column) = self.place(span.start);
            let beside_the_quotes = dropped == 0 && error.line == 1;
            let offset = if beside_the_quotes {
                first_column - 1 + quotes
            } else {
                0
            };
            self.at(
                first_line + dropped + error.line - 1,
                error.column + offset,
                format!("expected {}, found {}", error.expected, error.found),
            )
        })
    }
}
