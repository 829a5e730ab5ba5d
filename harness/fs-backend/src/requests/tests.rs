use rstest::rstest;

use super::*;

fn reply(error: i32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(OUT_HEADER_LEN + body.len()).unwrap();
    [
        &len.to_ne_bytes()[..],
        &error.to_ne_bytes(),
        &7_u64.to_ne_bytes(),
        body,
    ]
    .concat()
}

/// The reply to a LOOKUP: a nodeid, and entries behind it.
fn entry(nodeid: u64, tail: &[u8]) -> Vec<u8> {
    let mut body = vec![0; PLAIN_LEN - OUT_HEADER_LEN];
    body[..8].copy_from_slice(&nodeid.to_ne_bytes());
    reply(0, &[&body, tail].concat())
}

fn words(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect()
}

fn shown(opcode: u32, nodeid: u64, body: &[u8], answer: Option<&[u8]>) -> String {
    let mut log = RequestLog::new(1);
    let ticket = log.arrived(Instant::now(), opcode, nodeid, body.to_vec());
    if let Some(bytes) = answer {
        log.answered(ticket, bytes.to_vec(), None);
    }
    log.requests().entries[0].to_string()
}

#[rstest]
#[case::lookup(1, b"stack\0".to_vec(), "LOOKUP node 1 \"stack\" -> ok")]
#[case::unlink(10, b"a\xff\0".to_vec(), "UNLINK node 1 \"a\\xff\" -> ok")]
#[case::cut_off(10, b"abc".to_vec(), "UNLINK node 1 \"abc\"... -> ok")]
#[case::empty(10, vec![], "UNLINK node 1 \"\"... -> ok")]
#[case::rename(12, [&words(&[5])[..], b"a\0b\0"].concat(), "RENAME node 1 node 5 \"a\" \"b\" -> ok")]
#[case::rename2(45, [&words(&[5, 2])[..], b"a\0b\0"].concat(), "RENAME2 node 1 node 5 \"a\" \"b\" -> ok")]
#[case::set_xattr(21, [&words(&[1])[..], b"user.a\0x"].concat(), "SETXATTR node 1 \"user.a\" -> ok")]
#[case::set_xattr_ext(21, [&words(&[1, 1])[..], b"user.a\0x"].concat(), "SETXATTR node 1 \"user.a\" -> ok")]
#[case::read(15, words(&[9, 4096, 100]), "READ node 1 offset 4096 size 100 -> ok")]
#[case::getattr(3, vec![], "GETATTR node 1 -> ok")]
#[case::unknown(4000, vec![], "opcode 4000 node 1 -> ok")]
fn a_request_is_told_with_its_names(#[case] op: u32, #[case] body: Vec<u8>, #[case] want: &str) {
    let answer = if op == 1 {
        entry(0, &[])
    } else {
        reply(0, &[])
    };
    let want = want.replace("\"stack\" -> ok", "\"stack\" -> node 0");
    assert_eq!(shown(op, 1, &body, Some(&answer)), want);
}

#[rstest]
#[case::forget(2, words(&[3]), "FORGET node 4 count 3")]
#[case::several(
    42, words(&[2, 8, 1, 9, 2]), "BATCH_FORGET node 4 node 8 count 1 node 9 count 2"
)]
#[case::too_many(42, words(&[3, 8, 1]), "BATCH_FORGET node 4 node 8 count 1 and 2 more")]
fn what_is_given_back_has_no_reply(#[case] op: u32, #[case] body: Vec<u8>, #[case] want: &str) {
    assert_eq!(shown(op, 4, &body, Some(&[])), want);
}

#[rstest]
#[case::found(entry(2, &[]), "node 2")]
#[case::backed(entry(0, &Entry::Backing { fd: 1 }.encode()), "node 0 backing 1")]
#[case::removed(entry(2, &Entry::RemoveBacking.encode()), "node 2 remove-backing")]
#[case::malformed(entry(2, &[9; ENTRY_LEN]), "node 2 (unknown entry type 151587081)")]
#[case::too_long(entry(2, &[0; 3]), "node 2 and 3 bytes more")]
#[case::refused(reply(-2, &[]), "ENOENT")]
#[case::short(vec![1, 2], "a reply without a header")]
fn a_reply_is_told(#[case] bytes: Vec<u8>, #[case] want: &str) {
    let want = format!("LOOKUP node 1 \"f\" -> {want}");
    assert_eq!(shown(1, 1, b"f\0", Some(&bytes)), want);
}

#[test]
fn one_without_a_reply_says_so() {
    assert_eq!(shown(3, 1, b"", None), "GETATTR node 1 -> not answered");
}

#[test]
fn a_late_reply_says_how_late() {
    let mut log = RequestLog::new(1);
    let ticket = log.arrived(Instant::now(), 1, 1, b"f\0".to_vec());
    log.answered(ticket, reply(-5, &[]), Some(Duration::from_millis(50)));
    let text = log.requests().entries[0].to_string();
    assert_eq!(text, "LOOKUP node 1 \"f\" -> EIO after 50 ms");
}

#[test]
fn the_newest_are_kept_and_the_rest_counted() {
    let mut log = RequestLog::new(2);
    let now = Instant::now();
    let tickets: Vec<u64> = (1..=5)
        .map(|node| log.arrived(now, 3, node, vec![]))
        .collect();
    for ticket in tickets {
        log.answered(ticket, reply(0, &[]), None);
    }
    let kept = log.requests();
    assert_eq!(kept.dropped, 3);
    let texts: Vec<String> = kept.entries.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["GETATTR node 4 -> ok", "GETATTR node 5 -> ok"]);
    log.clear();
    assert_eq!(log.requests(), Requests::default());
}
