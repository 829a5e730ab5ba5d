//! What each key of a rule makes of a LOOKUP, in guest memory.

use lookback_wire::fuse::OUT_HEADER_LEN;

use super::*;

const ROOM: usize = 192;
/// Where in guest memory the reply to LOOKUP of a name of five bytes begins.
const SETATTR: u32 = 4;
const OPEN: u32 = 14;

fn rules(lookup: &str) -> Rules {
    let rules: Rules = toml::from_str(lookup).unwrap();
    rules.check().unwrap();
    rules
}

fn bench(lookup: &str) -> Bench {
    Bench::of(share(), true, rules(lookup)).mounted()
}

/// Of one rule for `stack`.
fn of(keys: &str) -> Bench {
    bench(&format!("[[lookup]]\npath = \"stack\"\n{keys}"))
}

impl Bench {
    /// The reply buffers as they are in memory, whatever the used ring says,
    /// and what it says. Bytes nobody wrote are 0xee.
    fn raw_lookup(&self, parent: u64, name: &str) -> (Vec<u8>, usize) {
        let name = [name.as_bytes(), b"\0"].concat();
        let request = request(opcode::LOOKUP, parent, &name);
        let chain = self.guest.chain(&request, &[16, ROOM - 16]);
        for descriptor in chain.clone().writable() {
            let filler = vec![0xee; usize::try_from(descriptor.len()).unwrap()];
            let memory = &self.guest.memory;
            memory.write_slice(&filler, descriptor.addr()).unwrap();
        }
        let used = done(&self.service.handle(&self.guest.memory, &chain));
        let bytes = read_back(&self.guest.memory, &chain, ROOM).unwrap();
        (bytes, used)
    }

    fn forget(&self, nodeid: u64, count: u64) {
        let body = count.to_ne_bytes();
        assert!(
            self.call(&request(opcode::FORGET, nodeid, &body), &[])
                .is_empty()
        );
    }

    fn getattr(&self, nodeid: u64) -> i32 {
        error(&self.call(&request(GETATTR, nodeid, &[0; 16]), &[16, 104]))
    }

    fn imbalances(&self) -> Vec<crate::counters::Imbalance> {
        self.shared.counters().imbalances()
    }
}

fn header_len(reply: &[u8]) -> u32 {
    u32::from_ne_bytes(reply[..4].try_into().unwrap())
}

fn entry(kind: u32, unused: u32, unused2: u64, fd: u64) -> Vec<u8> {
    [
        &kind.to_ne_bytes()[..],
        &unused.to_ne_bytes(),
        &unused2.to_ne_bytes(),
        &fd.to_ne_bytes(),
    ]
    .concat()
}

// Keys; the header's length, that in the used ring, bytes behind the entry.
#[rstest]
#[case::one("backing = 3", 168, 168, entry(1, 0, 0, 3))]
#[case::remove(
    "entries = [{ type = \"remove-backing\" }]",
    168,
    168,
    entry(3, 0, 0, 0)
)]
#[case::two(
    "entries = [{ type = \"bpf\", id = 1 }, { type = 7, unused = 5, unused2 = 6, id = 2, fd = 4294967296 }]",
    192, 192, [entry(2, 0, 0, 1), entry(7, 5, 6, 0x1_0000_0002)].concat()
)]
#[case::raw("raw = \"abcdef\"", 147, 147, vec![0xab, 0xcd, 0xef])]
#[case::header_alone("len = 16", 16, 16, vec![])]
#[case::len_143("len = 143", 143, 143, vec![])]
#[case::len_145("len = 145", 145, 145, vec![0])]
#[case::len_145_of_an_entry("backing = 1\nlen = 145", 145, 145, entry(1, 0, 0, 1))]
#[case::len_191("backing = 1\nlen = 191", 191, 191, [entry(1, 0, 0, 1), vec![0; 23]].concat())]
#[case::len_193("len = 193", 193, 192, vec![0; 48])]
#[case::len_4096("len = 4096", 4096, 192, vec![0; 48])]
#[case::longer_than_used("backing = 1\nused = 144", 168, 144, entry(1, 0, 0, 1))]
#[case::longer_than_nothing("used = 0", 144, 0, vec![])]
#[case::shorter_than_used("used = 192", 144, 192, vec![])]
#[case::used_past_the_room("used = 4096", 144, 4096, vec![])]
fn what_is_written(
    #[case] keys: &str,
    #[case] len: u32,
    #[case] used: usize,
    #[case] tail: Vec<u8>,
) {
    let bench = of(keys);
    let (bytes, in_ring) = bench.raw_lookup(1, "stack");
    assert_eq!((header_len(&bytes), in_ring), (len, used));
    assert_eq!(error(&bytes), 0);
    let end = 144 + tail.len();
    assert_eq!(bytes[144..end], tail);
    assert!(bytes[end..].iter().all(|&byte| byte == 0xee));
    // The server goes on.
    assert_eq!(error(&bench.lookup(1, "dir", ROOM)), 0);
}

#[rstest]
#[case::no_entry("errno = \"ENOENT\"", libc::ENOENT, 16)]
#[case::any_number("errno = \"524\"", 524, 16)]
#[case::with_a_body("errno = \"EIO\"\nlen = 144", libc::EIO, 144)]
fn an_error_asks_nobody(#[case] keys: &str, #[case] errno: i32, #[case] len: u32) {
    let bench = of(keys);
    let (bytes, used) = bench.raw_lookup(1, "stack");
    assert_eq!((error(&bytes), header_len(&bytes)), (-errno, len));
    assert_eq!(used, usize::try_from(len).unwrap());
    assert!(bench.shared.counters().lookups.is_empty());
}

#[rstest]
#[case::error("errno = \"EIO\"")]
#[case::too_short("len = 143")]
#[case::longer_than_used("used = 100")]
#[case::past_the_room("len = 4096")]
#[case::negative("nodeid = 0")]
fn what_names_no_inode_holds_none(#[case] keys: &str) {
    let bench = of(keys);
    bench.raw_lookup(1, "stack");
    assert_eq!(bench.imbalances(), []);
    // The file system's is gone, too: the next inode is a new one.
    bench.shared.set_rules(Rules::default());
    let after = nodeid(&bench.lookup(1, "stack", ROOM));
    assert_eq!(bench.getattr(after), 0);
    bench.forget(after, 1);
    assert_eq!(bench.getattr(after), -libc::EBADF);
}

#[rstest]
#[case::half_an_entry("raw = \"00\"")]
#[case::unknown_type("entries = [{ type = 9 }]")]
#[case::twice("entries = [{ type = 1, id = 1 }, { type = 1, id = 1 }]")]
fn what_a_guest_refuses_it_gives_back(#[case] keys: &str) {
    let bench = of(keys);
    let (bytes, _) = bench.raw_lookup(1, "stack");
    let nodeid = nodeid(&bytes);
    assert_eq!(bench.imbalances().len(), 1);
    assert!(bench.shared.counters().backed.is_empty());
    bench.forget(nodeid, 1);
    assert_eq!(bench.imbalances(), []);
}

#[test]
fn another_nodeid_is_the_same_file() {
    const NAME: u64 = 1 << 40;
    let bench = bench(
        "lookup = [{ path = \"dir\", nodeid = 1099511627776 }, { path = \"dir/file\", backing = 4 }]",
    );
    assert_eq!(nodeid(&bench.lookup(1, "dir", ROOM)), NAME);
    assert_eq!(nodeid(&bench.lookup(1, "dir", ROOM)), NAME);
    assert_eq!(bench.shared.counters().lookups, [(NAME, 2)].into());
    // Below it rules still find their way.
    let reply = bench.lookup(NAME, "file", ROOM);
    assert_eq!((error(&reply), reply.len()), (0, 168));
    let file = nodeid(&reply);
    // Requests of every shape reach the directory.
    assert_eq!(bench.getattr(NAME), 0);
    let open = bench.call(&request(27, NAME, &[0; 8]), &[16, 16]);
    assert_eq!(error(&open), 0);
    let mode = [0x1ed_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat();
    let mkdir = [&mode[..], b"made\0"].concat();
    let made = bench.call(&request(MKDIR, NAME, &mkdir), &[16, 128]);
    assert_eq!(error(&made), 0);
    assert!(bench.share.path().join("dir/made").is_dir());
    let rename = [&NAME.to_ne_bytes()[..], b"made\0moved\0"].concat();
    let renamed = bench.call(&request(RENAME, NAME, &rename), &[16]);
    assert_eq!(error(&renamed), 0);
    assert!(bench.share.path().join("dir/moved").is_dir());

    bench.forget(file, 1);
    bench.forget(nodeid(&made), 1);
    bench.forget(NAME, 1);
    assert_eq!(bench.getattr(NAME), 0);
    let batch = [
        &1_u32.to_ne_bytes()[..],
        &[0; 4],
        &NAME.to_ne_bytes(),
        &1_u64.to_ne_bytes(),
    ]
    .concat();
    bench.call(&request(opcode::BATCH_FORGET, 0, &batch), &[]);
    assert_eq!(bench.imbalances(), []);
    assert_eq!(bench.getattr(NAME), -libc::EBADF);
}

#[test]
fn a_new_mount_knows_no_old_name() {
    let bench = bench("[[lookup]]\npath = \"dir\"\nnodeid = 0x100000000\n");
    let name = nodeid(&bench.lookup(1, "dir", ROOM));
    assert_eq!(bench.getattr(name), 0);
    bench.call(&request(opcode::DESTROY, 0, &[]), &[16]);
    let bench = bench.mounted();
    assert_eq!(bench.getattr(name), -libc::EBADF);
}

#[test]
fn an_answer_changes_with_the_count() {
    let bench = bench(
        r#"
        lookup = [
            { path = "stack", to = 1, backing = 1 },
            { path = "stack", from = 2, to = 2, backing = 2 },
            { path = "stack", from = 4, errno = "ESTALE" },
        ]
        "#,
    );
    let ask = || {
        let (bytes, used) = bench.raw_lookup(1, "stack");
        match used {
            168 => Ok(u64::from_ne_bytes(bytes[160..168].try_into().unwrap())),
            144 => Ok(0),
            _ => Err(-error(&bytes)),
        }
    };
    let answers = [ask(), ask(), ask(), ask(), ask()];
    let stale = Err(libc::ESTALE);
    assert_eq!(answers, [Ok(1), Ok(2), Ok(0), stale, stale]);
    // The next case begins at one.
    bench.shared.reset();
    assert_eq!(bench.lookup(1, "stack", ROOM).len(), 168);
}

#[test]
fn a_nodeid_is_backed_until_a_reply_says_otherwise() {
    let bench = bench(
        r#"
        lookup = [
            { path = "stack", to = 1, backing = 1 },
            { path = "stack", from = 2, to = 2, entries = [{ type = "remove-backing" }] },
            { path = "stack", from = 3, backing = 1 },
        ]
        "#,
    );
    let asked = |nodeid| {
        bench.getattr(nodeid);
        let counters = bench.shared.counters();
        counters.bypassed.values().sum::<u64>()
    };
    let stack = nodeid(&bench.lookup(1, "stack", ROOM));
    assert_eq!(asked(stack), 1);
    bench.lookup(1, "stack", ROOM);
    assert_eq!(asked(stack), 1);
    bench.lookup(1, "stack", ROOM);
    assert_eq!(asked(stack), 2);
}

#[rstest]
#[case::timeouts(
    "entry_timeout_ms = 1500\nattr_timeout_ms = 250",
    16,
    [&1_u64.to_ne_bytes()[..], &0_u64.to_ne_bytes(), &500_000_000_u32.to_ne_bytes(), &250_000_000_u32.to_ne_bytes()].concat()
)]
#[case::mode("mode = \"0123\"", 100, 0o040_123_u32.to_ne_bytes().to_vec())]
#[case::attr_flags("attr_flags = 1", 124, 1_u32.to_ne_bytes().to_vec())]
fn a_field_of_the_entry(#[case] keys: &str, #[case] at: usize, #[case] bytes: Vec<u8>) {
    let reply = of(keys).lookup(1, "stack", ROOM);
    let start = OUT_HEADER_LEN + at;
    assert_eq!(reply[start..start + bytes.len()], bytes);
}

#[test]
fn the_extension_can_be_declined() {
    let lookup = "negotiate = false\n[[lookup]]\npath = \"stack\"\nbacking = 1\n";
    let bench = Bench::of(share(), true, rules(lookup));
    let reply = bench.call(&init(u32::MAX), &[16, 64]);
    assert_eq!(reply, of_virtiofsd(&init(u32::MAX), &[16, 64]));
    assert_eq!(bench.lookup(1, "stack", ROOM).len(), 144);
}

/// What the same guest asks, one request after the other.
fn requests() -> Vec<(Vec<u8>, Vec<usize>)> {
    let lookup = |parent, name: &[u8]| {
        let request = request(opcode::LOOKUP, parent, name);
        (request, vec![16, ROOM - 16])
    };
    let mut requests = vec![(init(u32::MAX), vec![16, 64])];
    for _ in 0..3 {
        for name in [&b"stack\0"[..], b"dir\0", b"link\0", b"nothing\0", b"bad"] {
            requests.push(lookup(1, name));
        }
        requests.push(lookup(3, b"file\0"));
        requests.push(lookup(0x1_0000_0001, b"file\0"));
        requests.push((request(GETATTR, 0x1_0000_0001, &[0; 16]), vec![16, 104]));
        requests.push((request(opcode::FORGET, 2, &1_u64.to_ne_bytes()), vec![]));
        requests.push((request(SETATTR, 9, &[0; 88]), vec![16, 104]));
        requests.push((request(OPEN, 9, &[0; 8]), vec![16, 16]));
    }
    requests
}

#[test]
fn same_rules_and_requests_same_answers() {
    let text = r#"
        lookup = [
            { path = "stack", to = 1, backing = 1, nodeid = 0 },
            { path = "stack", from = 2, entries = [{ type = 3 }, { type = 9, fd = 7 }] },
            { path = "dir", from = 2, nodeid = 4294967297, len = 191, used = 150 },
            { path = "dir/file", backing = 2, raw = "0102", to = 1 },
            { path = "link", errno = "EIO", len = 4096 },
            { path = "nothing", mode = "0600", from = 3, used = 3 },
        ]
    "#
    .replace("backing = 2, raw", "raw");
    // One share: its inodes' numbers and times are part of the answers.
    let share = share();
    let run = || {
        let fs = PassthroughFs::new(config(&share)).unwrap();
        let shared = Arc::new(Shared::new(rules(&text), 0));
        let service = Service::new(fs, Arc::clone(&shared), true);
        let guest = Guest::new();
        let answers: Vec<_> = requests()
            .into_iter()
            .map(|(request, room)| {
                let chain = guest.chain(&request, &room);
                let used = done(&service.handle(&guest.memory, &chain));
                let bytes = read_back(&guest.memory, &chain, room.iter().sum()).unwrap();
                (used, bytes)
            })
            .collect();
        let counters = shared.counters().clone();
        (answers, counters)
    };
    let (first, counters) = run();
    assert!(!counters.backed.is_empty() && !counters.requests.is_empty());
    assert_eq!((first, counters), run());
}
