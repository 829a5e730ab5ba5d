//! Cuts a byte stream into lines and takes printk's prefix off.

/// Longest line kept, in bytes; printk's own records end far below.
const LINE_MAX: usize = 4096;

/// Collects bytes until a line is whole.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes one byte; the line it completes, if any.
    pub(crate) fn push(&mut self, byte: u8) -> Option<String> {
        if byte == b'\n' {
            return Some(self.take());
        }
        self.partial.push(byte);
        (self.partial.len() >= LINE_MAX).then(|| self.take())
    }

    /// The line begun last, if any.
    pub(crate) fn rest(&mut self) -> Option<String> {
        (!self.partial.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        text.chars()
            .filter(|c| *c == '\t' || !c.is_control())
            .collect()
    }
}

/// A line less printk's prefix.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// What was printed.
    pub(crate) text: &'a str,
    /// A time stamp stood before it: the kernel printed it, not a program.
    pub(crate) timed: bool,
}

/// Takes off `<4>[    1.234567][  T12] `. What stands before the stamp is what a
/// program left on the line without ending it.
pub(crate) fn message(line: &str) -> Message<'_> {
    for (start, _) in line.match_indices('[') {
        if let Some(rest) = stamp(&line[start..]) {
            let rest = caller(rest).unwrap_or(rest);
            return Message {
                text: rest.strip_prefix(' ').unwrap_or(rest),
                timed: true,
            };
        }
    }
    Message {
        text: line,
        timed: false,
    }
}

/// What follows `[ seconds.microseconds]`.
fn stamp(text: &str) -> Option<&str> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    let (seconds, micros) = inside.trim_start_matches(' ').split_once('.')?;
    (digits(seconds) && digits(micros) && micros.len() == 6).then_some(rest)
}

/// What follows `[  T12]` or `[   C0]` (PRINTK_CALLER).
fn caller(text: &str) -> Option<&str> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    let number = inside.trim_start_matches(' ').strip_prefix(['T', 'C'])?;
    digits(number).then_some(rest)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::bare("BUG: x", "BUG: x", false)]
    #[case::time("[    1.234567] BUG: x", "BUG: x", true)]
    #[case::late("[123456.234567] BUG: x", "BUG: x", true)]
    #[case::level("<4>[    1.234567] BUG: x", "BUG: x", true)]
    #[case::task("[    1.234567][   T12] BUG: x", "BUG: x", true)]
    #[case::cpu("[    1.234567][    C0] BUG: x", "BUG: x", true)]
    #[case::not_a_caller("[    1.234567] [Firmware Bug]: x", "[Firmware Bug]: x", true)]
    #[case::indent("[    1.234567]  <TASK>", " <TASK>", true)]
    #[case::after_a_program("copying...[    1.234567] BUG: x", "BUG: x", true)]
    #[case::no_stamp("[1.2] BUG: x", "[1.2] BUG: x", false)]
    #[case::unclosed("[    1.234567", "[    1.234567", false)]
    #[case::empty("", "", false)]
    fn takes_the_prefix_off(#[case] line: &str, #[case] text: &str, #[case] timed: bool) {
        assert_eq!(message(line), Message { text, timed });
    }

    #[test]
    fn cuts_an_endless_line() {
        let mut lines = Lines::default();
        let whole = (0..10_000)
            .filter_map(|_| lines.push(b'x'))
            .collect::<Vec<_>>();
        assert_eq!(
            whole.iter().map(String::len).collect::<Vec<_>>(),
            [4096, 4096]
        );
        assert_eq!(lines.rest().map(|line| line.len()), Some(10_000 - 2 * 4096));
    }
}
