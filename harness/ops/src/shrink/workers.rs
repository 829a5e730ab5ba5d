//! Fewer workers.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::{Kept, Line};

/// The workers of a trace, in order.
#[must_use]
pub fn used(lines: &[Line]) -> Vec<u16> {
    let all: BTreeSet<u16> = lines.iter().map(|line| line.worker).collect();
    all.into_iter().collect()
}

/// The trace with fewer workers: first all lines given to worker 0, then those
/// of one worker at a time given to the first. A slot, handle or mapping of the
/// same number gets another one. A trace of one worker other than 0 is given to 0.
#[must_use]
pub fn workers(lines: &[Line]) -> Vec<Vec<Line>> {
    let used = used(lines);
    let merged = |from: &[u16], into: u16| {
        let mut lines = lines.to_vec();
        let mut taken = kept(&lines, into);
        for &worker in from {
            let mut map: BTreeMap<(Kept, u16), u16> = BTreeMap::new();
            for (kind, number) in kept(&lines, worker) {
                // There are far fewer lines than numbers, let alone than both.
                let mut all = (number..=u16::MAX).chain(0..number);
                let free = all.find(|n| !taken.contains(&(kind, *n)));
                let free = free.unwrap_or(number);
                taken.insert((kind, free));
                map.insert((kind, number), free);
            }
            for line in lines.iter_mut().filter(|line| line.worker == worker) {
                line.worker = into;
                line.op.map_numbers(|kind, number| {
                    map.get(&(kind, number)).copied().unwrap_or(number)
                });
            }
        }
        lines
    };
    match used.as_slice() {
        [] | [0] => Vec::new(),
        [worker] => vec![merged(&[*worker], 0)],
        [first, others @ ..] => {
            let all = if *first == 0 { others } else { &used };
            let mut candidates = vec![merged(all, 0)];
            if others.len() > 1 {
                candidates.extend(others.iter().map(|worker| merged(&[*worker], *first)));
            }
            candidates
        }
    }
}

/// What one worker keeps.
fn kept(lines: &[Line], worker: u16) -> BTreeSet<(Kept, u16)> {
    let own = lines.iter().filter(|line| line.worker == worker);
    own.flat_map(|line| line.op.numbers()).collect()
}
