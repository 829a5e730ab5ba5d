//! Backends as a front end and a handle see them. No virtqueues here.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use lookback_wire::rules::LookupRule;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::config::Sessions;
use crate::control::Flag;
use crate::serve::{ServeError, ServeOptions, serve};

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("share")).unwrap();
        Self { dir }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn config(&self) -> BackendConfig {
        BackendConfig::new(self.socket(), self.dir.path().join("share"))
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    /// A front end whose guest has not started its driver: it has asked for
    /// features and taken none.
    fn front_end(&self) -> UnixStream {
        const GET_FEATURES: u32 = 1;
        let mut stream = self.connect();
        send(&mut stream, GET_FEATURES, &[]);
        let mut answer = [0; 20];
        stream.read_exact(&mut answer).unwrap();
        stream
    }
}

/// A vhost-user message: request, flags (version 1), size, payload.
fn send(stream: &mut UnixStream, request: u32, payload: &[u8]) {
    let size = u32::try_from(payload.len()).unwrap();
    let header = [request, 1, size].map(u32::to_ne_bytes).concat();
    stream.write_all(&[&header[..], payload].concat()).unwrap();
}

fn at_end(mut stream: UnixStream) -> bool {
    stream.read(&mut [0]).is_ok_and(|n| n == 0)
}

fn wait_for(handle: &BackendHandle) {
    let mut fds = [PollFd::new(handle.finished(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, 20_000_u16).unwrap(), 1);
}

#[rstest]
#[case::missing("nowhere", "nowhere: No such file or directory")]
#[case::a_file("file", "file: not a directory")]
fn the_shared_directory_is_checked(#[case] name: &str, #[case] says: &str) {
    let place = Place::new();
    fs::write(place.dir.path().join("file"), "").unwrap();
    let config = BackendConfig::new(place.socket(), place.dir.path().join(name));
    let error = Backend::spawn(config).unwrap_err().to_string();
    assert!(error.starts_with("shared directory "), "{error}");
    assert!(error.contains(says), "{error}");
    assert!(!place.socket().exists());
}

#[rstest]
#[case::empty(String::new())]
#[case::long("x".repeat(37))]
fn the_tag_is_checked(#[case] tag: String) {
    let place = Place::new();
    let mut config = place.config();
    config.tag = Some(tag);
    assert!(matches!(
        Backend::spawn(config).unwrap_err(),
        BackendError::Tag { .. }
    ));
}

#[test]
fn wrong_rules_change_nothing() {
    let place = Place::new();
    let backend = Backend::spawn(place.config()).unwrap();
    let good = Rules::from(vec![LookupRule {
        path: "a".into(),
        ..LookupRule::default()
    }]);
    backend.set_rules(good.clone()).unwrap();
    let mut bad = good.clone();
    bad.lookup[0].path = "/a".into();
    backend.set_rules(bad.clone()).unwrap_err();
    assert_eq!(backend.rules(), good);

    let mut config = BackendConfig::new(place.dir.path().join("t"), place.dir.path());
    config.rules = bad;
    assert!(matches!(
        Backend::spawn(config).unwrap_err(),
        BackendError::Rules(_)
    ));
}

#[test]
fn a_second_backend_on_one_socket_is_refused() {
    let place = Place::new();
    let first = Backend::spawn(place.config()).unwrap();
    let error = Backend::spawn(place.config()).unwrap_err();
    assert!(error.to_string().starts_with("busy socket "), "{error}");
    // The look that found it busy was no session of the first one.
    drop(place.front_end());
    wait_for(&first);
    first.wait().unwrap();
}

#[test]
fn one_session_ends_with_its_front_end() {
    let place = Place::new();
    let backend = Backend::spawn(place.config()).unwrap();
    let front_end = place.front_end();
    assert!(!backend.is_finished());
    drop(front_end);
    wait_for(&backend);
    backend.wait().unwrap();
    assert!(!place.socket().exists());
}

#[test]
fn a_backend_stops_while_nobody_is_connected() {
    let place = Place::new();
    Backend::spawn(place.config()).unwrap().stop().unwrap();
    assert!(!place.socket().exists());
    // And can be started again in the same place.
    drop(Backend::spawn(place.config()).unwrap());
    assert!(!place.socket().exists());
}

#[rstest]
#[case(Sessions::One)]
#[case(Sessions::Many)]
fn stopping_hangs_up(#[case] sessions: Sessions) {
    let place = Place::new();
    let mut config = place.config();
    config.sessions = sessions;
    let backend = Backend::spawn(config).unwrap();
    let front_end = place.front_end();
    backend.stop().unwrap();
    assert!(at_end(front_end));
}

#[test]
fn a_stop_that_races_with_a_connection_ends() {
    for _ in 0..20 {
        let place = Place::new();
        let backend = Backend::spawn(place.config()).unwrap();
        let front_end = place.connect();
        backend.stop().unwrap();
        drop(front_end);
    }
}

#[test]
fn a_front_end_that_talks_nonsense_is_an_error() {
    let place = Place::new();
    let backend = Backend::spawn(place.config()).unwrap();
    let mut front_end = place.front_end();
    send(&mut front_end, 0xdead_beef, &[]);
    wait_for(&backend);
    let error = backend.wait().unwrap_err();
    assert!(matches!(error, BackendError::VhostUser { .. }), "{error}");
}

#[test]
fn the_umask_stays_this_thread_s_own() {
    // Other tests clear the umask the threads share.
    unshare(CloneFlags::CLONE_FS).unwrap();
    let mine = Mode::from_bits_truncate(0o027);
    umask(mine);
    let place = Place::new();
    let backend = Backend::spawn(place.config()).unwrap();
    let front_end = place.front_end();
    assert_eq!(umask(mine), mine);
    drop(front_end);
    backend.wait().unwrap();
    assert_eq!(umask(mine), mine);
}

#[test]
fn serving_takes_one_front_end_after_the_other_until_shutdown() {
    let place = Place::new();
    let rules = place.dir.path().join("rules.toml");
    fs::write(&rules, "[[lookup]]\npath = \"stack\"\nbacking = 1\n").unwrap();
    let options = ServeOptions {
        socket: place.socket(),
        shared_dir: place.dir.path().join("share"),
        rules: Some(rules),
        tag: Some("backed".into()),
        readonly: true,
        timeout: None,
    };
    let shutdown = Flag::new().unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(&options, &shutdown));
        // The file appears a moment before anybody listens on it.
        while UnixStream::connect(place.socket()).is_err() {
            assert!(!server.is_finished());
            thread::yield_now();
        }
        let mut nonsense = place.front_end();
        send(&mut nonsense, 0xdead_beef, &[]);
        assert!(at_end(nonsense));
        drop(place.front_end());
        let last = place.front_end();
        shutdown.signal();
        server.join().unwrap().unwrap();
        assert!(at_end(last));
    });
    assert!(!place.socket().exists());
}

#[rstest]
#[case::missing(None, "rules.toml: No such file")]
#[case::not_toml(Some("[[lookup"), "rules.toml:1:9: unclosed array table")]
#[case::no_rule(Some("[[lookup]]\npath = \"/a\""), "relative to the share's root")]
fn rules_files_are_named(#[case] text: Option<&str>, #[case] says: &str) {
    let place = Place::new();
    let path = place.dir.path().join("rules.toml");
    if let Some(text) = text {
        fs::write(&path, text).unwrap();
    }
    let options = ServeOptions {
        socket: place.socket(),
        shared_dir: place.dir.path().to_owned(),
        rules: Some(path),
        tag: None,
        readonly: false,
        timeout: None,
    };
    let error: ServeError = serve(&options, Flag::new().unwrap()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("rules.toml:") && error.contains(says),
        "{error}"
    );
}
