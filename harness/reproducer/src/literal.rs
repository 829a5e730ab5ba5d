//! Numbers, text and flags as C spells them.

/// Largest number that is an int without a suffix.
const INT: u64 = 0x7fff_ffff;

/// A string literal of `bytes`. A NUL ends what C makes of it.
pub fn string(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            // Two of them could begin a trigraph.
            b'?' => text.push_str("\\?"),
            b' '..=b'~' => text.push(char::from(*byte)),
            // Always three digits, so that a digit may follow.
            byte => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text.push('"');
    text
}

/// Text for a comment.
pub fn comment(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(plain).collect();
    text.replace("*/", "* /").replace("/*", "/ *")
}

/// An unsigned number.
pub fn unsigned(n: u64) -> String {
    if n <= INT {
        n.to_string()
    } else {
        format!("{n}ULL")
    }
}

/// A signed number.
pub fn signed(n: i64) -> String {
    match n {
        // The literal would be the negation of what no type holds.
        i64::MIN => "(-9223372036854775807LL - 1)".to_owned(),
        n if n.unsigned_abs() <= INT => n.to_string(),
        n => format!("{n}LL"),
    }
}

/// An id, or -1 for none (`(uid_t)-1` of chown(2)).
pub fn id(id: Option<u32>) -> String {
    match id {
        None | Some(u32::MAX) => "-1".to_owned(),
        Some(id) if u64::from(id) <= INT => id.to_string(),
        Some(id) => format!("{id}U"),
    }
}

/// Permission bits.
pub fn octal(bits: u32) -> String {
    format!("0{bits:03o}")
}

/// `names`' bits joined by `|`, what has no name in hexadecimal, `none` for none at all. A name
/// of several bits comes before those of its parts.
pub fn flags(bits: u32, names: &[(&str, u32)], none: &str) -> String {
    let (mut words, mut left) = (Vec::new(), bits);
    for (name, bit) in names {
        if *bit != 0 && left & bit == *bit {
            words.push((*name).to_owned());
            left &= !bit;
        }
    }
    if left != 0 {
        words.push(format!("{left:#x}"));
    }
    if words.is_empty() {
        none.to_owned()
    } else {
        words.join(" | ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("a b", r#""a b""#)]
    #[case("\"\\\n\t", r#""\"\\\n\t""#)]
    #[case("??=", r#""\?\?=""#)]
    #[case("\u{1}1é", r#""\0011\303\251""#)]
    fn strings(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(string(text.as_bytes()), expected);
    }

    #[test]
    fn comments_end_where_they_should() {
        assert_eq!(comment("a/*b*/c\nd"), "a/ *b* /c d");
    }

    #[rstest::rstest]
    #[case(i64::MIN, "(-9223372036854775807LL - 1)")]
    #[case(-1, "-1")]
    #[case(1 << 31, "2147483648LL")]
    fn signed_numbers(#[case] n: i64, #[case] expected: &str) {
        assert_eq!(signed(n), expected);
    }

    #[rstest::rstest]
    #[case(0, "0000")]
    #[case(0o644, "0644")]
    #[case(0o4711, "04711")]
    fn modes(#[case] bits: u32, #[case] expected: &str) {
        assert_eq!(octal(bits), expected);
    }

    #[test]
    fn bits_without_a_name_are_kept() {
        let names = [("BOTH", 3), ("ONE", 1)];
        assert_eq!(flags(3, &names, "0"), "BOTH");
        assert_eq!(flags(0x11, &names, "0"), "ONE | 0x10");
        assert_eq!(flags(0, &names, "NONE"), "NONE");
    }
}
