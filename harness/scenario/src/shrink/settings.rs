//! A case with fewer arms and phases, and less asked of it.

use lookback_wire::control::{Arm, Workers};

use crate::recording::Recording;

/// The case with one setting less, the simplest first.
pub(super) fn simpler(case: &Recording) -> Vec<Recording> {
    let mut all: Vec<Recording> = Vec::new();
    let mut add = |change: &dyn Fn(&mut Recording)| {
        let mut candidate = case.clone();
        change(&mut candidate);
        if candidate != *case {
            all.push(candidate);
        }
    };
    add(&|case| case.phases.clear());
    for index in 0..case.phases.len() {
        add(&|case| {
            case.phases.remove(index);
        });
    }
    // A crash takes one arm, a difference two.
    if case.arms.len() > 1 {
        for arm in case.arms.iter().filter(|arm| **arm != Arm::Ext4) {
            add(&|case| case.arms = vec![*arm]);
        }
    }
    if case.arms.len() > 2 {
        for index in 0..case.arms.len() {
            add(&|case| {
                case.arms.remove(index);
            });
        }
    }
    add(&|case| case.workers = Workers::InTurn);
    add(&|case| case.every = 0);
    add(&|case| case.balanced = false);
    add(&|case| case.clear = false);
    add(&|case| case.no_daemon = false);
    add(&|case| case.unprivileged = false);
    add(&|case| case.root_dir = false);
    all
}
