//! The functions a program is put together from.
//!
//! They are C, in files of their own, each behind a line `//@ NAME... <HEADER>...` that tells
//! the names by which others use it and the headers it takes. A program holds
//! those that it names, those that they name, and no more: a function nobody
//! calls is a warning.

use std::collections::BTreeSet;

/// All of them: what is used stands before its use.
const SOURCES: [&str; 20] = [
    include_str!("c/headers.c"),
    include_str!("c/xxh3.c"),
    include_str!("c/report.c"),
    include_str!("c/places.c"),
    include_str!("c/names.c"),
    include_str!("c/data.c"),
    include_str!("c/mapping.c"),
    include_str!("c/slots.c"),
    include_str!("c/io.c"),
    include_str!("c/maps.c"),
    include_str!("c/process.c"),
    include_str!("c/xattr.c"),
    include_str!("c/ranges.c"),
    include_str!("c/inode.c"),
    include_str!("c/handles.c"),
    include_str!("c/locks.c"),
    include_str!("c/mounts.c"),
    include_str!("c/workers.c"),
    include_str!("c/tree.c"),
    include_str!("c/times.c"),
];

/// What every line before a part begins with.
const MARK: &str = "//@ ";

/// What a text takes to compile.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Headers, sorted.
    pub headers: BTreeSet<&'static str>,
    /// Definitions, in order, an empty line after each.
    pub text: String,
}

struct Part {
    names: Vec<&'static str>,
    headers: Vec<&'static str>,
    text: &'static str,
}

/// What `program` names, and what that names.
pub fn used(program: &str) -> Parts {
    let all = all();
    let mut wanted: Vec<bool> = vec![false; all.len()];
    let mut pending = vec![program];
    while let Some(text) = pending.pop() {
        let words = words(text);
        for (part, wanted) in all.iter().zip(&mut wanted) {
            if !*wanted && part.names.iter().any(|name| words.contains(name)) {
                *wanted = true;
                pending.push(part.text);
            }
        }
    }
    let mut parts = Parts::default();
    for (part, _) in all.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
        parts.headers.extend(&part.headers);
        if !part.text.is_empty() {
            parts.text.push_str(part.text);
            parts.text.push_str("\n\n");
        }
    }
    parts
}

fn all() -> Vec<Part> {
    let parts = SOURCES.iter().flat_map(|source| source.split(MARK));
    let part = |text: &'static str| {
        let (head, text) = text.split_once('\n')?;
        let (headers, names) = head.split(' ').partition(|word| word.starts_with('<'));
        let text = text.trim_end();
        Some(Part {
            names,
            headers,
            text,
        })
    };
    parts.filter_map(part).collect()
}

/// The identifiers of a C text, less those in comments and literals.
fn words(text: &str) -> BTreeSet<&str> {
    let mut words = BTreeSet::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let len = match c {
            '"' | '\'' => literal(rest, c),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            c if in_word(c) => {
                let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                words.insert(&rest[..end]);
                end
            }
            c => c.len_utf8(),
        };
        rest = &rest[len..];
    }
    words
}

/// Length of the literal that `text` begins with.
fn literal(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_code() {
        let text = r#"a("b \" c", 'd', 0x1f); /* e " */ f_2->g"#;
        let expected = ["a", "0x1f", "f_2", "g"];
        assert_eq!(words(text), expected.into_iter().collect());
    }

    #[test]
    fn nothing_is_used_by_nothing() {
        assert_eq!(used("/* xxh3 */ \"xxh3\""), Parts::default());
    }

    #[test]
    fn what_is_used_brings_what_it_uses() {
        let parts = used("do_mwrite(1)");
        for name in ["u64", "fill", "on_sigbus", "shut", "result"] {
            assert!(words(&parts.text).contains(name), "{name}");
        }
        assert!(parts.headers.contains("<sys/mman.h>"));
        assert!(!words(&parts.text).contains("xxh3"));
    }

    #[test]
    fn every_part_has_a_name_of_its_own() {
        let mut seen = BTreeSet::new();
        for part in all() {
            assert!(!part.names.is_empty());
            assert!(!part.text.is_empty() || !part.headers.is_empty());
            for name in part.names {
                assert!(seen.insert(name), "{name} is told twice");
                assert!(
                    part.text.is_empty() || words(part.text).contains(name),
                    "{name} is not in its own part"
                );
            }
        }
    }
}
