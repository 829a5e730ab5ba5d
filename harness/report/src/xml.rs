//! Text that XML 1.0 can hold.

use std::borrow::Cow;

/// The text with every character XML 1.0 has no place for (or changes, like
/// the carriage return) written as an escape: `\u{1b}`.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_kept) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_kept(c) {
            out.push(c)
        } else {
            out.extend(c.escape_unicode())
        }
    }
    Cow::Owned(out)
}

/// The same for an attribute, where line ends and tabs become spaces.
pub(crate) fn attribute(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// <https://www.w3.org/TR/xml/#charsets>, less the carriage return.
fn is_kept(c: char) -> bool {
    matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(c, '\u{7f}'..='\u{9f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("plain <&> text", "plain <&> text")]
    #[case("\u{1b}[31mred", "\\u{1b}[31mred")]
    #[case("a\r\nb\0", "a\\u{d}\nb\\u{0}")]
    #[case("\u{ffff}", "\\u{ffff}")]
    fn texts(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(clean(text), expected);
    }
}
