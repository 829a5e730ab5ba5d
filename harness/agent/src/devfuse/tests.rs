//! Requests as bytes, replies as bytes.

use lookback_wire::control::{self, Served};
use lookback_wire::fuse::Entry;
use lookback_wire::fuse::{FUSE_BACKING_LOOKUP, parse_entries};
use lookback_wire::rules::{Errno, Kind, LookupRule, Rules};
use proptest::prelude::*;
use rstest::rstest;

use super::request::{
    BATCH_FORGET, DESTROY, FORGET, GETATTR, INIT, INTERRUPT, LOOKUP, OPEN, OPENDIR, READ, READDIR,
    READLINK, RELEASE, RELEASEDIR, STATFS,
};
use super::server::{Objects, Reply, Server};

const INIT_EXT: u32 = 1 << 30;
/// The time of all files.
const TIME: u64 = 1_700_000_000;

/// Id n is descriptor 100 + n.
struct Numbered;
impl Objects for Numbered {
    fn descriptor(&self, id: u64) -> u64 {
        100 + id
    }
}

fn request(opcode: u32, nodeid: u64, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(40 + body.len()).unwrap();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&len.to_ne_bytes());
    bytes.extend_from_slice(&opcode.to_ne_bytes());
    bytes.extend_from_slice(&77_u64.to_ne_bytes());
    bytes.extend_from_slice(&nodeid.to_ne_bytes());
    bytes.resize(40, 0);
    bytes.extend_from_slice(body);
    bytes
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn init(major: u32, flags: u32, flags2: u32) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [major, 41, 131_072, flags, flags2] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    body.resize(64, 0);
    request(INIT, 0, &body)
}

fn flags2() -> u32 {
    u32::try_from(FUSE_BACKING_LOOKUP >> 32).unwrap()
}

fn rule(path: &str) -> LookupRule {
    LookupRule {
        path: path.into(),
        ..LookupRule::default()
    }
}

fn backed(path: &str, id: u64) -> LookupRule {
    LookupRule {
        backing: Some(id),
        ..rule(path)
    }
}

fn server(rules: Vec<LookupRule>) -> Server {
    Server::new(Rules::from(rules), TIME, super::Seen::new())
}

/// A server with which everything was negotiated.
fn ready(rules: Vec<LookupRule>) -> Server {
    let mut server = server(rules);
    let reply = server
        .handle(&init(7, INIT_EXT, flags2()), &Numbered)
        .unwrap();
    server.written(&reply, 0);
    server
}

fn ask(server: &mut Server, bytes: &[u8]) -> Reply {
    server.handle(bytes, &Numbered).expect("a reply")
}

fn look_up(server: &mut Server, parent: u64, name: &str) -> Reply {
    let reply = ask(
        server,
        &request(LOOKUP, parent, format!("{name}\0").as_bytes()),
    );
    server.written(&reply, 0);
    reply
}

fn u32_at(reply: &Reply, at: usize) -> u32 {
    u32::from_ne_bytes(*reply.bytes[at..].first_chunk().unwrap())
}

fn u64_at(reply: &Reply, at: usize) -> u64 {
    u64::from_ne_bytes(*reply.bytes[at..].first_chunk().unwrap())
}

fn errno(reply: &Reply) -> i32 {
    -u32_at(reply, 4).cast_signed()
}

fn served(server: Server) -> Served {
    server.end().0
}

#[rstest]
#[case::offered(INIT_EXT, flags2(), true, true)]
#[case::not_offered(INIT_EXT, 0, true, false)]
#[case::without_init_ext(0, flags2(), true, false)]
#[case::not_wanted(INIT_EXT, flags2(), false, false)]
fn negotiation(#[case] flags: u32, #[case] flags2: u32, #[case] willing: bool, #[case] want: bool) {
    let rules = Rules {
        negotiate: willing,
        ..Rules::from(vec![])
    };
    let mut server = Server::new(rules, TIME, super::Seen::new());
    let reply = ask(&mut server, &init(7, flags, flags2));
    assert_eq!(
        (reply.bytes.len(), errno(&reply), u64_at(&reply, 8)),
        (80, 0, 77)
    );
    assert_eq!((u32_at(&reply, 16), u32_at(&reply, 20)), (7, 41));
    // flags2 and max_stack_depth (struct fuse_init_out).
    let (accepted, depth) = (u32_at(&reply, 48), u32_at(&reply, 52));
    assert_eq!((accepted != 0, depth), (want, u32::from(want)));
    assert_eq!(served(server).negotiated, want);
}

#[test]
fn another_major_version_is_told_ours() {
    let mut server = server(vec![]);
    let reply = ask(&mut server, &init(8, INIT_EXT, flags2()));
    assert_eq!((errno(&reply), u32_at(&reply, 16)), (0, 7));
    assert!(!served(server).negotiated);
}

#[test]
fn a_backed_name_carries_the_daemon_s_descriptor() {
    let mut server = ready(vec![backed("stack", 3)]);
    let reply = look_up(&mut server, 1, "stack");
    assert_eq!(
        (reply.bytes.len(), u32_at(&reply, 0), errno(&reply)),
        (168, 168, 0)
    );
    assert_eq!(
        parse_entries(&reply.bytes[144..]),
        Ok(vec![Entry::Backing { fd: 103 }])
    );
    assert_eq!(u64_at(&reply, 16), 2);
    let served = served(server);
    assert_eq!((served.backed, served.lookups), (vec![2], vec![(2, 1)]));
    assert_eq!(served.root_lookups, [("stack".into(), 1)]);
}

#[test]
fn without_the_extension_the_name_is_an_ordinary_one() {
    let mut server = server(vec![LookupRule {
        nodeid: Some(0),
        ..backed("stack", 3)
    }]);
    let reply = look_up(&mut server, 1, "stack");
    assert_eq!((reply.bytes.len(), u64_at(&reply, 16)), (144, 2));
    assert_eq!(served(server).backed, []);
}

#[test]
fn what_the_kernel_refuses_is_neither_granted_nor_backed() {
    let mut server = ready(vec![LookupRule {
        write: Some(Errno(libc::EBADF)),
        ..backed("bad", 3)
    }]);
    let reply = ask(&mut server, &request(LOOKUP, 1, b"bad\0"));
    server.written(&reply, libc::EBADF);
    let served = served(server);
    assert_eq!((served.backed, served.lookups), (vec![], vec![]));
    let went = control::Reply {
        path: "bad".into(),
        wrote: libc::EBADF,
        expected: libc::EBADF,
        count: 1,
    };
    assert_eq!(served.replies, [went]);
    assert_eq!(served.failures, [""; 0]);
}

#[rstest]
#[case::short(15, 15)]
#[case::header(16, 16)]
#[case::half_an_entry(145, 145)]
#[case::long(4096, 4096)]
fn a_length_is_written_as_the_rule_has_it(#[case] len: u32, #[case] written: usize) {
    let mut server = ready(vec![LookupRule {
        len: Some(len),
        ..rule("odd")
    }]);
    let reply = ask(&mut server, &request(LOOKUP, 1, b"odd\0"));
    assert_eq!(reply.bytes.len(), written);
}

#[test]
fn rules_follow_one_another_and_go_on_after_a_remount() {
    let rules = vec![
        LookupRule {
            to: Some(2),
            ..backed("x", 1)
        },
        LookupRule {
            from: Some(3),
            ..backed("x", 2)
        },
    ];
    let mut first = ready(rules.clone());
    let fd = |reply: &Reply| u64_at(reply, 160);
    let fds: Vec<u64> = (0..2).map(|_| fd(&look_up(&mut first, 1, "x"))).collect();
    assert_eq!(fds, [101, 101]);
    let (_, seen) = first.end();
    let mut second = Server::new(Rules::from(rules), TIME, seen);
    ask(&mut second, &init(7, INIT_EXT, flags2()));
    assert_eq!(fd(&look_up(&mut second, 1, "x")), 102);
}

#[test]
fn another_nodeid_means_the_same_file() {
    let alias = 1 << 32;
    let mut server = ready(vec![
        LookupRule {
            nodeid: Some(alias),
            ..rule("d")
        },
        rule("d/e"),
    ]);
    assert_eq!(u64_at(&look_up(&mut server, 1, "d"), 16), alias);
    let below = look_up(&mut server, alias, "e");
    assert_eq!((errno(&below), u64_at(&below, 16)), (0, 3));
    let attributes = ask(&mut server, &request(GETATTR, alias, &[0; 16]));
    // fuse_attr.ino, and that there is one directory in it.
    assert_eq!(
        (u64_at(&attributes, 32), u32_at(&attributes, 32 + 64)),
        (2, 3)
    );
    assert_eq!(served(server).lookups, [(3, 1), (alias, 1)]);
}

#[test]
fn a_request_for_a_backed_file_is_noted_until_it_is_backed_no_more() {
    let rules = vec![
        LookupRule {
            to: Some(1),
            ..backed("x", 1)
        },
        rule("x"),
    ];
    let mut server = ready(rules);
    let getattr = request(GETATTR, 2, &[0; 16]);
    ask(&mut server, &getattr);
    look_up(&mut server, 1, "x");
    ask(&mut server, &getattr);
    server.handle(&request(FORGET, 2, &words(&[1])), &Numbered);
    ask(&mut server, &request(GETATTR, 0, &[0; 16]));
    look_up(&mut server, 1, "x");
    ask(&mut server, &getattr);
    let served = served(server);
    assert_eq!(served.bypassed, [(GETATTR, 0, 1), (GETATTR, 2, 1)]);
    assert_eq!(served.backed, [2]);
}

#[rstest]
#[case::file(Kind::File, libc::S_IFREG)]
#[case::dir(Kind::Dir, libc::S_IFDIR)]
#[case::symlink(Kind::Symlink, libc::S_IFLNK)]
#[case::fifo(Kind::Fifo, libc::S_IFIFO)]
#[case::char(Kind::Char, libc::S_IFCHR)]
fn kinds(#[case] kind: Kind, #[case] type_bits: u32) {
    let mut server = ready(vec![LookupRule {
        kind: Some(kind),
        ..rule("a/x")
    }]);
    look_up(&mut server, 1, "a");
    let reply = look_up(&mut server, 2, "x");
    // fuse_attr.mode behind header, entry and sixty bytes of attributes.
    assert_eq!(u32_at(&reply, 16 + 40 + 60) & libc::S_IFMT, type_bits);
    let works =
        |server: &mut Server, opcode| errno(&ask(server, &request(opcode, 3, &[0; 8]))) == 0;
    assert_eq!(works(&mut server, OPENDIR), kind == Kind::Dir);
    assert_eq!(works(&mut server, OPEN), kind == Kind::File);
    assert_eq!(works(&mut server, READLINK), kind == Kind::Symlink);
}

#[rstest]
#[case::missing(1, "nothing", libc::ENOENT)]
#[case::below_a_file(2, "x", libc::ENOENT)]
#[case::unknown_directory(9, "x", libc::ESTALE)]
#[case::no_directory(0, "x", libc::ESTALE)]
fn names_that_are_not_there(#[case] parent: u64, #[case] name: &str, #[case] want: i32) {
    let mut server = ready(vec![rule("f")]);
    let reply = look_up(&mut server, parent, name);
    assert_eq!((reply.bytes.len(), errno(&reply)), (16, want));
    assert_eq!(served(server).lookups, []);
}

#[test]
fn an_error_of_a_rule_is_the_reply() {
    let mut server = ready(vec![LookupRule {
        errno: Some(Errno(libc::EMFILE)),
        delay_ms: Some(250),
        ..rule("x")
    }]);
    let reply = look_up(&mut server, 1, "x");
    assert_eq!((reply.bytes.len(), errno(&reply)), (16, libc::EMFILE));
    assert_eq!(reply.delay.as_millis(), 250);
}

#[rstest]
#[case(RELEASE, 16)]
#[case(RELEASEDIR, 16)]
#[case(DESTROY, 16)]
#[case(STATFS, 96)]
#[case(GETATTR, 120)]
#[case(OPENDIR, 32)]
#[case(READ, 16)]
fn fixed_replies(#[case] opcode: u32, #[case] len: usize) {
    let mut server = ready(vec![]);
    let reply = ask(&mut server, &request(opcode, 1, &[0; 40]));
    assert_eq!((reply.bytes.len(), errno(&reply)), (len, 0));
}

#[rstest]
#[case::all(0, 4096, &[".", "..", "a", "stack"])]
#[case::from_the_third(2, 4096, &["a", "stack"])]
#[case::as_many_as_fit(0, 65, &[".", ".."])]
#[case::the_end(4, 4096, &[])]
#[case::far_beyond(u64::MAX, 4096, &[])]
fn listing(#[case] offset: u64, #[case] size: u64, #[case] want: &[&str]) {
    let mut server = ready(vec![rule("stack"), rule("a/b")]);
    let reply = ask(
        &mut server,
        &request(READDIR, 1, &words(&[0, offset, size, 0, 0])),
    );
    let mut rest = &reply.bytes[16..];
    let mut names = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_ne_bytes(*rest[16..].first_chunk().unwrap()) as usize;
        names.push(str::from_utf8(&rest[24..24 + len]).unwrap().to_owned());
        rest = &rest[(24 + len).next_multiple_of(8)..];
    }
    assert_eq!(names, want);
}

#[test]
fn forgets_are_counted_and_not_answered() {
    let mut server = ready(vec![]);
    assert_eq!(
        server.handle(&request(FORGET, 2, &words(&[3])), &Numbered),
        None
    );
    let batch = words(&[2, 5, 1, 6, 2]);
    assert_eq!(
        server.handle(&request(BATCH_FORGET, 0, &batch), &Numbered),
        None
    );
    assert_eq!(
        server.handle(&request(INTERRUPT, 0, &words(&[77])), &Numbered),
        None
    );
    let served = served(server);
    assert_eq!(served.forgets, [(2, 3), (5, 1), (6, 2)]);
    assert_eq!(served.failures, [""; 0]);
}

#[rstest]
#[case::empty(vec![], false)]
#[case::cut_header(request(GETATTR, 1, &[])[..39].to_vec(), false)]
#[case::wrong_length({ let mut r = request(GETATTR, 1, &[0; 16]); r.pop(); r }, false)]
#[case::forget_without_count(request(FORGET, 2, &[0; 4]), false)]
#[case::batch_without_count(request(BATCH_FORGET, 0, &[]), false)]
#[case::batch_cut_short(request(BATCH_FORGET, 0, &words(&[2, 5, 1, 6])), false)]
#[case::name_without_end(request(LOOKUP, 1, b"stack"), true)]
#[case::no_name(request(LOOKUP, 1, b""), true)]
#[case::empty_name(request(LOOKUP, 1, b"\0"), true)]
#[case::two_names(request(LOOKUP, 1, b"a\0b\0"), true)]
#[case::init_without_version(request(INIT, 0, &[7, 0, 0, 0]), true)]
#[case::readdir_without_size(request(READDIR, 1, &[0; 16]), true)]
fn malformed_requests(#[case] bytes: Vec<u8>, #[case] answered: bool) {
    let mut server = ready(vec![rule("stack")]);
    let reply = server.handle(&bytes, &Numbered);
    assert_eq!(reply.as_ref().map(errno), answered.then_some(libc::EINVAL));
    assert_eq!(served(server).failures.len(), 1);
}

#[test]
fn what_it_has_no_answer_for_it_does_not_do() {
    let mut server = ready(vec![]);
    for opcode in [4, 9, 16, 44, 4000] {
        let reply = ask(&mut server, &request(opcode, 1, &[0; 88]));
        assert_eq!(errno(&reply), libc::ENOSYS);
    }
}

#[test]
fn a_refused_answer_is_a_failure_but_not_one_nobody_waits_for() {
    let mut server = ready(vec![]);
    let reply = ask(&mut server, &request(GETATTR, 1, &[0; 16]));
    server.written(&reply, libc::ENOENT);
    server.written(&reply, libc::EINVAL);
    assert_eq!(served(server).failures.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_are_answered_or_noted(
        opcode in 0_u32..60, nodeid in 0_u64..4, body in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut server = ready(vec![backed("stack", 1)]);
        if let Some(reply) = server.handle(&request(opcode, nodeid, &body), &Numbered) {
            prop_assert_eq!(u32_at(&reply, 0) as usize, reply.bytes.len());
            prop_assert_eq!(u64_at(&reply, 8), 77);
        }
    }
}
