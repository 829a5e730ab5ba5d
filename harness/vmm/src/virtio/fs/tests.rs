use std::os::unix::net::UnixStream;
use std::time::Duration;

use vhost::VhostBackend;
use vhost::vhost_user::Frontend;

use super::deadline::within;

#[test]
fn a_peer_that_does_not_answer_is_left() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let frontend = Frontend::from_stream(ours.try_clone().unwrap(), 1);
    let said = within(Duration::from_millis(20), &ours, || frontend.get_features());
    assert!(said.unwrap().is_none());
}

#[test]
fn a_conversation_that_ends_in_time_is_not_disturbed() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let said = within(Duration::from_secs(60), &ours, || 7);
    assert_eq!(said.unwrap(), Some(7));
    ours.set_nonblocking(true).unwrap();
    let error = std::io::Read::read(&mut &ours, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    drop(theirs);
}
