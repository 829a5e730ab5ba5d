//! One difference for what shows more than once.

use std::collections::{BTreeMap, BTreeSet};

use lookback_wire::control::Arm;

use crate::difference::{Attribute, Difference, Stage};

/// Folds what a later phase shows again into the first that shows it, and
/// leaves out what an arm's trees say about each other where the reference's
/// tree has said it.
pub(crate) fn collapse(found: Vec<Difference>) -> Vec<Difference> {
    let told = told_by_reference(&found);
    let mut kept: Vec<Difference> = Vec::with_capacity(found.len());
    let mut first: BTreeMap<_, usize> = BTreeMap::new();
    for difference in found {
        let phase = match difference.stage {
            Stage::Setup | Stage::Trace => {
                kept.push(difference);
                continue;
            }
            Stage::After(_) => None,
            Stage::Tree(phase) => Some(phase),
        };
        if difference.reference == difference.arm && told.contains(&subject(&difference)) {
            continue;
        }
        let key = (
            difference.arm,
            difference.reference,
            difference.path.clone(),
            difference.attribute,
            difference.expected.clone(),
            difference.actual.clone(),
        );
        match first.get(&key) {
            Some(&index) => kept[index].also.extend(phase),
            None => {
                first.insert(key, kept.len());
                kept.push(difference);
            }
        }
    }
    kept
}

type Subject = (Arm, Option<String>, Attribute);

fn subject(difference: &Difference) -> Subject {
    let attribute = match difference.attribute {
        // Two ways to find one number wrong.
        Attribute::Links => Attribute::Nlink,
        attribute => attribute,
    };
    (difference.arm, difference.path.clone(), attribute)
}

fn told_by_reference(found: &[Difference]) -> BTreeSet<Subject> {
    let of_trees = |d: &&Difference| {
        let tree = matches!(d.stage, Stage::After(_) | Stage::Tree(_));
        tree && d.reference != d.arm
    };
    found.iter().filter(of_trees).map(subject).collect()
}
