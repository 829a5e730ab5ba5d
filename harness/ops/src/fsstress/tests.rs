use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::op::{Base, FileOp, LockOp, Locked, MapOp, Op};
use crate::trace;

fn words(lines: &[Line]) -> BTreeSet<String> {
    let word = |line: &Line| line.op.to_string().split(' ').next().unwrap().to_owned();
    lines.iter().map(word).collect()
}

#[test]
fn every_kind_of_the_default_mix_turns_up() {
    let words = words(&generate(1, 20_000, 1, Names::Own, &Mix::default()));
    let expected = "creat mkdir mknod symlink link unlink rmdir rename stat lstat chmod chown utimens truncate access \
         readlink readdir write read readv writev dread dwrite aread awrite uringread uringwrite mwrite mread fsync \
         fdatasync open close pwrite pread fdread fdwrite ftruncate fstat fsyncfd lseek mmap mstore mload msync \
         munmap sync dropcaches creds umask setxattr getxattr listxattr removexattr fallocate copyrange clonerange \
         deduperange splice chattr lsattr statfs linkfd fdpath flock lock getlock lease";
    let expected: BTreeSet<_> = expected.split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, expected);
}

#[test]
fn on_plain_what_it_can_t_do_stays_away() {
    let words = words(&generate(
        1,
        20_000,
        1,
        Names::Own,
        &Mix::default().on_plain(),
    ));
    for word in [
        "dread", "dwrite", "aread", "awrite", "chattr", "lsattr", "linkfd",
    ] {
        assert!(!words.contains(word), "{word}");
    }
    assert!(words.contains("setxattr") && words.contains("fallocate"));
}

#[test]
fn only_what_the_mix_names_turns_up() {
    let mix: Mix = "all=0,creat=1,rexchange=3".parse().unwrap();
    for line in generate(1, 500, 1, Names::Own, &mix).iter().skip(1) {
        match &line.op {
            Op::Creat { .. } => {}
            Op::Rename { flags, .. } => assert!(flags.exchange && !flags.noreplace),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn each_kind_can_stand_alone() {
    for kind in Kind::ALL {
        let mix: Mix = format!("all=0,{}=1", kind.name()).parse().unwrap();
        for names in [Names::Own, Names::Shared] {
            let lines = generate(1, 300, 2, names, &mix);
            assert_eq!(lines.len(), 300, "{}", kind.name());
            assert_eq!(trace::parse(&trace::print(&lines)).unwrap(), lines);
        }
    }
}

#[test]
fn workers_with_shared_names_meet() {
    let lines = generate(1, 4000, 4, Names::Shared, &Mix::default());
    let mut users: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &lines {
        for path in line.op.paths() {
            users.entry(&path.rel).or_default().insert(line.worker);
            *uses.entry(&path.rel).or_default() += 1;
        }
    }
    let common = uses.iter().filter(|(path, _)| users[*path].len() == 4);
    let common: usize = common.map(|(_, uses)| uses).sum();
    let all: usize = uses.values().sum();
    assert!(common * 2 > all, "{common} of {all}");
    // Nobody follows a fixed rotation.
    let turns: BTreeSet<_> = lines
        .windows(2)
        .map(|w| (w[0].worker, w[1].worker))
        .collect();
    assert_eq!(turns.len(), 16);
}

fn names() -> impl Strategy<Value = Names> {
    prop_oneof![Just(Names::Own), Just(Names::Shared)]
}

fn mixes() -> impl Strategy<Value = Mix> {
    let weights =
        prop::collection::vec(prop_oneof![2 => Just(0u32), 1 => 1u32..50], Kind::ALL.len());
    let parsed = |weights: Vec<u32>| {
        let named = Kind::ALL.iter().zip(weights);
        let text: Vec<_> = named
            .map(|(kind, w)| format!("{}={w}", kind.name()))
            .collect();
        text.join(",").parse().ok()
    };
    prop_oneof![
        1 => Just(Mix::default()),
        2 => weights.prop_filter_map("not empty", parsed),
    ]
}

const O_NONBLOCK: u32 = 0o4_000;
const O_TMPFILE: u32 = 0o20_200_000;

/// Follows what could make a worker wait for another one for ever.
#[derive(Default)]
struct Waits {
    /// Leases per worker and slot, as far as they can be held.
    leases: BTreeSet<(u16, u16)>,
}

impl Waits {
    fn check(&mut self, line: &Line) -> Result<(), TestCaseError> {
        match &line.op {
            Op::Open { slot, flags, .. } => {
                prop_assert!(
                    flags & O_NONBLOCK != 0 || flags & O_TMPFILE == O_TMPFILE,
                    "{}",
                    line
                );
                self.leases.remove(&(line.worker, *slot));
            }
            Op::Lock(LockOp::Lease { slot, lock }) => {
                let holder = (line.worker, *slot);
                if *lock == Locked::Not {
                    self.leases.remove(&holder);
                } else {
                    self.leases.insert(holder);
                }
            }
            Op::Truncate { .. } => prop_assert!(self.leases.is_empty(), "{}", line),
            _ => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_line_is_invalid(seed: u64, ops in 0usize..1500, procs in 1u16..6, names in names(), mix in mixes()) {
        let lines = generate(seed, ops, procs, names, &mix);
        prop_assert_eq!(lines.len(), ops);
        for line in &lines {
            prop_assert!(line.worker < procs);
            let text = line.to_string();
            let read = trace::parse(&text).map_err(|e| TestCaseError::fail(format!("{e}: {text}")))?;
            prop_assert_eq!(&read[..], std::slice::from_ref(line));
        }
    }

    #[test]
    fn nobody_waits(seed: u64, procs in 1u16..6, mix in mixes()) {
        let mut waits = Waits::default();
        for line in generate(seed, 1500, procs, Names::Shared, &mix) {
            waits.check(&line)?;
        }
    }

    #[test]
    fn no_lock_is_kept_by_a_mapping(seed: u64, procs in 1u16..4, mix in mixes()) {
        let (mut locked, mut mapped) = (BTreeSet::new(), BTreeSet::new());
        for line in generate(seed, 1500, procs, Names::Shared, &mix) {
            match &line.op {
                Op::Open { slot, .. } | Op::Close { slot } => {
                    locked.remove(&(line.worker, *slot));
                    mapped.remove(&(line.worker, *slot));
                }
                // Gives back what may be another file's by now.
                Op::Lock(LockOp::Lease { lock: Locked::Not, .. }) => {}
                Op::Lock(LockOp::Flock { slot, .. } | LockOp::Lease { slot, .. }) => {
                    locked.insert((line.worker, *slot));
                }
                Op::Map(MapOp::Map { slot, .. }) => {
                    mapped.insert((line.worker, *slot));
                }
                _ => {}
            }
            prop_assert!(locked.is_disjoint(&mapped), "{}", line);
        }
    }

    #[test]
    fn what_is_immutable_is_not_for_long(seed: u64, mix in mixes()) {
        let mut since = None;
        let mut root = true;
        for (at, line) in generate(seed, 1500, 1, Names::Shared, &mix).iter().enumerate() {
            match &line.op {
                Op::Creds { uid, .. } => root = *uid == 0,
                Op::File(FileOp::Chattr { path, flags }) if matches!(path.base, Base::Slot(_)) => {
                    prop_assert!(root);
                    since = (*flags != 0).then_some(at);
                }
                Op::File(FileOp::Chattr { flags, .. }) => prop_assert!(flags & 0x30 == 0),
                _ => {}
            }
            prop_assert!(since.is_none_or(|since| at - since < 16), "{}", line);
        }
    }

    #[test]
    fn a_list_is_a_function_of_its_arguments(
        seed: u64, ops in 0usize..600, procs in 1u16..6, names in names(), mix in mixes()
    ) {
        let lines = generate(seed, ops, procs, names, &mix);
        prop_assert_eq!(&generate(seed, ops, procs, names, &mix), &lines);
    }

    #[test]
    fn a_longer_list_starts_with_the_shorter(seed: u64, ops in 0usize..300, procs in 1u16..4, names in names()) {
        let mix = Mix::default();
        let long = generate(seed, 300, procs, names, &mix);
        prop_assert_eq!(&long[..ops], &generate(seed, ops, procs, names, &mix)[..]);
    }

    #[test]
    fn workers_stay_in_their_own_trees(seed: u64, procs in 2u16..5) {
        for line in generate(seed, 800, procs, Names::Own, &Mix::default()) {
            let home = format!("p{}", line.worker);
            for path in line.op.paths() {
                let own = matches!(path.base, Base::Slot(_)) && path.rel.is_empty();
                let below = path.rel == home || path.rel.starts_with(&format!("{home}/"));
                prop_assert!(own || below, "{}", line);
            }
            if let Op::Symlink { target, path } = &line.op {
                prop_assert!(!target.contains("..") && !target.starts_with('/'));
                prop_assert_eq!(path.base, Base::Arm);
            }
        }
    }

    #[test]
    fn other_seeds_give_other_lists(seed in 0u64..u64::MAX) {
        let mix = Mix::default();
        prop_assert_ne!(generate(seed, 100, 1, Names::Own, &mix), generate(seed + 1, 100, 1, Names::Own, &mix));
    }
}
