//! The file system device against the real backend, and against peers that
//! are none.
#![allow(clippy::unwrap_used)]

mod driver;
mod malformed;
mod peer;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use lookback_fs_backend::{Backend, BackendConfig, BackendHandle};
use lookback_vmm::virtio::{Device, DeviceError, Fs};
use rstest::rstest;
use tempfile::TempDir;
use virtio_queue::QueueT;
use vm_memory::GuestAddress;

use driver::{EVENT_IDX, Guest, HIPRIO, REQUESTS, VERSION_1};
use peer::{Answers, Peer};

/// A share with the file `file` and a backend that serves it.
struct Share {
    dir: TempDir,
    backend: BackendHandle,
}

impl Share {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("share");
        fs::create_dir(&shared).unwrap();
        fs::write(shared.join("file"), "content").unwrap();
        let backend = Backend::spawn(BackendConfig::new(dir.path().join("s"), shared)).unwrap();
        Share { dir, backend }
    }

    fn connect(&self) -> Fs {
        Fs::connect("backed", self.backend.socket()).unwrap()
    }

    fn ino(&self) -> u64 {
        let file = self.dir.path().join("share/file");
        fs::metadata(file).unwrap().ino()
    }

    /// The guest sees the file as it is; its nodeid.
    fn look(&self, guest: &Guest) -> u64 {
        let found = guest.lookup("file").unwrap();
        assert_eq!((found.ino, found.size), (self.ino(), 7));
        found.nodeid
    }
}

#[rstest]
#[case::plain(VERSION_1)]
#[case::event_idx(VERSION_1 | EVENT_IDX)]
fn a_guest_looks_up_and_forgets(#[case] features: u64) {
    let share = Share::new();
    let guest = Guest::new(features);
    let mut fs = share.connect();
    fs.activate(guest.activation(guest.fresh_queues())).unwrap();
    guest.init();
    let nodeid = share.look(&guest);
    assert_eq!(guest.lookup("nothing").unwrap_err(), libc::ENOENT);
    guest.forget(nodeid);
    assert_eq!(share.backend.counters().forgets[&nodeid], 1);
    assert!(!guest.interrupt.is_broken());
    assert_eq!(guest.complaints.text(), "");
}

#[test]
fn what_a_driver_sees_of_the_device() {
    let share = Share::new();
    let fs = share.connect();
    assert_eq!(fs.device_type(), 26);
    assert_eq!(fs.name(), "fs backed");
    assert_eq!(fs.queue_sizes(), [512, 512]);
    // VHOST_USER_F_PROTOCOL_FEATURES (bit 30) is nothing to a guest.
    assert_eq!(fs.features(), VERSION_1 | EVENT_IDX | 1 << 28);
    assert!(fs.interrupts_by_itself());

    let read = |offset, len| {
        let mut data = vec![0xff; len];
        fs.read_config(offset, &mut data);
        data
    };
    assert_eq!(read(0, 7), b"backed\0");
    assert_eq!(read(7, 29), [0; 29]);
    assert_eq!(read(36, 4), [1, 0, 0, 0]);
    assert_eq!(read(38, 4), [0; 4]);
    assert_eq!(read(40, 1), [0]);
    assert_eq!(read(u64::MAX, 8), [0; 8]);
}

#[test]
fn an_interrupted_device_goes_on() {
    let share = Share::new();
    let guest = Guest::new(VERSION_1 | EVENT_IDX);
    let mut fs = share.connect();
    assert!(fs.deactivate().unwrap().is_empty());
    let mut queues = guest.fresh_queues();
    for round in 1..4 {
        fs.activate(guest.activation(queues)).unwrap();
        if round == 1 {
            guest.init();
        }
        let nodeid = share.look(&guest);
        guest.forget(nodeid);
        queues = fs.deactivate().unwrap();
        let ends = |queue: usize| (queues[queue].next_avail(), queues[queue].next_used());
        assert_eq!(ends(HIPRIO), (round, round));
        assert_eq!(ends(REQUESTS), (round + 1, round + 1));
        assert!(queues.iter().all(QueueT::ready));
        assert!(fs.deactivate().unwrap().is_empty());
    }
}

#[test]
fn a_driver_that_resets_begins_anew() {
    let share = Share::new();
    let guest = Guest::new(VERSION_1);
    let mut fs = share.connect();
    for _ in 0..3 {
        fs.activate(guest.activation(guest.fresh_queues())).unwrap();
        guest.init();
        share.look(&guest);
        fs.deactivate().unwrap();
    }
}

#[test]
fn what_was_asked_meanwhile_is_answered() {
    let share = Share::new();
    let guest = Guest::new(VERSION_1 | EVENT_IDX);
    let mut fs = share.connect();
    fs.activate(guest.activation(guest.fresh_queues())).unwrap();
    guest.init();
    let queues = fs.deactivate().unwrap();
    guest.offer_lookup("file");
    guest.kick(REQUESTS);
    guest.lose_kick(REQUESTS);
    fs.activate(guest.activation(queues)).unwrap();
    assert_eq!(guest.found().unwrap().ino, share.ino());
}

#[test]
fn a_queue_the_driver_leaves_alone_stays_out() {
    let share = Share::new();
    let guest = Guest::new(VERSION_1);
    let mut fs = share.connect();
    let mut queues = guest.fresh_queues();
    queues[HIPRIO].set_ready(false);
    fs.activate(guest.activation(queues)).unwrap();
    guest.init();
    share.look(&guest);
    let queues = fs.deactivate().unwrap();
    assert!(!queues[HIPRIO].ready());
    assert_eq!(queues[REQUESTS].next_used(), 2);
}

#[test]
fn a_backend_that_dies_is_noticed() {
    let share = Share::new();
    let guest = Guest::new(VERSION_1);
    let mut fs = share.connect();
    fs.activate(guest.activation(guest.fresh_queues())).unwrap();
    guest.init();
    share.backend.stop().unwrap();
    guest.wait_for_interrupt();
    assert!(guest.interrupt.is_broken());
    let socket = share.dir.path().join("s");
    let text = guest.complaints.text();
    let starts = format!("fs backed on {}: the backend hung up", socket.display());
    assert!(text.starts_with(&starts), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");

    let error = fs.deactivate().unwrap_err();
    names(&error, &socket, "SET_VRING_ENABLE: the backend hung up");
    // It has stopped all the same, and can't start.
    assert!(fs.deactivate().unwrap().is_empty());
    let error = fs.activate(guest.activation(guest.fresh_queues()));
    names(&error.unwrap_err(), &socket, "the backend hung up");
}

#[test]
fn a_device_that_does_not_work_does_not_complain() {
    let share = Share::new();
    let guest = Guest::new(VERSION_1);
    let mut fs = share.connect();
    fs.activate(guest.activation(guest.fresh_queues())).unwrap();
    fs.deactivate().unwrap();
    share.backend.stop().unwrap();
    drop(fs);
    assert!(!guest.is_interrupted_within(Duration::from_millis(100)));
    assert_eq!(guest.complaints.text(), "");
    assert!(!guest.interrupt.is_broken());
}

#[test]
fn a_backend_may_refuse() {
    let share = Share::new();
    // One more than was offered.
    let guest = Guest::new(VERSION_1 | 1);
    let mut fs = share.connect();
    let activation = guest.activation(guest.fresh_queues());
    let error = fs.activate(activation).unwrap_err();
    names(
        &error,
        share.backend.socket(),
        "SET_FEATURES: the backend refused",
    );
    assert!(fs.deactivate().unwrap().is_empty());
}

#[test]
fn memory_that_can_t_be_shared_is_refused() {
    let share = Share::new();
    let mut guest = Guest::new(VERSION_1);
    let anonymous = [(GuestAddress(0), 4 << 20)];
    guest.memory = lookback_vmm::memory::Memory::from_ranges(&anonymous).unwrap();
    let mut fs = share.connect();
    let error = fs.activate(guest.activation(guest.fresh_queues()));
    names(
        &error.unwrap_err(),
        share.backend.socket(),
        "guest memory: invalid",
    );
}

/// The error is the backend's, says where, and says this.
fn names(error: &DeviceError, socket: &Path, says: &str) {
    assert!(matches!(error, DeviceError::Backend(_)), "{error:?}");
    let text = error.to_string();
    let starts = format!("vhost-user: {}: ", socket.display());
    assert!(text.starts_with(&starts), "{text}");
    assert!(text.contains(says), "{text}");
}

fn refused(socket: &Path, says: &str) {
    names(&Fs::connect("t", socket).unwrap_err(), socket, says);
}

#[test]
fn a_socket_needs_a_listener() {
    let dir = tempfile::tempdir().unwrap();
    let socket: PathBuf = dir.path().join("s");
    refused(&socket, "can't connect: No such file or directory");
    // A killed backend leaves its socket behind.
    drop(UnixListener::bind(&socket).unwrap());
    refused(&socket, "can't connect: Connection refused");
}

#[rstest]
#[case::at_once(peer::SET_OWNER, "GET_FEATURES: the backend hung up")]
#[case::features(peer::GET_FEATURES, "GET_FEATURES: the backend hung up")]
#[case::protocol(
    peer::GET_PROTOCOL_FEATURES,
    "GET_PROTOCOL_FEATURES: the backend hung up"
)]
#[case::queues(peer::GET_QUEUE_NUM, "GET_QUEUE_NUM: the backend hung up")]
fn a_peer_that_hangs_up_is_no_backend(#[case] at: u32, #[case] says: &str) {
    let peer = Peer::spawn(Answers {
        hang_up_at: Some(at),
        ..Answers::default()
    });
    refused(&peer.socket(), says);
}

#[rstest]
#[case::legacy(Answers { features: 1 << 30, ..Answers::default() }, "offers features 0x40000000")]
#[case::no_protocol(Answers { features: 1 << 32, ..Answers::default() }, "features 0x100000000,")]
#[case::no_mq(Answers { protocol_features: 8, ..Answers::default() }, "how many queues")]
#[case::one_queue(Answers { queues: 1, ..Answers::default() }, "has 1 queues, 2 are needed")]
fn a_backend_must_do_what_is_needed(#[case] answers: Answers, #[case] says: &str) {
    refused(&Peer::spawn(answers).socket(), says);
}

#[rstest]
#[case::empty(String::new())]
#[case::long("x".repeat(37))]
#[case::zero("a\0b".into())]
fn a_tag_must_fit(#[case] tag: String) {
    let error = Fs::connect(&tag, Path::new("/nowhere")).unwrap_err();
    assert!(error.to_string().contains("1 to 36 bytes"), "{error}");
}

#[test]
fn the_longest_tag_fits() {
    let share = Share::new();
    let tag = "x".repeat(36);
    let fs = Fs::connect(&tag, share.backend.socket()).unwrap();
    let mut read = [0; 40];
    fs.read_config(0, &mut read);
    assert_eq!(read[..36], *tag.as_bytes());
    assert_eq!(read[36..], [1, 0, 0, 0]);
}

/// A request is out while the backend gives its queue back.
#[test]
fn what_was_begun_is_waited_for() {
    let peer = Peer::spawn(Answers {
        base: 3,
        ..Answers::default()
    });
    let guest = Guest::new(VERSION_1);
    let mut fs = Fs::connect("t", &peer.socket()).unwrap();
    fs.activate(guest.activation(guest.fresh_queues())).unwrap();
    guest.set_used(HIPRIO, 3);
    guest.set_used(REQUESTS, 2);
    let (done, stopped) = mpsc::channel();
    let stopping = thread::spawn(move || done.send(fs.deactivate()).unwrap());
    let early = stopped.recv_timeout(Duration::from_millis(100));
    assert!(early.is_err(), "{early:?}");
    guest.set_used(REQUESTS, 3);
    let queues = stopped.recv().unwrap().unwrap();
    stopping.join().unwrap();
    assert_eq!(queues[REQUESTS].next_avail(), 3);
    assert_eq!(queues[REQUESTS].next_used(), 3);
}

#[test]
fn nobody_waits_for_a_backend_that_is_gone() {
    let peer = Peer::spawn(Answers {
        base: 3,
        hang_up_after: Some(peer::GET_VRING_BASE),
        ..Answers::default()
    });
    let guest = Guest::new(VERSION_1);
    let mut fs = Fs::connect("t", &peer.socket()).unwrap();
    let mut queues = guest.fresh_queues();
    queues[HIPRIO].set_ready(false);
    fs.activate(guest.activation(queues)).unwrap();
    let start = Instant::now();
    let error = fs.deactivate().unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(error, "queue 1: 3 requests were begun and not finished");
}
