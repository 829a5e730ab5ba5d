//! Replies, byte by byte.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::rules::{Bytes, Errno, FIRST_FREE_NODEID, Mode, Rules};

/// Every byte its own offset, but for a nodeid of 5 and a directory's mode.
fn entry() -> [u8; ENTRY_OUT_LEN] {
    let mut entry = std::array::from_fn(|at| u8::try_from(at).unwrap());
    put(&mut entry, at::NODEID, 5_u64.to_ne_bytes());
    put(&mut entry, at::MODE, 0o040_755_u32.to_ne_bytes());
    entry
}

fn rule(toml: &str) -> LookupRule {
    let text = format!("[[lookup]]\npath = \"stack\"\n{toml}");
    let rules: Rules = toml::from_str(&text).unwrap();
    rules.check().unwrap();
    rules.lookup[0].clone()
}

fn answer(toml: &str, room: usize, negotiated: bool) -> Reply {
    let request = Request {
        unique: 77,
        room,
        negotiated,
    };
    request.entry(&entry(), Some(&rule(toml)), |id| id)
}

fn raw(kind: u32, unused: u32, unused2: u64, fd: u64) -> Vec<u8> {
    [
        &kind.to_ne_bytes()[..],
        &unused.to_ne_bytes(),
        &unused2.to_ne_bytes(),
        &fd.to_ne_bytes(),
    ]
    .concat()
}

const BACKED: Says = Says::Entry {
    nodeid: 5,
    backed: true,
};
const UNBACKED: Says = Says::Entry {
    nodeid: 5,
    backed: false,
};
const MALFORMED: Says = Says::Malformed { nodeid: 5 };

#[test]
fn without_a_rule_it_is_the_file_system_s_entry() {
    let request = Request {
        unique: 77,
        room: 144,
        negotiated: false,
    };
    let reply = request.entry(&entry(), None, |id| id);
    assert_eq!(reply.bytes[..4], 144_u32.to_ne_bytes());
    assert_eq!(reply.bytes[4..8], [0; 4]);
    assert_eq!(reply.bytes[8..16], 77_u64.to_ne_bytes());
    assert_eq!(reply.bytes[16..], entry());
    assert_eq!((reply.len, reply.used, reply.says), (144, 144, UNBACKED));
}

#[rstest]
#[case::backing("backing = 1", raw(1, 0, 0, 1), BACKED)]
#[case::none("entries = []", vec![], UNBACKED)]
#[case::one("entries = [{ type = \"backing\", id = 1 }]", raw(1, 0, 0, 1), BACKED)]
#[case::trap(
    "entries = [{ type = \"backing\", id = 3, fd = 4294967296 }]",
    raw(1, 0, 0, 0x1_0000_0003),
    MALFORMED
)]
#[case::literal("entries = [{ type = \"backing\", fd = 9 }]", raw(1, 0, 0, 9), BACKED)]
#[case::remove("entries = [{ type = \"remove-backing\" }]", raw(3, 0, 0, 0), UNBACKED)]
#[case::bpf("entries = [{ type = \"bpf\", id = 1 }]", raw(2, 0, 0, 1), MALFORMED)]
#[case::remove_bpf("entries = [{ type = \"remove-bpf\" }]", raw(4, 0, 0, 0), MALFORMED)]
#[case::zero("entries = [{ type = 0 }]", raw(0, 0, 0, 0), MALFORMED)]
#[case::unknown("entries = [{ type = 5 }]", raw(5, 0, 0, 0), MALFORMED)]
#[case::unused(
    "entries = [{ type = \"backing\", id = 1, unused = 9 }]",
    raw(1, 9, 0, 1),
    MALFORMED
)]
#[case::unused2(
    "entries = [{ type = \"backing\", id = 1, unused2 = 9 }]",
    raw(1, 0, 9, 1),
    MALFORMED
)]
#[case::both(
    "entries = [{ type = \"backing\", id = 1 }, { type = \"remove-backing\" }]",
    [raw(1, 0, 0, 1), raw(3, 0, 0, 0)].concat(), MALFORMED
)]
#[case::twice(
    "entries = [{ type = \"backing\", id = 1 }, { type = \"backing\", id = 2 }]",
    [raw(1, 0, 0, 1), raw(1, 0, 0, 2)].concat(), MALFORMED
)]
#[case::raw("raw = \"00 ff 7\n f\"", vec![0, 0xff, 0x7f], MALFORMED)]
fn what_follows_the_entry(#[case] toml: &str, #[case] tail: Vec<u8>, #[case] says: Says) {
    let toml = toml.replace('\n', "\\n");
    let reply = answer(&toml, FULL_LEN, true);
    assert_eq!(reply.bytes[16..PLAIN_LEN], entry());
    assert_eq!(reply.bytes[PLAIN_LEN..], tail);
    let len = u32::try_from(PLAIN_LEN + tail.len()).unwrap();
    assert_eq!((reply.len, reply.used), (len, len));
    assert_eq!(reply.bytes[..4], len.to_ne_bytes());
    assert_eq!(reply.says, says);
    assert_eq!(reply.message(), reply.bytes);
}

#[test]
fn a_third_entry_is_cut_off_where_the_room_ends() {
    let three = "entries = [{ type = 1, id = 1 }, { type = 1, id = 1 }, { type = 1, id = 1 }]";
    let reply = answer(three, FULL_LEN, true);
    assert_eq!((reply.bytes.len(), reply.len, reply.used), (192, 216, 192));
    assert_eq!(reply.says, Says::Broken);
    let reply = answer(three, 65536, true);
    assert_eq!((reply.message().len(), reply.says), (216, MALFORMED));
}

#[test]
fn an_id_is_what_it_is_translated_to() {
    let request = Request {
        unique: 1,
        room: FULL_LEN,
        negotiated: true,
    };
    let rule = rule("entries = [{ type = \"backing\", id = 2, fd = 4294967296 }]");
    let reply = request.entry(&entry(), Some(&rule), |id| id + 40);
    assert_eq!(reply.bytes[PLAIN_LEN..], raw(1, 0, 0, 0x1_0000_002a));
}

// len of the header, bytes there, length used.
#[rstest]
#[case::header_alone("len = 16", 16, 168, 16, Says::Broken)]
#[case::one_short("len = 143", 143, 168, 143, Says::Broken)]
#[case::just_the_entry("len = 144", 144, 168, 144, UNBACKED)]
#[case::one_more("len = 145", 145, 168, 145, MALFORMED)]
#[case::right("len = 168", 168, 168, 168, BACKED)]
#[case::one_less_than_two("len = 191", 191, 191, 191, MALFORMED)]
#[case::a_zero_entry("len = 192", 192, 192, 192, MALFORMED)]
#[case::past_the_room("len = 193", 193, 192, 192, Says::Broken)]
#[case::far_past_the_room("len = 4096", 4096, 192, 192, Says::Broken)]
#[case::less_than_a_header("len = 4", 4, 168, 16, Says::Broken)]
#[case::zero("len = 0", 0, 168, 16, Says::Broken)]
#[case::used_short("used = 144", 168, 168, 144, Says::Broken)]
#[case::used_none("used = 0", 168, 168, 0, Says::Broken)]
#[case::used_long("used = 192", 168, 168, 192, BACKED)]
#[case::used_past_the_room("used = 4096", 168, 168, 4096, BACKED)]
#[case::both("len = 192\nused = 168", 192, 192, 168, Says::Broken)]
fn lengths(
    #[case] toml: &str,
    #[case] len: u32,
    #[case] there: usize,
    #[case] used: u32,
    #[case] says: Says,
) {
    let reply = answer(&format!("backing = 1\n{toml}"), FULL_LEN, true);
    assert_eq!(
        (reply.len, reply.bytes.len(), reply.used),
        (len, there, used)
    );
    assert_eq!(reply.bytes[..4], len.to_ne_bytes());
    assert_eq!(reply.bytes[PLAIN_LEN..168], raw(1, 0, 0, 1));
    assert!(reply.bytes[168..].iter().all(|&byte| byte == 0));
    assert_eq!(reply.says, says);
}

#[rstest]
#[case(4096, 4096)]
#[case(143, 143)]
#[case(8, 8)]
fn a_daemon_writes_as_much_as_the_header_says(#[case] len: u32, #[case] written: usize) {
    let reply = answer(&format!("backing = 1\nlen = {len}"), 65536, true);
    assert_eq!(reply.message().len(), written);
}

#[rstest]
#[case::alone("errno = \"ENOENT\"", 2, 16, Says::Error)]
#[case::without_a_name("errno = \"512\"", 512, 16, Says::Error)]
#[case::with_a_body("errno = \"EIO\"\nlen = 168", 5, 168, Says::Error)]
#[case::short("errno = \"EIO\"\nlen = 15\nused = 15", 5, 15, Says::Error)]
fn errors(#[case] toml: &str, #[case] errno: i32, #[case] len: u32, #[case] says: Says) {
    let reply = answer(toml, FULL_LEN, true);
    assert_eq!(reply.bytes[4..8], (-errno).to_ne_bytes());
    assert!(reply.bytes[16..].iter().all(|&byte| byte == 0));
    assert_eq!((reply.len, reply.used, reply.says), (len, len, says));
}

#[test]
fn a_file_system_s_error_takes_the_rule_s_length() {
    let request = Request {
        unique: 1,
        room: FULL_LEN,
        negotiated: true,
    };
    let reply = request.error(2, Some(&rule("backing = 1\nused = 20")));
    assert_eq!((reply.len, reply.bytes.len(), reply.used), (16, 16, 20));
}

const FREE: u64 = FIRST_FREE_NODEID;

// Room, negotiated; nodeid, bytes.
#[rstest]
#[case::both("backing = 1\nnodeid = 0", 192, true, (0, 168))]
#[case::exactly_enough("backing = 1\nnodeid = 0", 168, true, (0, 168))]
#[case::one_byte_short("backing = 1\nnodeid = 0", 167, true, (5, 144))]
#[case::old_guest("backing = 1\nnodeid = 0", 192, false, (5, 144))]
#[case::entries_need_it_too("entries = [{ type = 9 }]\nnodeid = 0", 192, false, (5, 144))]
#[case::negative("nodeid = 0", 144, false, (0, 144))]
#[case::other("nodeid = 4294967296", 192, true, (FREE, 144))]
#[case::raw_is_sent_to_anyone("raw = \"0000\"", 192, false, (5, 146))]
#[case::raw_is_cut("raw = \"0000\"", 145, false, (5, 145))]
fn what_the_guest_has_room_for(
    #[case] toml: &str,
    #[case] room: usize,
    #[case] negotiated: bool,
    #[case] (nodeid, len): (u64, usize),
) {
    let reply = answer(toml, room, negotiated);
    assert_eq!(reply.bytes[16..24], nodeid.to_ne_bytes());
    assert_eq!(reply.bytes.len(), len);
}

#[test]
fn entries_nobody_negotiated_are_malformed() {
    let entry = "01000000000000000000000000000000 0100000000000000";
    let reply = answer(&format!("raw = \"{entry}\""), 192, false);
    assert_eq!(reply.says, MALFORMED);
    let reply = answer(&format!("raw = \"{entry}\""), 192, true);
    assert_eq!(reply.says, BACKED);
}

#[rstest]
#[case::nodeid("nodeid = 4294967300", 0, &(FREE + 4).to_ne_bytes())]
#[case::entry_timeout("entry_timeout_ms = 2500", 16, &2_u64.to_ne_bytes())]
#[case::entry_timeout_nsec("entry_timeout_ms = 2500", 32, &500_000_000_u32.to_ne_bytes())]
#[case::attr_timeout("attr_timeout_ms = 86_400_001", 24, &86_400_u64.to_ne_bytes())]
#[case::attr_timeout_nsec("attr_timeout_ms = 86_400_001", 36, &1_000_000_u32.to_ne_bytes())]
#[case::permissions("mode = \"0600\"", 100, &0o040_600_u32.to_ne_bytes())]
#[case::type_too("mode = \"0100600\"", 100, &0o100_600_u32.to_ne_bytes())]
#[case::attr_flags("attr_flags = 1", 124, &1_u32.to_ne_bytes())]
fn a_field_of_the_entry(#[case] toml: &str, #[case] at: usize, #[case] bytes: &[u8]) {
    // Also to a guest without the extension.
    let reply = answer(toml, PLAIN_LEN, false);
    let got = &reply.bytes[16..];
    assert_eq!(&got[at..at + bytes.len()], bytes);
    let touched = got.iter().zip(entry()).filter(|(a, b)| *a != b).count();
    // A timeout is two fields.
    assert!(touched <= 12, "{touched}");
}

proptest! {
    #[test]
    fn a_reply_keeps_to_the_room(
        tail in proptest::collection::vec(any::<u8>(), 0..100),
        len in proptest::option::of(0_u32..5000),
        used in proptest::option::of(any::<u32>()),
        errno in proptest::option::of(1..200),
        mode in proptest::option::of(0_u32..0o200_000),
        room in 16_usize..400,
        negotiated: bool,
    ) {
        let rule = LookupRule {
            raw: errno.is_none().then_some(Bytes(tail)),
            errno: errno.map(Errno),
            mode: mode.map(Mode),
            len,
            used,
            ..LookupRule::default()
        };
        let request = Request { unique: 1, room, negotiated };
        let reply = request.entry(&entry(), Some(&rule), |id| id);
        prop_assert!(reply.bytes.len() <= room);
        prop_assert!(reply.bytes.len() >= 16);
        prop_assert_eq!(reply.used, used.unwrap_or(reply.used));
        // The same request and rule are the same bytes.
        prop_assert_eq!(request.entry(&entry(), Some(&rule), |id| id), reply);
    }
}
