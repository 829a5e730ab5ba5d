//! A tree in messages that are not too large.

use lookback_ops::tree::Snapshot;
use lookback_wire::frame;

/// A message's nodes take about this many bytes.
const TREE_BYTES: usize = 4 << 20;

/// Cut a tree into messages, at least one.
pub fn of(snapshot: Snapshot) -> Vec<Snapshot> {
    cut(snapshot, TREE_BYTES)
}

fn cut(snapshot: Snapshot, limit: usize) -> Vec<Snapshot> {
    let mut all = vec![Snapshot::default()];
    let mut size = 0;
    for node in snapshot.nodes {
        // One that can't be encoded at all fails where it is sent.
        let bytes = frame::encode(&node).map_or(0, |bytes| bytes.len());
        size += bytes;
        if size > limit {
            all.push(Snapshot::default());
            size = bytes;
        }
        if let Some(last) = all.last_mut() {
            last.nodes.push(node);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::snapshot;

    #[test]
    fn a_tree_in_pieces_is_the_whole_tree() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let whole = snapshot::take(dir.path().to_str().unwrap(), Board::new().unwrap());
        let largest = whole
            .nodes
            .iter()
            .map(|node| frame::encode(node).unwrap().len());
        let pieces = cut(whole.clone(), 2 * largest.max().unwrap());
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| !piece.nodes.is_empty()));
        let nodes: Vec<_> = pieces.into_iter().flat_map(|piece| piece.nodes).collect();
        assert_eq!(nodes, whole.nodes);
        assert_eq!(of(Snapshot::default()).len(), 1);
    }
}
