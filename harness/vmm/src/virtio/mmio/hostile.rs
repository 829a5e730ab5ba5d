//! The registers against a driver that writes any of them.

use proptest::collection::vec;
use proptest::prelude::*;
use virtio_bindings::virtio_config::*;
use virtio_queue::QueueT;
use vm_memory::{GuestAddress, GuestMemory};

use super::bench::{Bench, OFFERED};
use super::*;
use crate::virtio::device::ActiveQueue;

/// An offset, a value, and how many bytes of it.
type Write = (u64, u64, usize);

fn write() -> impl Strategy<Value = Write> {
    let register = prop_oneof![
        4 => (0..0x40u64).prop_map(|word| 4 * word),
        4 => proptest::sample::select(&[0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x70, 0x70][..]),
        1 => any::<u64>(),
    ];
    let value = prop_oneof![
        6 => proptest::sample::select(&[0, 1, 2, 3, 8, 11, 15, 16, 0x1000, 0x2000][..]),
        1 => any::<u64>(),
    ];
    let width = prop_oneof![9 => Just(4), 1 => 0..=8usize];
    (register, value, width)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_device_starts_only_as_agreed(started in any::<bool>(), writes in vec(write(), 0..60)) {
        let mut bench = Bench::new();
        if started {
            bench.steps(&[1, 3]).accept(OFFERED).steps(&[11]);
        }
        for (offset, value, width) in writes {
            bench.mmio.mmio_write(MmioAddress(0), offset, &value.to_le_bytes()[..width]);
            let mut data = vec![0xff; width];
            bench.mmio.mmio_read(MmioAddress(0), offset, &mut data);

            let status = bench.status();
            let ok = VIRTIO_CONFIG_S_FEATURES_OK;
            prop_assert!(status & VIRTIO_CONFIG_S_DRIVER_OK == 0 || status & ok != 0);
            let memory = bench.memory.clone();
            let interrupt = bench.mmio.interrupt().clone();
            bench.fake.with(|seen| {
                let Some(activation) = &seen.activation else {
                    return Ok(());
                };
                prop_assert!(!interrupt.is_broken());
                prop_assert_eq!(activation.features & !OFFERED, 0);
                prop_assert!(activation.features & (1 << VIRTIO_F_VERSION_1) != 0);
                for ActiveQueue { queue, .. } in &activation.queues {
                    if queue.ready() {
                        let table = GuestAddress(queue.desc_table());
                        let len = 16 * usize::from(queue.size());
                        prop_assert!(memory.check_range(table, len));
                    }
                }
                Ok(())
            })?;
        }
        bench.mmio.interrupt().acknowledge(VIRTIO_MMIO_INT_VRING);
        let state = bench.mmio.save().unwrap();
        bench.mmio.resume().unwrap();
        let mut copy = Bench::on(&bench.memory);
        copy.mmio.restore(&state).unwrap();
        // A restored device always says that it may have used something.
        copy.mmio.interrupt().acknowledge(VIRTIO_MMIO_INT_VRING);
        prop_assert_eq!(copy.mmio.save().unwrap(), state);
        prop_assert!(bench.complaints.text().lines().count() <= 101);
    }
}
