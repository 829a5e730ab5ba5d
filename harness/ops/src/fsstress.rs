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
mod tests;
