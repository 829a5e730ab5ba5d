//! Queues that lie elsewhere than in guest memory. What the backend hears is
//! taken from the socket: it would take any address for one of ours.

use std::ops::Range;

use lookback_vmm::memory::Memory;
use lookback_vmm::virtio::{Device, DeviceError, Fs};
use proptest::prelude::*;
use rstest::rstest;
use virtio_queue::{Queue, QueueT};
use vm_memory::{FileOffset, GuestAddress};

use crate::driver::{Guest, VERSION_1};
use crate::peer::{self, Answers, Message, Peer};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Two neighbours and one apart.
const REGIONS: [Range<u64>; 3] = [0..64 * KIB, 64 * KIB..128 * KIB, MIB..MIB + 64 * KIB];

const END: u64 = 128 * KIB;

fn memory() -> Memory {
    let ranges = REGIONS.map(|range| {
        let file = tempfile::tempfile().unwrap();
        let len = range.end - range.start;
        file.set_len(len).unwrap();
        let len = usize::try_from(len).unwrap();
        (
            GuestAddress(range.start),
            len,
            Some(FileOffset::new(file, 0)),
        )
    });
    Memory::from_ranges_with_files(ranges).unwrap()
}

#[derive(Clone, Copy, Debug)]
struct Layout {
    size: u16,
    table: u64,
    avail: u64,
    used: u64,
}

impl Layout {
    /// Address and length of each part (virtio 1.2, section 2.7).
    fn parts(self) -> [(u64, u64); 3] {
        let size = u64::from(self.size);
        [
            (self.table, 16 * size),
            (self.avail, 6 + 2 * size),
            (self.used, 6 + 8 * size),
        ]
    }

    fn is_good(self) -> bool {
        self.parts().into_iter().all(|(at, len)| {
            REGIONS.iter().any(|region| {
                let end = at.checked_add(len);
                region.contains(&at) && end.is_some_and(|end| end <= region.end)
            })
        })
    }

    fn queue(self) -> Queue {
        let mut queue = Queue::new(512).unwrap();
        queue.try_set_size(self.size).unwrap();
        let parts = [self.table, self.avail, self.used].map(GuestAddress);
        queue.try_set_desc_table_address(parts[0]).unwrap();
        queue.try_set_avail_ring_address(parts[1]).unwrap();
        queue.try_set_used_ring_address(parts[2]).unwrap();
        queue.set_ready(true);
        queue
    }
}

/// Starts a device with these two queues; how that ended, and what the
/// backend has heard of it.
fn start(layouts: [Layout; 2]) -> (Result<(), DeviceError>, Vec<Message>) {
    let peer = Peer::spawn(Answers::default());
    let mut guest = Guest::new(VERSION_1);
    guest.memory = memory();
    let mut fs = Fs::connect("t", &peer.socket()).unwrap();
    let result = fs.activate(guest.activation(layouts.map(Layout::queue).into()));
    drop(fs);
    (result, peer.heard())
}

/// Every part of every queue lies in one of the regions the backend was told
/// of, and where the driver has put it.
fn assert_sound(heard: &[Message], layouts: [Layout; 2]) {
    let of = |request| {
        heard
            .iter()
            .filter(move |message| message.request == request)
    };
    let table = of(peer::SET_MEM_TABLE).next().unwrap().u64s();
    assert_eq!(table[0], 3);
    let mut seen = 0;
    for (message, layout) in of(peer::SET_VRING_ADDR).zip(layouts) {
        let [_, descriptor, used, avail, _] = message.u64s()[..] else {
            panic!("{message:?}");
        };
        for (host, (at, len)) in [descriptor, avail, used].into_iter().zip(layout.parts()) {
            assert!(
                table[1..].chunks_exact(4).any(|region| {
                    let [guest, size, user, _] = region.try_into().unwrap();
                    (user..user + size).contains(&host)
                        && host + len <= user + size
                        && host - user + guest == at
                }),
                "{host:#x} for {at:#x} of {layout:x?}, regions {table:x?}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
}

fn check(layouts: [Layout; 2]) {
    let (result, heard) = start(layouts);
    match layouts.iter().position(|layout| !layout.is_good()) {
        None => {
            result.unwrap();
            assert_sound(&heard, layouts);
            let enabled = heard.iter().filter(|m| m.request == peer::SET_VRING_ENABLE);
            assert_eq!(enabled.count(), 2);
        }
        Some(bad) => {
            let error = result.unwrap_err();
            assert!(
                matches!(error, DeviceError::Queue { index, .. } if index == bad),
                "{error}"
            );
            let wrong = [
                peer::SET_FEATURES,
                peer::SET_VRING_ADDR,
                peer::SET_VRING_KICK,
            ];
            assert!(
                !heard.iter().any(|m| wrong.contains(&m.request)),
                "{heard:x?}"
            );
        }
    }
}

const GOOD: Layout = Layout {
    size: 256,
    table: 0x1000,
    avail: 0x4000,
    used: 0x6000,
};

#[rstest]
#[case::inside(GOOD, true)]
#[case::to_the_last_byte(Layout { size: 512, table: 56 * KIB, ..GOOD }, true)]
#[case::over_into_the_neighbour(Layout { size: 512, table: 60 * KIB, ..GOOD }, false)]
#[case::table_fits(Layout { table: END - 16 * 256, ..GOOD }, true)]
#[case::table_does_not(Layout { table: END - 16 * 255, ..GOOD }, false)]
#[case::avail_fits(Layout { avail: END - 518, ..GOOD }, true)]
#[case::avail_does_not(Layout { avail: END - 516, ..GOOD }, false)]
#[case::used_fits(Layout { used: END - 2056, ..GOOD }, true)]
#[case::used_does_not(Layout { used: END - 2052, ..GOOD }, false)]
#[case::from_the_hole_into_memory(Layout { avail: MIB - 4, ..GOOD }, false)]
#[case::in_the_hole(Layout { used: MIB / 2, ..GOOD }, false)]
#[case::beyond_all(Layout { table: 1 << 40, ..GOOD }, false)]
#[case::wrapping(Layout { table: u64::MAX - 15, ..GOOD }, false)]
fn a_part_lies_in_one_region(#[case] layout: Layout, #[case] good: bool) {
    assert_eq!(layout.is_good(), good);
    check([GOOD, layout]);
    check([layout, GOOD]);
}

#[test]
fn a_queue_that_is_not_ready_is_not_spoken_of() {
    let peer = Peer::spawn(Answers::default());
    let mut guest = Guest::new(VERSION_1);
    guest.memory = memory();
    let mut fs = Fs::connect("t", &peer.socket()).unwrap();
    // What a driver left in its registers is no queue.
    let nowhere = Layout {
        table: MIB / 2,
        ..GOOD
    };
    let mut queues = [nowhere, GOOD].map(Layout::queue);
    queues[0].set_ready(false);
    fs.activate(guest.activation(queues.into())).unwrap();
    let back = fs.deactivate().unwrap();
    assert_eq!(back.len(), 2);
    drop(fs);
    let heard = peer.heard();
    let about_a_queue = heard
        .iter()
        .filter(|m| (peer::SET_VRING_NUM..=peer::SET_VRING_CALL).contains(&m.request));
    let indices: Vec<u8> = about_a_queue.map(|m| m.payload[0]).collect();
    assert_eq!(indices, [1; 6], "{heard:x?}");
}

/// Mostly about the ends of regions, where a check can be off.
fn address(align: u64) -> impl Strategy<Value = u64> {
    let ends: Vec<u64> = REGIONS.iter().flat_map(|r| [r.start, r.end]).collect();
    let near = (proptest::sample::select(ends), -0x2100_i64..0x2100)
        .prop_map(|(end, by)| end.wrapping_add_signed(by));
    let inside = proptest::sample::select(REGIONS.to_vec())
        .prop_flat_map(|region| region.start..region.end - 32 * KIB);
    prop_oneof![2 => near, 6 => inside, 1 => any::<u64>()].prop_map(move |at| at - at % align)
}

fn layout() -> impl Strategy<Value = Layout> {
    let size = (0_u32..10).prop_map(|n| 1 << n);
    (size, address(16), address(2), address(4)).prop_map(|(size, table, avail, used)| Layout {
        size,
        table,
        avail,
        used,
    })
}

proptest! {
    #[test]
    fn the_backend_never_hears_a_wild_address(layouts in [layout(), layout()]) {
        check(layouts);
    }
}
