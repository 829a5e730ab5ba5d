//! Whole requests in guest memory, against a real directory.

use std::os::unix::fs::symlink;

use lookback_wire::fuse::{Entry, FUSE_BACKING_LOOKUP, parse_entries};
use lookback_wire::rules::{LookupRule, Rules};
use proptest::prelude::*;
use rstest::rstest;
use tempfile::TempDir;
use virtio_queue::{Queue, QueueT};
use virtiofsd::fuse::EntryOut;
use virtiofsd::passthrough::read_only::PassthroughFsRo;
use virtiofsd::passthrough::{Config, PassthroughFs};
use vm_memory::{ByteValued, GuestAddress};

use super::*;
use crate::counters::bypass_violations;

const TABLE: u64 = 0;
const AVAIL: u64 = 0x1000;
const USED: u64 = 0x2000;
const BUFFERS: u64 = 0x4000;
const MEMORY: usize = 0x20_0000;
const NEXT: u16 = 1;
const WRITE: u16 = 2;

const GETATTR: u32 = 3;
const MKDIR: u32 = 9;
const RENAME: u32 = 12;
const READ: u32 = 15;
const READDIRPLUS: u32 = 44;

/// A guest that puts one request at a time into its memory.
struct Guest {
    memory: Arc<Memory>,
}

impl Guest {
    fn new() -> Self {
        let ranges = [(GuestAddress(0), MEMORY)];
        Self {
            memory: Arc::new(Memory::from_ranges(&ranges).unwrap()),
        }
    }

    /// A chain of `(address, length, flags)`; NEXT is added.
    fn raw_chain(&self, descriptors: &[(u64, u32, u16)]) -> DescriptorChain<Arc<Memory>> {
        for (i, &(addr, len, flags)) in descriptors.iter().enumerate() {
            let last = i + 1 == descriptors.len();
            let mut raw = Vec::new();
            raw.extend_from_slice(&addr.to_le_bytes());
            raw.extend_from_slice(&len.to_le_bytes());
            raw.extend_from_slice(&(flags | if last { 0 } else { NEXT }).to_le_bytes());
            raw.extend_from_slice(&u16::try_from(i + 1).unwrap().to_le_bytes());
            let at = TABLE + 16 * u64::try_from(i).unwrap();
            self.memory.write_slice(&raw, GuestAddress(at)).unwrap();
        }
        // flags, idx, ring[0]
        self.memory
            .write_slice(&[0, 0, 1, 0, 0, 0], GuestAddress(AVAIL))
            .unwrap();
        let mut queue = Queue::new(16).unwrap();
        queue.set_desc_table_address(Some(u32::try_from(TABLE).unwrap()), Some(0));
        queue.set_avail_ring_address(Some(u32::try_from(AVAIL).unwrap()), Some(0));
        queue.set_used_ring_address(Some(u32::try_from(USED).unwrap()), Some(0));
        queue.set_ready(true);
        queue
            .pop_descriptor_chain(Arc::clone(&self.memory))
            .unwrap()
    }

    /// The request in one readable buffer, one writable buffer per length.
    fn chain(&self, request: &[u8], room: &[usize]) -> DescriptorChain<Arc<Memory>> {
        self.memory
            .write_slice(request, GuestAddress(BUFFERS))
            .unwrap();
        let mut at = BUFFERS + u64::try_from(request.len()).unwrap();
        let mut descriptors = vec![(BUFFERS, u32::try_from(request.len()).unwrap(), 0)];
        for &len in room {
            // Not adjacent: what is written past the end is seen.
            at += 64;
            descriptors.push((at, u32::try_from(len).unwrap(), WRITE));
            at += u64::try_from(len).unwrap();
        }
        self.raw_chain(&descriptors)
    }

    fn call<F: HostFs>(&self, service: &Service<F>, request: &[u8], room: &[usize]) -> Vec<u8> {
        let chain = self.chain(request, room);
        let used = done(&service.handle(&self.memory, &chain));
        read_back(&self.memory, &chain, used).unwrap()
    }
}

/// The length in the used ring of a request that is done.
fn done(served: &Served) -> usize {
    match served {
        Served::Done { used } => usize::try_from(*used).unwrap(),
        Served::Late { .. } => panic!("{served:?}"),
    }
}

fn request(opcode: u32, nodeid: u64, body: &[u8]) -> Vec<u8> {
    let header = InHeader {
        len: u32::try_from(size_of::<InHeader>() + body.len()).unwrap(),
        opcode,
        unique: 7,
        nodeid,
        ..InHeader::default()
    };
    [header.as_slice(), body].concat()
}

/// INIT as Linux 6.12 sends it, with everything on offer.
fn init(flags2: u32) -> Vec<u8> {
    let mut body = [0; init::IN_LEN];
    for (word, value) in body
        .chunks_exact_mut(4)
        .zip([7, 41, 131_072, !(1 << 31), flags2])
    {
        word.copy_from_slice(&value.to_ne_bytes());
    }
    request(opcode::INIT, 0, &body)
}

const BACKING_BIT: u32 = 1 << 28;

fn offers_everything() -> u32 {
    assert_eq!(FUSE_BACKING_LOOKUP, u64::from(BACKING_BIT) << 32);
    u32::MAX
}

fn error(reply: &[u8]) -> i32 {
    i32::from_ne_bytes(reply[4..8].try_into().unwrap())
}

fn nodeid(reply: &[u8]) -> u64 {
    u64::from_ne_bytes(reply[16..24].try_into().unwrap())
}

fn config(share: &TempDir) -> Config {
    Config {
        root_dir: share.path().to_str().unwrap().to_owned(),
        xattr: true,
        ..Config::default()
    }
}

/// stack/, dir/file, link -> nowhere
fn share() -> TempDir {
    let share = tempfile::tempdir().unwrap();
    std::fs::create_dir(share.path().join("stack")).unwrap();
    std::fs::create_dir(share.path().join("dir")).unwrap();
    std::fs::write(share.path().join("dir/file"), "content").unwrap();
    symlink("nowhere", share.path().join("link")).unwrap();
    share
}

struct Bench {
    guest: Guest,
    service: Service<PassthroughFs>,
    shared: Arc<Shared>,
    share: TempDir,
}

impl Bench {
    fn new(offer_backing: bool, lookup: Vec<LookupRule>) -> Self {
        let share = share();
        Self::of(share, offer_backing, Rules::from(lookup))
    }

    fn of(share: TempDir, offer_backing: bool, rules: Rules) -> Self {
        let shared = Arc::new(Shared::new(rules, 16));
        let fs = PassthroughFs::new(config(&share)).unwrap();
        Self {
            guest: Guest::new(),
            service: Service::new(fs, Arc::clone(&shared), offer_backing),
            shared,
            share,
        }
    }

    fn call(&self, request: &[u8], room: &[usize]) -> Vec<u8> {
        self.guest.call(&self.service, request, room)
    }

    /// Mounts as a guest with the extension.
    fn mounted(self) -> Self {
        let reply = self.call(&init(offers_everything()), &[16, 64]);
        assert_eq!(error(&reply), 0);
        self
    }

    fn lookup(&self, parent: u64, name: &str, room: usize) -> Vec<u8> {
        let name = [name.as_bytes(), b"\0"].concat();
        self.call(&request(opcode::LOOKUP, parent, &name), &[16, room - 16])
    }
}

fn stack(nodeid: Option<u64>) -> LookupRule {
    LookupRule {
        path: "stack".into(),
        backing: Some(1),
        nodeid,
        ..LookupRule::default()
    }
}

/// What virtiofsd itself answers to the same bytes.
fn of_virtiofsd(request: &[u8], room: &[usize]) -> Vec<u8> {
    let share = share();
    let guest = Guest::new();
    let server = Server::new(PassthroughFs::new(config(&share)).unwrap());
    let chain = guest.chain(request, room);
    let reader = Reader::new(&guest.memory, chain.clone()).unwrap();
    let writer = Writer::new(&guest.memory, chain.clone()).unwrap();
    let used = server
        .handle_message(reader, writer, None::<&mut ()>)
        .unwrap();
    read_back(&guest.memory, &chain, used).unwrap()
}

#[rstest]
#[case::old_guest(true, !BACKING_BIT)]
#[case::no_flags2(true, 0)]
#[case::not_offered_by_us(false, u32::MAX)]
fn without_the_extension_init_is_answered_as_by_virtiofsd(
    #[case] offer_backing: bool,
    #[case] flags2: u32,
) {
    let bench = Bench::new(offer_backing, vec![stack(Some(0))]);
    let ours = bench.call(&init(flags2), &[16, 64]);
    assert_eq!(ours, of_virtiofsd(&init(flags2), &[16, 64]));
    // And the rule's entry stays out of LOOKUP.
    let reply = bench.lookup(1, "stack", 192);
    assert_eq!((reply.len(), error(&reply)), (144, 0));
    assert_ne!(nodeid(&reply), 0);
    assert!(bench.shared.counters().backed.is_empty());
}

#[test]
fn with_the_extension_init_says_so() {
    let bench = Bench::new(true, vec![]);
    let mut theirs = of_virtiofsd(&init(u32::MAX), &[16, 64]);
    assert!(init::accept(&mut theirs));
    // In descriptors of any shape: the edit follows the chain.
    for room in [&[16, 64][..], &[80], &[10, 30, 40], &[16, 64, 100]] {
        assert_eq!(bench.call(&init(u32::MAX), room), theirs);
    }
}

#[test]
fn an_old_guest_s_mount_ends_what_a_new_one_negotiated() {
    let bench = Bench::new(true, vec![stack(None)]).mounted();
    assert_eq!(bench.lookup(1, "stack", 192).len(), 168);
    bench.call(&init(0), &[16, 64]);
    assert_eq!(bench.lookup(1, "stack", 192).len(), 144);
}

#[test]
fn a_kernel_owned_entry_leaves_nothing_behind() {
    let bench = Bench::new(true, vec![stack(Some(0))]).mounted();
    let reply = bench.lookup(1, "stack", 192);
    assert_eq!((reply.len(), nodeid(&reply)), (168, 0));
    assert_eq!(
        parse_entries(&reply[144..]).unwrap(),
        [Entry::Backing { fd: 1 }]
    );
    let counters = bench.shared.counters();
    assert!(counters.lookups.is_empty(), "{counters:?}");
    assert_eq!(counters.backed.iter().collect::<Vec<_>>(), [&0]);
    assert_eq!(counters.root_lookups["stack"], 1);
    assert_eq!(bypass_violations(&counters), []);
    drop(counters);
    // The passthrough's reference is gone: the next LOOKUP makes a new inode.
    bench.shared.set_rules(Rules::default());
    let first = nodeid(&bench.lookup(1, "stack", 192));
    let again = nodeid(&bench.lookup(1, "stack", 192));
    assert_eq!(first, again);
    assert_eq!(first, 3);
}

#[test]
fn a_request_for_a_backed_inode_is_a_violation() {
    let bench = Bench::new(true, vec![stack(None)]).mounted();
    let backed = nodeid(&bench.lookup(1, "stack", 192));
    assert_eq!(bypass_violations(&bench.shared.counters()), []);
    bench.call(&request(GETATTR, backed, &[0; 16]), &[16, 104]);
    let found = bypass_violations(&bench.shared.counters());
    assert_eq!(found.len(), 1, "{found:?}");
}

#[rstest]
#[case::too_small_for_an_entry(167, 144)]
#[case::enough(168, 168)]
fn the_chain_s_room_decides(#[case] room: usize, #[case] len: usize) {
    let bench = Bench::new(true, vec![stack(Some(0))]).mounted();
    let reply = bench.lookup(1, "stack", room);
    assert_eq!(reply.len(), len);
    assert_eq!(nodeid(&reply) == 0, len == 168);
}

#[test]
fn rules_name_paths_wherever_the_directory_went() {
    let rule = |path: &str| LookupRule {
        path: path.into(),
        backing: Some(3),
        ..LookupRule::default()
    };
    let bench = Bench::new(true, vec![rule("made/by/file"), rule("dir/file")]).mounted();
    let dir = nodeid(&bench.lookup(1, "dir", 192));
    assert_eq!(bench.lookup(dir, "file", 192).len(), 168);

    let mode = [0x1ed_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat();
    let mkdir = [&mode[..], b"made\0"].concat();
    let made = nodeid(&bench.call(&request(MKDIR, 1, &mkdir), &[16, 128]));
    let rename = [&made.to_ne_bytes()[..], b"dir\0by\0"].concat();
    assert_eq!(error(&bench.call(&request(RENAME, 1, &rename), &[16])), 0);
    assert_eq!(bench.lookup(dir, "file", 192).len(), 168);
    bench.shared.set_rules(Rules::from(vec![rule("dir/file")]));
    assert_eq!(bench.lookup(dir, "file", 192).len(), 144);
}

#[test]
fn references_balance_over_lookup_readdirplus_and_forget() {
    let bench = Bench::new(false, vec![]).mounted();
    let open = bench.call(&request(27, 1, &[0; 8]), &[16, 16]);
    let handle = &open[16..24];
    let body = [handle, &[0; 8], &4096_u32.to_ne_bytes(), &[0; 20]].concat();
    let listing = bench.call(&request(READDIRPLUS, 1, &body), &[16, 4096]);
    assert!(listing.len() > 16);
    let dir = nodeid(&bench.lookup(1, "dir", 192));
    let granted = bench.shared.counters().lookups.clone();
    assert_eq!(granted.values().sum::<u64>(), 4, "{granted:?}");
    assert_eq!(granted[&dir], 2);
    for (&nodeid, &count) in &granted {
        let reply = bench.call(&request(opcode::FORGET, nodeid, &count.to_ne_bytes()), &[]);
        assert!(reply.is_empty());
    }
    assert_eq!(bench.shared.counters().imbalances(), []);
    assert_eq!(bench.shared.names().path(dir, b"x"), None);
}

#[test]
fn the_rest_is_virtiofsd_s_answer() {
    let bench = Bench::new(false, vec![]).mounted();
    let reply = bench.lookup(1, "nothing", 192);
    assert_eq!((reply.len(), error(&reply)), (16, -libc::ENOENT));
    let reply = bench.lookup(1, "link", 192);
    let entry = EntryOut::from_slice(&reply[16..144]).copied();
    // Alignment permitting; the bytes are what counts.
    if let Some(entry) = entry {
        assert_eq!(entry.attr.mode & libc::S_IFMT, libc::S_IFLNK);
    }
    let link = bench.call(&request(5, nodeid(&reply), &[]), &[16, 4096]);
    assert_eq!(&link[16..], b"nowhere");
    let unknown = bench.call(&request(4000, 1, &[]), &[16]);
    assert_eq!(error(&unknown), -libc::ENOSYS);
}

#[test]
fn destroy_is_answered_with_a_header() {
    let bench = Bench::new(true, vec![stack(None)]).mounted();
    let reply = bench.call(&request(opcode::DESTROY, 0, &[]), &[16]);
    assert_eq!(reply, bare(0, 7));
    // The connection is over, and with it what was negotiated.
    assert_eq!(error(&bench.lookup(1, "stack", 192)), -libc::EBADF);
}

#[rstest]
#[case::no_terminator(b"stack", libc::EINVAL)]
#[case::two_names(b"a\0b\0", libc::EINVAL)]
#[case::nothing(b"", libc::EINVAL)]
#[case::slash(b"dir/file\0", libc::EINVAL)]
#[case::empty(b"\0", libc::ENOENT)]
fn names_are_checked(#[case] name: &[u8], #[case] errno: i32) {
    let bench = Bench::new(true, vec![]).mounted();
    let reply = bench.call(&request(opcode::LOOKUP, 1, name), &[16, 176]);
    assert_eq!((reply.len(), error(&reply)), (16, -errno));
}

#[rstest]
#[case(2000, libc::ENAMETOOLONG)]
#[case(300, libc::ENAMETOOLONG)]
fn long_names(#[case] len: usize, #[case] errno: i32) {
    let bench = Bench::new(true, vec![]).mounted();
    let reply = bench.lookup(1, &"n".repeat(len), 192);
    assert_eq!(error(&reply), -errno);
}

#[rstest]
#[case::read_without_room_for_a_header(READ, &[8])]
#[case::readdirplus_without_room(READDIRPLUS, &[])]
#[case::getattr_without_room(GETATTR, &[15])]
#[case::lookup_without_room(opcode::LOOKUP, &[3, 4])]
#[case::init_without_room(opcode::INIT, &[])]
fn a_reply_without_room_is_none(#[case] opcode: u32, #[case] room: &[usize]) {
    let bench = Bench::new(true, vec![]).mounted();
    let reply = bench.call(&request(opcode, 1, &[0; 64]), room);
    assert!(reply.is_empty());
}

#[test]
fn nothing_is_done_that_can_t_be_answered() {
    let bench = Bench::new(true, vec![]).mounted();
    let mkdir = [&[0; 8][..], b"made\0"].concat();
    bench.call(&request(MKDIR, 1, &mkdir), &[15]);
    assert!(!bench.share.path().join("made").exists());
}

#[test]
fn a_readonly_share_is_looked_up_and_not_changed() {
    let share = share();
    let fs = PassthroughFsRo::new(config(&share)).unwrap();
    let service = Service::new(fs, Arc::new(Shared::default()), true);
    let guest = Guest::new();
    guest.call(&service, &init(u32::MAX), &[16, 64]);
    let found = guest.call(&service, &request(opcode::LOOKUP, 1, b"dir\0"), &[16, 176]);
    assert_eq!(error(&found), 0);
    let mkdir = [&[0; 8][..], b"made\0"].concat();
    let refused = guest.call(&service, &request(MKDIR, 1, &mkdir), &[16, 128]);
    assert_eq!(error(&refused), -libc::EROFS);
}

#[test]
fn a_lookup_that_can_t_be_answered_takes_no_reference() {
    let bench = Bench::new(true, vec![]).mounted();
    let reply = bench.lookup(1, "stack", 143);
    assert_eq!(error(&reply), -libc::EINVAL);
    assert!(bench.shared.counters().lookups.is_empty());
}

#[rstest]
#[case::outside_memory(&[(0x4000_0000, 40, 0), (BUFFERS, 80, WRITE)])]
#[case::across_the_end(&[(0x1f_fff0, 40, 0), (BUFFERS, 80, WRITE)])]
#[case::reply_outside(&[(BUFFERS, 104, 0), (u64::MAX - 8, 80, WRITE)])]
#[case::only_writable(&[(BUFFERS, 80, WRITE)])]
#[case::shorter_than_a_header(&[(BUFFERS, 39, 0), (BUFFERS + 64, 80, WRITE)])]
fn descriptors_are_checked(#[case] descriptors: &[(u64, u32, u16)]) {
    let bench = Bench::new(true, vec![]);
    bench
        .guest
        .memory
        .write_slice(&init(u32::MAX), GuestAddress(BUFFERS))
        .unwrap();
    let chain = bench.guest.raw_chain(descriptors);
    assert_eq!(done(&bench.service.handle(&bench.guest.memory, &chain)), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // Whatever a guest sends, it gets an answer no longer than its buffers
    // and the next request is served.
    #[test]
    fn any_request_is_survived(
        opcode in prop_oneof![0_u32..56, any::<u32>()],
        nodeid in prop_oneof![0_u64..6, any::<u64>()],
        lie in proptest::option::of(any::<u32>()),
        body in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..160),
        room in proptest::collection::vec(0_usize..200, 0..4),
    ) {
        let bench = Bench::new(true, vec![stack(Some(0))]).mounted();
        let mut request = request(opcode, nodeid, &body);
        if let Some(len) = lie {
            request[..4].copy_from_slice(&len.to_ne_bytes());
        }
        let reply = bench.call(&request, &room);
        prop_assert!(reply.len() <= room.iter().sum());
        let after = bench.call(&init(u32::MAX), &[16, 64]);
        prop_assert_eq!(error(&after), 0);
        prop_assert_eq!(bench.lookup(1, "stack", 192).len(), 168);
    }
}

mod rules;

#[test]
fn requests_are_written_down_with_their_replies() {
    let bench = Bench::new(true, vec![stack(Some(0))]).mounted();
    bench.lookup(1, "stack", 192);
    bench.lookup(1, "nothing", 192);
    bench.call(&request(MKDIR, 1, b"\0\0\0\0\0\0\0\0new\0"), &[16, 128]);
    bench.call(&request(opcode::FORGET, 9, &2_u64.to_ne_bytes()), &[]);
    let log = bench.shared.log().unwrap().requests();
    let texts: Vec<String> = log.entries.iter().map(ToString::to_string).collect();
    let [init, stack, nothing, mkdir, forget] = &texts[..] else {
        panic!("{texts:?}")
    };
    assert_eq!(init, "INIT node 0 -> ok");
    assert_eq!(stack, "LOOKUP node 1 \"stack\" -> node 0 backing 1");
    assert_eq!(nothing, "LOOKUP node 1 \"nothing\" -> ENOENT");
    assert!(
        mkdir.starts_with("MKDIR node 1 \"new\" -> node "),
        "{mkdir}"
    );
    assert_eq!(forget, "FORGET node 9 count 2");
    assert_eq!(log.dropped, 0);
    assert!(log.entries.is_sorted_by_key(|entry| entry.at));
    bench.shared.reset();
    assert_eq!(
        bench.shared.log().unwrap().requests(),
        crate::Requests::default()
    );
}
