//! A trace line cut into words.

use std::iter::Peekable;
use std::str::{Chars, FromStr};

use super::words::{BASES, SLOT_BASE};
use crate::op::{Base, Path};

/// Stands before the outcome a line expects.
pub(super) const ARROW: &str = "->";
/// What stands behind it.
pub(super) const EXPECTATION: &str = "`ok` or the name of an errno";

/// Column, what was expected, what was found.
pub(super) type Fault = (usize, String, String);

/// A word: bare text, then perhaps a quoted rest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Where it starts, in characters, from 1.
    pub column: usize,
    /// What stands before the quotes.
    pub bare: String,
    /// What stands in the quotes, escapes resolved.
    pub quoted: Option<String>,
}

impl Word {
    /// `NAME=…`
    fn is_named(&self) -> bool {
        self.quoted.is_none() && self.bare.contains('=')
    }

    fn shown(&self) -> String {
        match &self.quoted {
            None => format!("`{}`", self.bare),
            Some(quoted) => format!("`{}{quoted:?}`", self.bare),
        }
    }

    /// It as it is, quoted or not.
    pub fn text(&self, expected: &str) -> Result<String, Fault> {
        match (self.bare.as_str(), &self.quoted) {
            (bare, None) => no_nul(self, bare),
            ("", Some(quoted)) => no_nul(self, quoted),
            _ => Err(self.fault(expected)),
        }
    }

    /// This word is not what was `expected`.
    pub fn fault(&self, expected: impl Into<String>) -> Fault {
        (self.column, expected.into(), self.shown())
    }
}

/// The words of a line, taken from the front.
#[derive(Debug)]
pub(super) struct Args {
    words: std::collections::VecDeque<Word>,
    end: usize,
}

impl Args {
    /// Cut `text`; a `#` at the start of a word begins a comment.
    pub fn of(text: &str) -> Result<Args, Fault> {
        let mut cutter = Cutter {
            chars: text.chars().peekable(),
            column: 1,
        };
        let mut words = std::collections::VecDeque::new();
        while let Some(word) = cutter.word()? {
            words.push_back(word);
        }
        Ok(Args {
            words,
            end: cutter.column,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn peek(&self) -> Option<&Word> {
        self.words.front()
    }

    /// The next word.
    pub fn next(&mut self, expected: &str) -> Result<Word, Fault> {
        self.words
            .pop_front()
            .ok_or_else(|| (self.end, expected.into(), "the end of the line".into()))
    }

    /// The next word, which must not be quoted.
    pub fn bare(&mut self, expected: &str) -> Result<Word, Fault> {
        let word = self.next(expected)?;
        if word.quoted.is_some() {
            Err(word.fault(expected))
        } else {
            Ok(word)
        }
    }

    /// Take `-> WORD` off the end of the line, if it is there.
    pub fn expectation(&mut self) -> Result<Option<Word>, Fault> {
        let is_arrow = |word: &Word| word.bare == ARROW && word.quoted.is_none();
        let Some(arrow) = self.words.iter().position(is_arrow) else {
            return Ok(None);
        };
        let mut behind = self.words.split_off(arrow).into_iter().skip(1);
        let end = (self.end, EXPECTATION.into(), "the end of the line".into());
        let word = behind.next().ok_or(end)?;
        match behind.next() {
            None => Ok(Some(word)),
            Some(extra) => Err(extra.fault("the end of the line")),
        }
    }

    /// Nothing may be left.
    pub fn finish(&self) -> Result<(), Fault> {
        self.peek()
            .map_or(Ok(()), |word| Err(word.fault("the end of the line")))
    }

    /// A word as it is: a symlink's target.
    pub fn text(&mut self, expected: &str) -> Result<String, Fault> {
        self.next(expected)?.text(expected)
    }

    /// The next word, which names one of `words`.
    pub fn one_of<T: Copy>(&mut self, words: &[(&str, T)], expected: &str) -> Result<T, Fault> {
        let word = self.bare(expected)?;
        let found = words.iter().find(|(name, _)| *name == word.bare);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| word.fault(expected))
    }

    pub fn path(&mut self) -> Result<Path, Fault> {
        let word = self.next("a path")?;
        let (base, bare) = match prefixed(&word.bare) {
            Some(found) => found,
            None if word.bare.starts_with('@') => {
                return Err(word.fault(
                    "a path, `@lower/…`, `@outside/…`, `@root/…` or `@fdSLOT/…` (quote a name that starts with @)",
                ));
            }
            None => (Base::Arm, word.bare.as_str()),
        };
        let rel = match (bare, &word.quoted) {
            (".", None) if base == Base::Arm => "",
            (bare, None) => bare,
            ("", Some(quoted)) => quoted.as_str(),
            _ => return Err(word.fault("a path (quote all of it after the prefix)")),
        };
        let odd = |name: &str| matches!(name, "" | "." | "..");
        if !rel.is_empty() && rel.split('/').any(odd) {
            return Err(word.fault("a relative path without `.`, `..` and empty names"));
        }
        Ok(Path {
            base,
            rel: no_nul(&word, rel)?,
        })
    }

    /// A decimal number, with `k`, `m` or `g`.
    pub fn number<T: TryFrom<i128>>(&mut self, expected: &str) -> Result<T, Fault> {
        let word = self.bare(expected)?;
        number(&word.bare)
            .and_then(|n| T::try_from(n).ok())
            .ok_or_else(|| word.fault(expected))
    }

    /// An octal number, if one is left.
    pub fn octal_or(&mut self, default: u32) -> Result<u32, Fault> {
        if self.is_empty() {
            Ok(default)
        } else {
            self.octal()
        }
    }

    pub fn octal(&mut self) -> Result<u32, Fault> {
        const EXPECTED: &str = "an octal mode such as 0644";
        let word = self.bare(EXPECTED)?;
        digits(&word.bare)
            .and_then(|d| u32::from_str_radix(d, 8).ok())
            .ok_or_else(|| word.fault(EXPECTED))
    }

    /// What follows as `name=number`, in any order, each at most once.
    pub fn named<const N: usize>(
        &mut self,
        names: [&str; N],
    ) -> Result<[Option<(i128, Word)>; N], Fault> {
        let mut values = [const { None }; N];
        let expected = || {
            let shown: Vec<_> = names.iter().map(|n| format!("{n}=NUMBER")).collect();
            shown.join(", ")
        };
        while self.peek().is_some_and(Word::is_named) {
            let word = self.bare(&expected())?;
            let found = word.bare.split_once('=').and_then(|(name, value)| {
                let at = names.iter().position(|n| *n == name)?;
                Some((at, number(value)?))
            });
            match found {
                Some((at, value)) if values[at].is_none() => values[at] = Some((value, word)),
                _ => return Err(word.fault(format!("{} (each once)", expected()))),
            }
        }
        Ok(values)
    }

    /// What was expected but is not there any more.
    pub fn missing(&self, expected: &str) -> Fault {
        match self.peek() {
            Some(word) => word.fault(expected),
            None => (self.end, expected.into(), "the end of the line".into()),
        }
    }
}

/// The base a path's prefix names, and what follows it.
fn prefixed(bare: &str) -> Option<(Base, &str)> {
    let (prefix, rest) = bare.split_once('/').unwrap_or((bare, ""));
    let named = BASES.iter().find(|(name, _)| *name == prefix);
    let base = named.map(|(_, base)| *base).or_else(|| {
        let slot = digits(prefix.strip_prefix(SLOT_BASE)?)?;
        slot.parse().ok().map(Base::Slot)
    })?;
    Some((base, rest))
}

fn no_nul(word: &Word, text: &str) -> Result<String, Fault> {
    if text.contains('\0') {
        Err(word.fault("text without a NUL"))
    } else {
        Ok(text.into())
    }
}

/// `text` if it is digits alone (`from_str` also takes a sign).
pub(super) fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|b| b.is_ascii_digit()).then_some(text)
}

/// A signed decimal number with an optional binary suffix.
pub(super) fn number(text: &str) -> Option<i128> {
    let (text, shift) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits(text.strip_prefix('-').unwrap_or(text))?;
    i128::from_str(text).ok()?.checked_mul(1 << shift)
}

struct Cutter<'a> {
    chars: Peekable<Chars<'a>>,
    column: usize,
}

impl Cutter<'_> {
    fn bump(&mut self) -> Option<char> {
        let c = self.chars.next();
        self.column += usize::from(c.is_some());
        c
    }

    fn word(&mut self) -> Result<Option<Word>, Fault> {
        while self.chars.next_if(|c| c.is_whitespace()).is_some() {
            self.column += 1;
        }
        let column = self.column;
        let mut bare = String::new();
        loop {
            match self.chars.peek() {
                None | Some('#') if bare.is_empty() => return Ok(None),
                Some('"') => {
                    self.bump();
                    let quoted = Some(self.quoted()?);
                    return match self.chars.peek() {
                        Some(c) if !c.is_whitespace() => Err((
                            self.column,
                            "a space after the closing quote".into(),
                            format!("`{c}`"),
                        )),
                        _ => Ok(Some(Word {
                            column,
                            bare,
                            quoted,
                        })),
                    };
                }
                Some(c) if !c.is_whitespace() => bare.extend(self.bump()),
                _ => {
                    return Ok(Some(Word {
                        column,
                        bare,
                        quoted: None,
                    }));
                }
            }
        }
    }

    fn quoted(&mut self) -> Result<String, Fault> {
        let mut text = String::new();
        loop {
            let column = self.column;
            match self.bump() {
                None => {
                    return Err((
                        column,
                        "a closing quote".into(),
                        "the end of the line".into(),
                    ));
                }
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape(column)?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self, column: usize) -> Result<char, Fault> {
        let fault = |found: String| (column, r#"one of \n \t \" \\ \u{HEX}"#.into(), found);
        match self.bump() {
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some(c @ ('"' | '\\')) => Ok(c),
            Some('u') if self.chars.peek() == Some(&'{') => {
                self.bump();
                let mut hex = String::new();
                while let Some(c) = self.chars.next_if(char::is_ascii_hexdigit) {
                    self.column += 1;
                    hex.push(c);
                }
                let c = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                match (self.bump(), c) {
                    (Some('}'), Some(c)) => Ok(c),
                    _ => Err(fault(format!("`\\u{{{hex}`"))),
                }
            }
            Some(c) => Err(fault(format!("`\\{c}`"))),
            None => Err(fault("the end of the line".into())),
        }
    }
}
