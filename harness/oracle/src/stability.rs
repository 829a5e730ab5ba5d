//! What nothing but a phase may change: inode numbers and modification times.

use lookback_ops::tree::Snapshot;

use crate::{
    difference::Attribute,
    outcomes::{pair, time},
    sink::{At, Sink},
};

/// Compares an arm's tree with the same arm's in an earlier phase.
/// `at.reference` is the arm itself.
pub(crate) fn compare(sink: &mut Sink<'_>, at: At<'_>, earlier: &Snapshot, later: &Snapshot) {
    for pair in pair(&earlier.nodes, &later.nodes, |node| &node.path) {
        let (Some(a), Some(b)) = pair else { continue };
        let at = at.path(&a.path).stats(&a.stat, &b.stat);
        sink.compare(at, Attribute::Ino, &a.stat.ino, &b.stat.ino, u64::to_string);
        sink.compare(
            at,
            Attribute::Mtime,
            &a.stat.mtime,
            &b.stat.mtime,
            |mtime| time(*mtime),
        );
    }
}
