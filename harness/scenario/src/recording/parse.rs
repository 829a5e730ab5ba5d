//! Text as a recording.

use std::{fmt::Display, ops::Range, path::Path, str::FromStr};

use lookback_ops::{Base, Line, trace};
use lookback_wire::control::{Arm, Phase, Workers};
use serde::{Deserialize, de::DeserializeOwned};
use toml::Spanned;

use crate::{
    answers,
    error::ScenarioError,
    expiry,
    file::{RegisterTable, ServerTable},
    position::Source,
    reach,
    recording::{Recording, print::NO_PHASES},
    scenario::EVERY_IN_TURN,
};

/// Every directive, in the order of the documentation.
const DIRECTIVES: &str = "%title %seed %arms %phases %workers %every %balanced %clear %root-dir %no-daemon \
     %unprivileged %server %register %lookup %setup %trace";

impl Recording {
    /// Reads a trace file's text; `path` is for messages.
    ///
    /// # Errors
    /// The first mistake, with file, line, column and what was expected.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScenarioError> {
        Self::parse_for(path, text, None)
    }

    /// The same for other arms than the file's, if there are any.
    ///
    /// # Errors
    /// The first mistake, among them a line that one of these arms has no use for.
    pub fn parse_for(path: &Path, text: &str, arms: Option<&[Arm]>) -> Result<Self, ScenarioError> {
        let source = Source { path, text };
        let parts = Parts::of(source)?;
        let default = Self::default();
        let own_arms = parts.list("arms", "an arm")?;
        let arms = arms.map(<[Arm]>::to_vec).or(own_arms);
        let server = parts.table::<ServerTable>("server")?;
        let has_answers = server.is_some() || parts.has("register") || parts.has("lookup");
        let server = answers::server(source, server.as_ref())?;
        let mut recording = Self {
            title: parts.title()?,
            seed: parts.word("seed", "a number")?,
            arms: arms.unwrap_or(default.arms),
            phases: parts.phases()?.unwrap_or(default.phases),
            workers: parts
                .word("workers", "in-turn, apart or free")?
                .unwrap_or(default.workers),
            every: parts.word("every", "a number of operations")?.unwrap_or(0),
            balanced: parts.flag("balanced")?,
            clear: parts.flag("clear")?,
            root_dir: parts.flag("root-dir")?,
            no_daemon: parts.flag("no-daemon")?,
            unprivileged: parts.flag("unprivileged")?,
            server,
            register: Vec::new(),
            lookup: answers::lookups(source, &parts.tables("lookup")?, &[], &server)?,
            setup: Vec::new(),
            trace: Vec::new(),
        };
        let register = parts.tables::<RegisterTable>("register")?;
        recording.register =
            answers::registrations(source, &register, &[], &server, &recording.arms)?;
        recording.check(&parts, has_answers)?;
        recording.setup = recording.lines(source, &parts.setup, |line| {
            if line.worker == 0 {
                Ok(())
            } else {
                Err("a line without a worker: a setup has one".into())
            }
        })?;
        recording.trace = recording.lines(source, &parts.trace, |_| Ok(()))?;
        if recording.trace.is_empty() {
            return Err(source.error(
                text.len()..text.len(),
                "expected an operation, found the end",
            ));
        }
        Ok(recording)
    }

    /// What directives say together.
    fn check(&self, parts: &Parts<'_>, has_answers: bool) -> Result<(), ScenarioError> {
        let rules = self.server.rules(&self.lookup).lookup;
        expiry::check(&self.phases, &self.arms, &rules)
            .map_err(|what| parts.mistake("phases", what))?;
        if self.every != 0 && self.workers != Workers::InTurn {
            return Err(parts.mistake("every", EVERY_IN_TURN));
        }
        if self.root_dir && has_answers {
            let what =
                "with %root-dir nothing is looked up at the server; leave out what it answers";
            return Err(parts.mistake("root-dir", what));
        }
        if self.no_daemon && !self.root_dir {
            let what = "%no-daemon needs %root-dir: without a daemon nothing else gives a root";
            return Err(parts.mistake("no-daemon", what));
        }
        let devfuse = self.arms.contains(&Arm::Devfuse) && !self.arms.contains(&Arm::Backed);
        for (name, flag) in [
            ("no-daemon", self.no_daemon),
            ("unprivileged", self.unprivileged),
        ] {
            if flag && !devfuse {
                let what = format!(
                    "%{name} is the arm devfuse's: name the arms, with devfuse and without backed"
                );
                return Err(parts.mistake(name, what));
            }
        }
        Ok(())
    }

    /// The operations of one part.
    fn lines(
        &self,
        source: Source<'_>,
        text: &str,
        also: impl Fn(&Line) -> Result<(), String>,
    ) -> Result<Vec<Line>, ScenarioError> {
        let check = |line: &Line| {
            also(line)?;
            let outside = |path: &&lookback_ops::Path| path.base == Base::Outside;
            if self.root_dir && line.op.paths().iter().any(outside) {
                return Err("a path of the share, all of which is backed: \
                            with %root-dir there is no @outside/"
                    .into());
            }
            reach::check(line, &self.arms)
        };
        trace::parse_checked(text, check).map_err(|error| {
            let what = format!("expected {}, found {}", error.expected, error.found);
            source.at(error.line, error.column, what)
        })
    }
}

/// A directive: a line that begins with `%`.
#[derive(Debug)]
struct Directive<'a> {
    /// Without the `%`.
    name: &'a str,
    /// Where it begins, in bytes.
    at: usize,
    /// What follows the name, in bytes; blanks around it are left out.
    value: Range<usize>,
}

/// A file taken apart.
#[derive(Debug)]
struct Parts<'a> {
    source: Source<'a>,
    directives: Vec<Directive<'a>>,
    /// The file with nothing but the lines of its setup left in their places.
    setup: String,
    /// The same for its trace.
    trace: String,
}

/// One value of TOML, in the place it has in the file.
#[derive(Deserialize)]
struct Value<T> {
    v: Spanned<T>,
}

impl<'a> Parts<'a> {
    fn of(source: Source<'a>) -> Result<Self, ScenarioError> {
        let mut parts = Self {
            source,
            directives: Vec::new(),
            setup: String::new(),
            trace: String::new(),
        };
        let mut in_setup = false;
        let mut begun = false;
        let mut at = 0;
        for line in source.text.split_inclusive('\n') {
            let text = line.trim();
            let start = at + (line.len() - line.trim_start().len());
            at += line.len();
            if text.starts_with('%') {
                let name = parts.directive(text, start)?;
                if ["setup", "trace"].contains(&name) {
                    if begun && !(in_setup && name == "trace") {
                        let what =
                            format!("expected %{name} before the operations, found it behind some");
                        return Err(source.error(start..start, what));
                    }
                    in_setup = name == "setup";
                }
            } else {
                begun |= !text.is_empty() && !text.starts_with('#');
            }
            let operations = if text.starts_with('%') { "\n" } else { line };
            let (own, other) = if in_setup {
                (&mut parts.setup, &mut parts.trace)
            } else {
                (&mut parts.trace, &mut parts.setup)
            };
            own.push_str(operations);
            other.push('\n');
        }
        Ok(parts)
    }

    /// Takes one line; returns its name.
    fn directive(&mut self, text: &'a str, at: usize) -> Result<&'a str, ScenarioError> {
        let word = text.split_whitespace().next().unwrap_or(text);
        let expected = |what: &str| format!("expected {what}, found `{word}`");
        if !DIRECTIVES.split_whitespace().any(|known| known == word) {
            let what = expected(&format!("a directive ({DIRECTIVES})"));
            return Err(self.source.error(at..at, what));
        }
        let name = &word[1..];
        let repeats = ["register", "lookup"].contains(&name);
        if !repeats && self.has(name) {
            let what = expected("each directive but %register and %lookup once");
            return Err(self.source.error(at..at, what));
        }
        let rest = text[word.len()..].trim_start();
        let value = at + text.len() - rest.len()..at + text.len();
        if ["setup", "trace"].contains(&name) {
            self.nothing(&value)?;
        }
        self.directives.push(Directive { name, at, value });
        Ok(name)
    }

    fn has(&self, name: &str) -> bool {
        self.directives
            .iter()
            .any(|directive| directive.name == name)
    }

    fn find(&self, name: &str) -> Option<&Directive<'a>> {
        self.directives
            .iter()
            .find(|directive| directive.name == name)
    }

    fn mistake(&self, name: &str, what: impl Into<String>) -> ScenarioError {
        let at = self.find(name).map_or(0, |directive| directive.at);
        self.source.error(at..at, what)
    }

    /// The words of a value, up to a comment.
    fn words(&self, value: &Range<usize>) -> Vec<(usize, &'a str)> {
        let text = self.source.text.get(value.clone()).unwrap_or_default();
        let mut words = Vec::new();
        let mut at = value.start;
        for piece in text.split_inclusive(char::is_whitespace) {
            let word = piece.trim_end();
            if word.starts_with('#') {
                break;
            }
            if !word.is_empty() {
                words.push((at, word));
            }
            at += piece.len();
        }
        words
    }

    fn nothing(&self, value: &Range<usize>) -> Result<(), ScenarioError> {
        match self.words(value).first() {
            None => Ok(()),
            Some((at, word)) => {
                let what = format!("expected the end of the line, found `{word}`");
                Err(self.source.error(*at..*at, what))
            }
        }
    }

    fn flag(&self, name: &str) -> Result<bool, ScenarioError> {
        match self.find(name) {
            None => Ok(false),
            Some(directive) => self.nothing(&directive.value).map(|()| true),
        }
    }

    /// The only word of a directive, and where it stands.
    fn only_word(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<(usize, &'a str)>, ScenarioError> {
        let Some(directive) = self.find(name) else {
            return Ok(None);
        };
        match self.words(&directive.value).as_slice() {
            [] => {
                let what = format!("expected {expected}, found the end of the line");
                let end = directive.value.start;
                Err(self.source.error(end..end, what))
            }
            [word] => Ok(Some(*word)),
            [_, (at, extra), ..] => {
                let what = format!("expected the end of the line, found `{extra}`");
                Err(self.source.error(*at..*at, what))
            }
        }
    }

    fn word<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, ScenarioError> {
        let parsed = |(at, word): (usize, &str)| {
            word.parse().map_err(|_| {
                let what = format!("expected {expected}, found `{word}`");
                self.source.error(at..at, what)
            })
        };
        self.only_word(name, expected)?.map(parsed).transpose()
    }

    /// A list with commas, each item once.
    fn list<T>(&self, name: &str, expected: &str) -> Result<Option<Vec<T>>, ScenarioError>
    where
        T: FromStr<Err: Display> + PartialEq,
    {
        let Some((mut at, word)) = self.only_word(name, expected)? else {
            return Ok(None);
        };
        let mut items: Vec<T> = Vec::new();
        for text in word.split(',') {
            let place = at..at;
            at += text.len() + 1;
            let item = text.parse().map_err(|error| {
                let what = format!("expected {expected}, found `{text}`: {error}");
                self.source.error(place.clone(), what)
            })?;
            if items.contains(&item) {
                let what = format!("expected each once, found `{text}` again");
                return Err(self.source.error(place, what));
            }
            items.push(item);
        }
        Ok(Some(items))
    }

    fn phases(&self) -> Result<Option<Vec<Phase>>, ScenarioError> {
        const EXPECTED: &str = "a phase, or `none`";
        match self.only_word("phases", EXPECTED)? {
            Some((_, NO_PHASES)) => Ok(Some(Vec::new())),
            _ => self.list("phases", EXPECTED),
        }
    }

    /// The rest of the line, `#` and all; in double quotes, a string of TOML.
    fn title(&self) -> Result<String, ScenarioError> {
        let Some(directive) = self.find("title") else {
            return Ok(String::new());
        };
        let text = self
            .source
            .text
            .get(directive.value.clone())
            .unwrap_or_default();
        if text.starts_with('"') {
            self.value::<String>(directive).map(Spanned::into_inner)
        } else {
            Ok(text.to_owned())
        }
    }

    fn table<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Spanned<T>>, ScenarioError> {
        Ok(self.tables(name)?.pop())
    }

    fn tables<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<Spanned<T>>, ScenarioError> {
        let named = |directive: &&Directive<'_>| directive.name == name;
        self.directives
            .iter()
            .filter(named)
            .map(|directive| {
                let first = self.words(&directive.value).into_iter().next();
                let found = match first {
                    Some((_, word)) if word.starts_with('{') => return self.value(directive),
                    Some((_, word)) => format!("`{word}`"),
                    None => "the end of the line".to_owned(),
                };
                let what = format!("expected a table, `{{ KEY = VALUE, ... }}`, found {found}");
                let at = directive.value.start;
                Err(self.source.error(at..at, what))
            })
            .collect()
    }

    /// A value of TOML, with its place in the whole file.
    fn value<T: DeserializeOwned>(
        &self,
        directive: &Directive<'_>,
    ) -> Result<Spanned<T>, ScenarioError> {
        let Range { start, end } = directive.value.clone();
        // Everything before it as blanks, which keeps its place.
        let value = self.source.text.get(start..end).unwrap_or_default();
        let text = format!("{:>start$}{value}", "v=");
        let parsed: Value<T> = toml::from_str(&text).map_err(|error| {
            let span = error.span().unwrap_or(start..end);
            let what = error.message().replace('\n', ", ");
            self.source
                .error(span.start.max(start)..span.end.max(start), what)
        })?;
        Ok(parsed.v)
    }
}
