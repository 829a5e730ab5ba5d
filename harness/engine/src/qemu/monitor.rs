//! The one exchange with QEMU's monitor (QMP) that tells a running machine from
//! one that never came to be.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What came of [`greet`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// The main loop runs: the machine and all its devices exist.
    Running,
    /// The monitor answered with an error.
    Refused(String),
    /// QEMU closed the monitor: it has ended or is about to.
    Gone,
    /// No answer within the limit.
    Silent,
}

/// Sends `qmp_capabilities` and waits for the answer, for at most `limit`
/// between two lines. The answer comes from QEMU's main loop, which starts once
/// every device is realized.
pub(super) fn greet(stream: &mut UnixStream, limit: Duration) -> io::Result<Greeting> {
    stream.set_read_timeout(Some(limit))?;
    match stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n") {
        Err(error) if gone(&error) => return Ok(Greeting::Gone),
        other => other?,
    }
    for line in BufReader::new(stream).lines() {
        match line {
            Ok(line) if line.contains("\"return\"") => return Ok(Greeting::Running),
            Ok(line) if line.contains("\"error\"") => return Ok(Greeting::Refused(line)),
            // The banner and events.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Greeting::Silent),
            Err(error) if gone(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Greeting::Gone)
}

fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::answer("{\"QMP\": {}}\r\n{\"return\": {}}\r\n", Greeting::Running)]
    #[case::banner_only("{\"QMP\": {}}\r\n", Greeting::Gone)]
    #[case::nothing("", Greeting::Gone)]
    #[case::refusal("{\"error\": 1}\n", Greeting::Refused("{\"error\": 1}".into()))]
    fn reads_the_answer(#[case] answer: &str, #[case] expected: Greeting) {
        let (mut ours, mut qemu) = UnixStream::pair().unwrap();
        qemu.write_all(answer.as_bytes()).unwrap();
        qemu.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(greet(&mut ours, Duration::from_secs(5)).unwrap(), expected);
    }

    #[test]
    fn silence_has_an_end() {
        let (mut ours, _qemu) = UnixStream::pair().unwrap();
        assert_eq!(
            greet(&mut ours, Duration::from_millis(10)).unwrap(),
            Greeting::Silent
        );
    }
}
