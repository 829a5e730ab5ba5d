use rstest::rstest;
use virtio_bindings::virtio_config::*;
use vm_memory::GuestAddress;

use super::bench::*;
use super::*;
use crate::virtio::device::DeviceState;

#[rstest]
#[case::magic(VIRTIO_MMIO_MAGIC_VALUE, 0x7472_6976)]
#[case::version(VIRTIO_MMIO_VERSION, 2)]
#[case::device(VIRTIO_MMIO_DEVICE_ID, 42)]
#[case::vendor(VIRTIO_MMIO_VENDOR_ID, 0x6b62_6b6c)]
#[case::features(VIRTIO_MMIO_DEVICE_FEATURES, word(OFFERED, 0))]
#[case::queue_max(VIRTIO_MMIO_QUEUE_NUM_MAX, 16)]
#[case::queue_ready(VIRTIO_MMIO_QUEUE_READY, 0)]
#[case::interrupt(VIRTIO_MMIO_INTERRUPT_STATUS, 0)]
#[case::status(VIRTIO_MMIO_STATUS, 0)]
#[case::no_shared_memory(VIRTIO_MMIO_SHM_LEN_LOW, u32::MAX)]
#[case::no_shared_memory(VIRTIO_MMIO_SHM_LEN_HIGH, u32::MAX)]
#[case::no_shared_memory(VIRTIO_MMIO_SHM_BASE_LOW, u32::MAX)]
#[case::no_shared_memory(VIRTIO_MMIO_SHM_BASE_HIGH, u32::MAX)]
#[case::generation(VIRTIO_MMIO_CONFIG_GENERATION, 0)]
fn a_new_device_reads(#[case] register: u32, #[case] value: u32) {
    let mut bench = Bench::new();
    assert_eq!(bench.read(register), value);
    assert_eq!(bench.complaints.text(), "");
}

#[rstest]
#[case(0, word(OFFERED, 0))]
#[case(1, word(OFFERED, 1))]
#[case(2, 0)]
#[case(u32::MAX, 0)]
fn offered_features_come_in_words(#[case] select: u32, #[case] value: u32) {
    let mut bench = Bench::new();
    bench.write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, select);
    assert_eq!(bench.read(VIRTIO_MMIO_DEVICE_FEATURES), value);
}

#[rstest]
#[case(0, 16)]
#[case(1, 8)]
#[case(2, 0)]
#[case(u32::MAX, 0)]
fn queues_are_selected(#[case] select: u32, #[case] largest: u32) {
    let mut bench = Bench::new();
    bench.write(VIRTIO_MMIO_QUEUE_SEL, select);
    assert_eq!(bench.read(VIRTIO_MMIO_QUEUE_NUM_MAX), largest);
    assert_eq!(bench.read(VIRTIO_MMIO_QUEUE_READY), 0);
}

#[rstest]
#[case(0, 1, &[1])]
#[case(2, 2, &[3, 4])]
#[case(4, 4, &[5, 6, 7, 8])]
#[case(0, 8, &CONFIG)]
#[case(6, 4, &[7, 8, 0, 0])]
#[case(0xef8, 8, &[0; 8])]
fn configuration_is_read_by_1_2_4_and_8(
    #[case] offset: u64,
    #[case] len: usize,
    #[case] expected: &[u8],
) {
    let mut bench = Bench::new();
    let mut data = vec![0xff; len];
    let offset = u64::from(VIRTIO_MMIO_CONFIG) + offset;
    bench.mmio.mmio_read(BASE, offset, &mut data);
    assert_eq!(data, expected);
    assert_eq!(bench.complaints.text(), "");
}

#[rstest]
#[case::narrow(0, 1)]
#[case::narrow(0, 2)]
#[case::wide(0, 8)]
#[case::empty(0, 0)]
#[case::unaligned(1, 4)]
#[case::write_only(0x50, 4)]
#[case::gap(0x54, 4)]
#[case::legacy(0x40, 4)]
#[case::odd_width_of_configuration(0x100, 3)]
#[case::far(u64::MAX, 4)]
fn odd_accesses_read_zeros_and_are_complained_about_once(#[case] offset: u64, #[case] len: usize) {
    let mut bench = Bench::new();
    for _ in 0..3 {
        let mut data = vec![0xff; len];
        bench.mmio.mmio_read(BASE, offset, &mut data);
        assert_eq!(data, vec![0; len]);
        bench.mmio.mmio_write(BASE, 0xfc, &[1, 2, 3, 4]);
        bench.mmio.mmio_write(BASE, 0x70, &[1]);
        bench.mmio.mmio_write(BASE, 0x101, &[1]);
    }
    assert_eq!(bench.status(), 0);
    assert_eq!(bench.complaints.text().lines().count(), 1);
}

#[test]
fn a_driver_goes_through_to_the_end() {
    let mut bench = Bench::new();
    bench.bring_up(OFFERED);
    assert_eq!(bench.status(), DRIVER_OK);
    assert_eq!(bench.complaints.text(), "");
    let driver = bench.driver(0);
    bench.fake.with(|seen| {
        let activation = seen.activation.as_ref().unwrap();
        assert_eq!(activation.features, OFFERED);
        assert_eq!(activation.queues.len(), 2);
        let queue = &activation.queues[0].queue;
        assert_eq!(
            (
                queue.size(),
                queue.desc_table(),
                queue.avail_ring(),
                queue.used_ring()
            ),
            (16, driver.table(), driver.avail(), driver.used())
        );
        assert!(queue.ready() && queue.event_idx_enabled());
    });
    bench.write(VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_eq!(bench.read(VIRTIO_MMIO_QUEUE_READY), 1);
}

#[test]
fn event_index_is_the_drivers_choice() {
    let mut bench = Bench::new();
    bench.bring_up(VERSION_1);
    bench.fake.with(|seen| {
        let activation = seen.activation.as_ref().unwrap();
        assert!(!activation.queues[0].queue.event_idx_enabled());
    });
}

#[rstest]
#[case::not_offered(OFFERED | 1, "not offered: 0x1")]
#[case::not_offered_high(OFFERED | 1 << 63, "not offered: 0x8000000000000000")]
#[case::legacy(0b10, "VIRTIO_F_VERSION_1")]
#[case::none(0, "VIRTIO_F_VERSION_1")]
fn features_ok_is_not_kept(#[case] features: u64, #[case] complaint: &str) {
    let mut bench = Bench::new();
    bench.negotiate(features);
    assert_eq!(bench.status(), DRIVER);
    assert!(bench.complaints.text().contains(complaint));
    bench.steps(&[DRIVER_OK]);
    assert_eq!(bench.status(), DRIVER);
    assert_eq!(bench.activations(), 0);
}

#[rstest]
#[case::skips_all(&[DRIVER_OK & !FEATURES_OK], 0)]
#[case::skips_acknowledge(&[VIRTIO_CONFIG_S_DRIVER], 0)]
#[case::skips_features(&[ACK, DRIVER, DRIVER | VIRTIO_CONFIG_S_DRIVER_OK], DRIVER)]
#[case::backwards(&[ACK, DRIVER, ACK], DRIVER)]
#[case::unknown_bit(&[ACK, DRIVER | 0x10], ACK)]
#[case::wide(&[ACK, DRIVER | 0x100], ACK)]
#[case::reset(&[ACK, DRIVER, 0], 0)]
#[case::failed(&[ACK, ACK | VIRTIO_CONFIG_S_FAILED], ACK | VIRTIO_CONFIG_S_FAILED)]
fn status_goes_one_way(#[case] steps: &[u32], #[case] end: u32) {
    let mut bench = Bench::new();
    bench.accept(VERSION_1).steps(steps);
    assert_eq!(bench.status(), end);
    assert_eq!(bench.activations(), 0);
}

#[test]
fn features_are_final_once_agreed_on() {
    let mut bench = Bench::new();
    bench.negotiate(VERSION_1).accept(OFFERED);
    bench.bring_up(OFFERED);
    bench.fake.with(|seen| {
        assert_eq!(seen.activation.as_ref().unwrap().features, VERSION_1);
    });
    assert!(bench.complaints.text().contains("agreed on"));
}

#[rstest]
#[case::table(8, 0x10000, 0x2000, 0x3000, "descriptor table")]
#[case::table_over_the_end(8, 0xffc0, 0x2000, 0x3000, "descriptor table")]
#[case::table_far(8, u64::MAX - 0xf, 0x2000, 0x3000, "descriptor table")]
#[case::avail(8, 0x1000, 0xfffe, 0x3000, "available ring")]
#[case::used(8, 0x1000, 0x2000, 0x1_0000_0000, "used ring")]
#[case::used_over_the_end(8, 0x1000, 0x2000, 0xfffc, "used ring")]
fn a_queue_outside_of_memory_is_not_started(
    #[case] size: u32,
    #[case] table: u64,
    #[case] avail: u64,
    #[case] used: u64,
    #[case] complaint: &str,
) {
    let mut bench = Bench::new();
    bench
        .negotiate(OFFERED)
        .set_up(1, size, table, avail, used)
        .steps(&[DRIVER_OK]);
    assert_eq!(bench.status(), DRIVER_OK | NEEDS_RESET);
    assert_eq!(bench.activations(), 0);
    let text = bench.complaints.text();
    assert!(
        text.contains("queue 1") && text.contains(complaint),
        "{text}"
    );
    assert_eq!(
        bench.read(VIRTIO_MMIO_INTERRUPT_STATUS),
        VIRTIO_MMIO_INT_CONFIG
    );
    assert_eq!(bench.mmio.interrupt().line().read().unwrap(), 1);

    bench.steps(&[0]);
    assert_eq!(bench.status(), 0);
    bench.bring_up(OFFERED);
    assert_eq!((bench.status(), bench.activations()), (DRIVER_OK, 1));
}

#[test]
fn a_queue_across_a_hole_is_not_started() {
    let ranges = [(GuestAddress(0), 0x8000), (GuestAddress(0x9000), 0x8000)];
    let mut bench = Bench::on(&Memory::from_ranges(&ranges).unwrap());
    // Its last byte is in memory.
    bench
        .negotiate(OFFERED)
        .set_up(0, 16, 0x8000 - 0x10, 0x2000, 0x3000)
        .write(VIRTIO_MMIO_QUEUE_SEL, 0)
        .steps(&[DRIVER_OK]);
    assert_eq!(bench.activations(), 0);
}

#[rstest]
#[case::size_not_a_power(VIRTIO_MMIO_QUEUE_NUM, 7)]
#[case::size_zero(VIRTIO_MMIO_QUEUE_NUM, 0)]
#[case::size_above_the_largest(VIRTIO_MMIO_QUEUE_NUM, 32)]
#[case::size_beyond_16_bits(VIRTIO_MMIO_QUEUE_NUM, 0x10008)]
#[case::table_unaligned(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x1008)]
#[case::avail_unaligned(VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x1001)]
#[case::used_unaligned(VIRTIO_MMIO_QUEUE_USED_LOW, 0x1002)]
fn impossible_queue_values_are_refused(#[case] register: u32, #[case] value: u32) {
    let mut bench = Bench::new();
    bench.negotiate(OFFERED).write(register, value);
    let before = Queue::new(16).unwrap().state();
    assert_eq!(bench.mmio.queues[0].state(), before);
    assert_eq!(bench.complaints.text().lines().count(), 1);
}

#[rstest]
#[case::before_features(&[ACK, DRIVER])]
#[case::in_use(&[ACK, DRIVER, FEATURES_OK, DRIVER_OK])]
fn queues_are_set_up_in_their_time(#[case] steps: &[u32]) {
    let mut bench = Bench::new();
    bench.accept(VERSION_1).steps(steps);
    bench.set_up(0, 8, 0x1000, 0x2000, 0x3000);
    assert_eq!(
        bench.mmio.queues[0].state(),
        Queue::new(16).unwrap().state()
    );
    assert_eq!(bench.complaints.text().lines().count(), 8);
}

#[test]
fn a_ready_queue_does_not_move() {
    let mut bench = Bench::new();
    bench.negotiate(OFFERED);
    bench.set_up(0, 8, 0x1000, 0x2000, 0x3000);
    let before = bench.mmio.queues[0].state();
    bench.write(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x4000);
    assert_eq!(bench.mmio.queues[0].state(), before);
}

#[test]
fn a_device_that_refuses_needs_a_reset() {
    let mut bench = Bench::new();
    bench.fake.with(|seen| seen.refuse = true);
    bench.bring_up(OFFERED);
    assert_eq!(bench.status(), DRIVER_OK | NEEDS_RESET);
    assert!(bench.complaints.text().contains("refused"));
    // A driver adds to what it reads.
    bench.steps(&[DRIVER_OK | NEEDS_RESET | VIRTIO_CONFIG_S_FAILED]);
    assert_eq!(
        bench.status(),
        DRIVER_OK | NEEDS_RESET | VIRTIO_CONFIG_S_FAILED
    );
}

#[test]
fn reset_makes_everything_new() {
    let mut bench = Bench::new();
    bench.bring_up(OFFERED);
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    bench.mmio.interrupt().used().unwrap();
    bench.steps(&[0]);
    let seen = |seen: &mut Seen| (seen.deactivations, seen.resets);
    assert_eq!(bench.fake.with(seen), (1, 1));
    for register in [
        VIRTIO_MMIO_STATUS,
        VIRTIO_MMIO_INTERRUPT_STATUS,
        VIRTIO_MMIO_QUEUE_READY,
    ] {
        assert_eq!(bench.read(register), 0);
    }
    assert_eq!(
        bench.mmio.queues[0].state(),
        Queue::new(16).unwrap().state()
    );
    assert!(bench.mmio.kicks()[1].read().is_err(), "the kick is gone");
    // What the driver does when it lets go of the device.
    bench.write(VIRTIO_MMIO_QUEUE_READY, 0);
    assert_eq!(bench.complaints.text(), "");
    bench.steps(&[ACK, DRIVER, FEATURES_OK]);
    assert_eq!(bench.status(), DRIVER, "accepted features are forgotten");
}

#[test]
fn a_plain_write_kicks_the_queue() {
    let mut bench = Bench::new();
    bench.bring_up(OFFERED).write(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    assert_eq!(bench.mmio.kicks()[1].read().unwrap(), 1);
    assert!(bench.mmio.kicks()[0].read().is_err());
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, 2);
    bench.write(VIRTIO_MMIO_QUEUE_NOTIFY, u32::MAX);
    assert_eq!(bench.complaints.text().lines().count(), 1);
}

#[rstest]
#[case(false, VIRTIO_MMIO_INT_CONFIG, 0)]
#[case(true, VIRTIO_MMIO_INT_CONFIG | VIRTIO_MMIO_INT_VRING, VIRTIO_MMIO_INT_VRING)]
fn interrupts_are_acknowledged(#[case] by_itself: bool, #[case] raised: u32, #[case] after: u32) {
    let mut bench = Bench::new();
    bench.fake.with(|seen| seen.by_itself = by_itself);
    bench.mmio.interrupt().config_changed().unwrap();
    assert_eq!(bench.read(VIRTIO_MMIO_INTERRUPT_STATUS), raised);
    assert_eq!(bench.read(VIRTIO_MMIO_CONFIG_GENERATION), 1);
    bench.write(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
    assert_eq!(bench.read(VIRTIO_MMIO_INTERRUPT_STATUS), after);
}

#[test]
fn a_saved_device_goes_on_where_it_stood() {
    let mut bench = Bench::new();
    bench.bring_up(OFFERED);
    bench.fake.with(|seen| {
        let queues = &mut seen.activation.as_mut().unwrap().queues;
        queues[0].queue.set_next_avail(3);
        queues[0].queue.set_next_used(2);
    });
    bench.mmio.interrupt().used().unwrap();
    let state = bench.mmio.save().unwrap();
    assert!(bench.fake.with(|seen| seen.activation.is_none()));
    assert_eq!(bench.mmio.save().unwrap(), state, "saved twice");

    bench.mmio.resume().unwrap();
    bench.mmio.resume().unwrap();
    assert_eq!(bench.activations(), 2);
    let mut copy = Bench::on(&bench.memory);
    copy.mmio.restore(&state).unwrap();
    assert_eq!(
        copy.fake.with(|seen| seen.restored.clone()),
        Some(DeviceState::Console(STATE))
    );
    assert_eq!(copy.mmio.interrupt().line().read().unwrap(), 2);
    for mut bench in [bench, copy] {
        assert_eq!(bench.status(), DRIVER_OK);
        assert_eq!(
            bench.read(VIRTIO_MMIO_INTERRUPT_STATUS),
            VIRTIO_MMIO_INT_VRING
        );
        assert_eq!(
            bench.mmio.kicks()[0].read().unwrap(),
            1,
            "looks at its queue"
        );
        bench.fake.with(|seen| {
            let activation = seen.activation.as_ref().unwrap();
            assert_eq!(activation.features, OFFERED);
            let queue = &activation.queues[0].queue;
            assert_eq!((queue.next_avail(), queue.next_used()), (3, 2));
            assert!(queue.event_idx_enabled());
        });
        assert_eq!(bench.mmio.save().unwrap(), state);
    }
}

#[test]
fn a_device_in_the_making_is_saved_too() {
    let mut bench = Bench::new();
    bench.negotiate(OFFERED);
    bench.set_up(1, 4, 0x1000, 0x2000, 0x3000);
    let state = bench.mmio.save().unwrap();
    bench.mmio.resume().unwrap();
    assert_eq!(bench.activations(), 0);

    let mut copy = Bench::on(&bench.memory);
    copy.mmio.restore(&state).unwrap();
    assert_eq!((copy.status(), copy.activations()), (FEATURES_OK, 0));
    assert_eq!(copy.read(VIRTIO_MMIO_QUEUE_READY), 1);
    copy.steps(&[DRIVER_OK]);
    assert_eq!(copy.activations(), 1);
}

#[rstest]
#[case::another_device(|state: &mut TransportState| state.device_type = 2, "another type")]
#[case::other_features(|state: &mut TransportState| state.driver_features |= 1, "not offered")]
#[case::fewer_queues(|state: &mut TransportState| state.queues.truncate(1), "other queues")]
#[case::larger_queue(|state: &mut TransportState| state.queues[0].max_size = 32, "other queues")]
#[case::odd_size(|state: &mut TransportState| state.queues[1].size = 7, "queue 1")]
#[case::odd_address(|state: &mut TransportState| state.queues[0].used_ring = 2, "queue 0")]
#[case::outside(|state: &mut TransportState| state.queues[0].used_ring = 1 << 40, "used ring")]
fn a_snapshot_that_does_not_fit_is_refused(
    #[case] spoil: fn(&mut TransportState),
    #[case] complaint: &str,
) {
    let mut bench = Bench::new();
    bench.bring_up(OFFERED);
    let mut state = bench.mmio.save().unwrap();
    spoil(&mut state);
    let mut copy = Bench::on(&bench.memory);
    let error = copy.mmio.restore(&state).unwrap_err().to_string();
    assert!(error.contains(complaint), "{error}");
    assert_eq!(copy.activations(), 0);
}
