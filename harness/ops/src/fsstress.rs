//! A load after fsstress (LTP, xfstests): random operations on few names, so
//! that they meet.
//!
//! Where fsstress chooses its next operation by what the last one returned,
//! this makes the whole list first: the same seed gives the same list
//! whatever the file system answers, so the same list runs on every arm. A
//! model of what the tree most likely holds steers the choice, so that most
//! operations find what they need and the rest meet ENOENT, EEXIST, ENOTEMPTY,
//! ENOTDIR and so on.
//!
//! With names of its own, worker N stays in its directory `pN`: results never
//! depend on how workers interleave. With shared ones all work in one place, by
//! one model of it, and get into each other's way.

mod mix;
mod model;
mod worker;

pub use mix::{Kind, Mix, MixError};
use model::Model;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use worker::Worker;

use crate::op::Line;

/// Largest size a file gets by one write or truncate, in bytes.
pub const MAX_FILE: u64 = 256 << 10;

/// Whose names workers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Worker N stays in its own directory `pN`.
    Own,
    /// All use the same few names in the case's directory.
    Shared,
}

/// The stream of random numbers that says whose turn it is; workers use those
/// of their numbers.
const TURNS: u64 = u64::MAX;

/// Make `ops` lines in all for `procs` workers (at least one), of whom any may
/// be next.
///
/// With names of its own, each worker's first line makes its directory. The
/// list is a function of the arguments alone, and the start of a longer one.
#[must_use]
pub fn generate(seed: u64, ops: usize, procs: u16, names: Names, mix: &Mix) -> Vec<Line> {
    let procs = procs.max(1);
    let mut turns = ChaCha8Rng::seed_from_u64(seed);
    turns.set_stream(TURNS);
    let home = |number| match names {
        Names::Own => format!("p{number}"),
        Names::Shared => String::new(),
    };
    let mut workers: Vec<_> = (0..procs)
        .map(|number| Worker::new(seed, number, home(number)))
        .collect();
    let mut trees: Vec<_> = match names {
        Names::Own => (0..procs).map(|number| Model::new(&home(number))).collect(),
        Names::Shared => vec![Model::new("")],
    };
    (0..ops)
        .map(|_| {
            let next = turns.random_range(0..workers.len());
            let tree = next.min(trees.len() - 1);
            workers[next].next_line(mix, &mut trees[tree])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::op::{Base, Op};
    use crate::trace;

    #[test]
    fn every_kind_of_the_default_mix_turns_up() {
        let lines = generate(1, 20_000, 1, Names::Own, &Mix::default());
        let words: BTreeSet<_> = lines
            .iter()
            .map(|l| l.op.to_string().split(' ').next().unwrap_or("").to_owned())
            .collect();
        for word in [
            "creat",
            "mkdir",
            "mknod",
            "symlink",
            "link",
            "unlink",
            "rmdir",
            "rename",
            "read",
            "write",
            "mread",
            "mwrite",
            "truncate",
            "fsync",
            "fdatasync",
            "sync",
            "stat",
            "lstat",
            "chmod",
            "utimens",
            "chown",
            "readdir",
            "readlink",
            "access",
            "open",
            "close",
            "pwrite",
            "pread",
            "ftruncate",
            "fstat",
            "lseek",
            "fsyncfd",
        ] {
            assert!(words.contains(word), "{word}");
        }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_list_is_a_function_of_its_arguments(seed: u64, ops in 0usize..600, procs in 1u16..6, names in names()) {
            let mix = Mix::default();
            let lines = generate(seed, ops, procs, names, &mix);
            prop_assert_eq!(lines.len(), ops);
            prop_assert_eq!(&generate(seed, ops, procs, names, &mix), &lines);
            prop_assert_eq!(&trace::parse(&trace::print(&lines)).unwrap(), &lines);
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
                for path in line.op.paths().into_iter().map(|path| &path.rel) {
                    prop_assert!(*path == home || path.starts_with(&format!("{home}/")), "{}", line);
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
}
