//! Framing of the control protocol: a 32-bit little-endian length, then that
//! many bytes of postcard.
//!
//! Works over anything that reads and writes; a reader that meets anything
//! but a whole, exact message says so and is not to be used again.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// The longest payload either side accepts, in bytes.
pub const MAX_FRAME: usize = 64 << 20;

/// How much is taken into memory on the word of a length alone, in bytes.
const STEP: usize = 1 << 20;

/// Why a message could not be sent or received.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The channel itself failed.
    #[error("the control channel failed: {0}")]
    Io(#[from] io::Error),
    /// The other side went away in the middle of a message.
    #[error("the control channel ended after {got} of {wanted} bytes of a message")]
    Truncated {
        /// Bytes that came, the length's own four included.
        got: usize,
        /// Bytes announced, or 4 where not even the length came whole.
        wanted: usize,
    },
    /// A length no message has: the peer speaks something else.
    #[error(
        "a message of {0} bytes exceeds the limit of {MAX_FRAME}; the peer does not speak this protocol"
    )]
    TooLong(usize),
    /// The payload is no message of the expected type.
    #[error(
        "a message of {len} bytes does not decode ({source}); host and guest were built from different sources"
    )]
    Decode {
        /// Length of the payload in bytes.
        len: usize,
        /// What postcard says.
        source: postcard::Error,
    },
    /// More bytes in the payload than the message takes.
    #[error("a message has {0} bytes too many; host and guest were built from different sources")]
    Trailing(usize),
    /// The message cannot be encoded.
    #[error("a message cannot be encoded: {0}")]
    Encode(postcard::Error),
}

/// One message as the bytes that go over the channel.
///
/// # Errors
/// [`FrameError::Encode`], or [`FrameError::TooLong`] past [`MAX_FRAME`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(FrameError::Encode)?;
    let len = frame.len() - 4;
    match u32::try_from(len) {
        Ok(n) if len <= MAX_FRAME => frame[..4].copy_from_slice(&n.to_le_bytes()),
        _ => return Err(FrameError::TooLong(len)),
    }
    Ok(frame)
}

/// Write one message and flush.
///
/// # Errors
/// Those of [`encode`], and [`FrameError::Io`].
pub fn write_frame<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), FrameError> {
    to.write_all(&encode(message)?)?;
    to.flush()?;
    Ok(())
}

/// Read one message; `None` where the channel ends between two.
///
/// # Errors
/// [`FrameError`]: all but `Encode`.
pub fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut head = [0; 4];
    match fill(from, &mut head)? {
        0 => return Ok(None),
        4 => {}
        got => return Err(FrameError::Truncated { got, wanted: 4 }),
    }
    let len = u32::from_le_bytes(head) as usize;
    if len > MAX_FRAME {
        return Err(FrameError::TooLong(len));
    }
    let mut payload = Vec::new();
    while payload.len() < len {
        let at = payload.len();
        payload.resize(len.min(at + STEP), 0);
        let got = fill(from, &mut payload[at..])?;
        if at + got < payload.len() {
            return Err(FrameError::Truncated {
                got: 4 + at + got,
                wanted: 4 + len,
            });
        }
    }
    let (message, rest) =
        postcard::take_from_bytes(&payload).map_err(|source| FrameError::Decode { len, source })?;
    if rest.is_empty() {
        Ok(Some(message))
    } else {
        Err(FrameError::Trailing(rest.len()))
    }
}

/// Read until `into` is full or the input ends; how much came.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match from.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Arm, FromGuest, ToGuest};
    use proptest::prelude::*;

    /// Hands out one byte a read, as a channel may.
    struct Dribble<'a>(&'a [u8]);
    impl Read for Dribble<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(1).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn done(id: &str) -> FromGuest {
        FromGuest::CaseDone {
            id: id.into(),
            micros: vec![(Arm::Ext4, 7)],
        }
    }

    #[test]
    fn messages_come_back_in_order_and_then_the_end() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &done("a")).unwrap();
        write_frame(&mut bytes, &FromGuest::Bye).unwrap();
        let mut from = Dribble(&bytes);
        assert_eq!(read_frame(&mut from).unwrap(), Some(done("a")));
        assert_eq!(read_frame(&mut from).unwrap(), Some(FromGuest::Bye));
        assert_eq!(read_frame::<FromGuest>(&mut from).unwrap(), None);
    }

    #[test]
    fn a_cut_message_is_told_from_the_end() {
        let bytes = encode(&done("a")).unwrap();
        for cut in 1..bytes.len() {
            let got = read_frame::<FromGuest>(&mut &bytes[..cut]);
            assert!(
                matches!(got, Err(FrameError::Truncated { got, .. }) if got == cut),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_payload_longer_than_its_message_is_refused() {
        let mut bytes = encode(&ToGuest::PowerOff).unwrap();
        bytes.push(0);
        let len = u32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        let got = read_frame::<ToGuest>(&mut bytes.as_slice());
        assert!(matches!(got, Err(FrameError::Trailing(1))));
    }

    #[test]
    fn a_length_past_the_limit_is_refused_before_anything_is_read() {
        let text = b"GET / HTTP/1.1\r\n";
        let got = read_frame::<ToGuest>(&mut text.as_slice());
        assert!(matches!(got, Err(FrameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(protocol in any::<u32>(), cut in 1usize..4096) {
            let message = ToGuest::Hello { protocol };
            let bytes = encode(&message).unwrap();
            let chunk = cut.min(bytes.len());
            let mut from = io::Read::chain(&bytes[..chunk], &bytes[chunk..]);
            prop_assert_eq!(read_frame(&mut from).unwrap(), Some(message));
        }

        #[test]
        fn garbage_is_an_error_or_a_message_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some(message)) = read_frame::<ToGuest>(&mut bytes.as_slice()) {
                prop_assert!(encode(&message).is_ok());
            }
        }
    }
}
