//! What one worker's tree most likely holds, and what its slots do.
//!
//! A guess that steers the generator, not an oracle: where it is wrong the
//! operation only fails on every arm alike.

use std::collections::BTreeMap;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    /// Index into the sizes: hard links share it.
    File(usize),
    Symlink,
    Special,
}

/// The tree below a worker's directory; keys are paths, its own included.
#[derive(Debug)]
pub(super) struct Model {
    nodes: BTreeMap<String, Node>,
    sizes: Vec<u64>,
    /// What each slot has open: `None` closed, `Some(None)` no regular file.
    pub slots: [Option<Option<usize>>; SLOTS],
}

/// Open files a worker keeps at most.
pub(super) const SLOTS: usize = 4;

impl Model {
    pub fn new(home: &str) -> Model {
        let nodes = BTreeMap::from([(home.to_owned(), Node::Dir)]);
        Model {
            nodes,
            sizes: Vec::new(),
            slots: [None; SLOTS],
        }
    }

    /// Every path with a node that `wanted` takes, in order.
    pub fn matching(&self, wanted: impl Fn(Node) -> bool) -> Vec<&str> {
        self.nodes
            .iter()
            .filter(|(_, node)| wanted(**node))
            .map(|(path, _)| path.as_str())
            .collect()
    }

    pub fn get(&self, path: &str) -> Option<Node> {
        self.nodes.get(path).copied()
    }

    /// Size in bytes of a file's inode.
    pub fn size(&self, inode: usize) -> u64 {
        self.sizes.get(inode).copied().unwrap_or(0)
    }

    pub fn file(&self, path: &str) -> Option<usize> {
        match self.get(path) {
            Some(Node::File(inode)) => Some(inode),
            _ => None,
        }
    }

    pub fn resize(&mut self, inode: Option<usize>, size: u64) {
        if let Some(slot) = inode.and_then(|inode| self.sizes.get_mut(inode)) {
            *slot = size;
        }
    }

    /// A write up to `end`.
    pub fn extend(&mut self, inode: Option<usize>, end: u64) {
        if let Some(slot) = inode.and_then(|inode| self.sizes.get_mut(inode)) {
            *slot = end.max(*slot);
        }
    }

    /// A new name, if its directory exists and it does not.
    pub fn add(&mut self, path: &str, node: Node) {
        if self.parent_exists(path) {
            self.nodes.entry(path.to_owned()).or_insert(node);
        }
    }

    pub fn add_file(&mut self, path: &str) {
        if self.parent_exists(path) && !self.nodes.contains_key(path) {
            self.nodes
                .insert(path.to_owned(), Node::File(self.sizes.len()));
            self.sizes.push(0);
        }
    }

    pub fn link(&mut self, old: &str, new: &str) {
        match self.get(old) {
            None | Some(Node::Dir) => {}
            Some(node) => self.add(new, node),
        }
    }

    pub fn unlink(&mut self, path: &str) {
        if self.get(path).is_some_and(|node| node != Node::Dir) {
            self.nodes.remove(path);
        }
    }

    pub fn rmdir(&mut self, path: &str) {
        if self.get(path) == Some(Node::Dir) && self.is_empty(path) {
            self.nodes.remove(path);
        }
    }

    /// rename(2), with a character device left behind for a whiteout.
    pub fn rename(&mut self, old: &str, new: &str, noreplace: bool, whiteout: bool) {
        let Some(node) = self.get(old) else { return };
        if old == new || !self.parent_exists(new) || is_below(new, old) {
            return;
        }
        match self.get(new) {
            Some(_) if noreplace => return,
            // Two links of one inode: rename(2) does nothing.
            Some(Node::File(inode)) if node == Node::File(inode) => return,
            Some(target) if (target == Node::Dir) != (node == Node::Dir) => return,
            Some(Node::Dir) if !self.is_empty(new) => return,
            _ => {}
        }
        let moved = self.take(old);
        self.nodes.remove(new);
        self.put(new, moved);
        if whiteout {
            self.nodes.insert(old.to_owned(), Node::Special);
        }
    }

    pub fn exchange(&mut self, a: &str, b: &str) {
        let both = self.get(a).is_some() && self.get(b).is_some();
        if a == b || !both || is_below(a, b) || is_below(b, a) {
            return;
        }
        let (at_a, at_b) = (self.take(a), self.take(b));
        self.put(a, at_b);
        self.put(b, at_a);
    }

    fn parent_exists(&self, path: &str) -> bool {
        path.rsplit_once('/')
            .is_some_and(|(parent, _)| self.get(parent) == Some(Node::Dir))
    }

    fn is_empty(&self, dir: &str) -> bool {
        let prefix = format!("{dir}/");
        self.nodes
            .range(prefix.clone()..)
            .next()
            .is_none_or(|(path, _)| !path.starts_with(&prefix))
    }

    /// Remove `path` and all below; the keys are relative to it.
    fn take(&mut self, path: &str) -> Vec<(String, Node)> {
        let below = |key: &&String| *key == path || is_below(key, path);
        let keys: Vec<_> = self.nodes.keys().filter(below).cloned().collect();
        keys.into_iter()
            .filter_map(|key| {
                self.nodes
                    .remove(&key)
                    .map(|node| (key[path.len()..].to_owned(), node))
            })
            .collect()
    }

    fn put(&mut self, path: &str, subtree: Vec<(String, Node)>) {
        self.nodes.extend(
            subtree
                .into_iter()
                .map(|(rest, node)| (format!("{path}{rest}"), node)),
        );
    }
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let mut model = Model::new("p0");
        model.add("p0/a", Node::Dir);
        model.add_file("p0/a/f");
        model.add("p0/b", Node::Dir);
        model.add_file("p0/ab");
        model
    }

    #[test]
    fn a_directory_moves_with_what_is_below_it() {
        let mut model = model();
        model.rename("p0/a", "p0/b", false, true);
        assert_eq!(
            model.matching(|_| true),
            ["p0", "p0/a", "p0/ab", "p0/b", "p0/b/f"]
        );
        assert_eq!(model.get("p0/a"), Some(Node::Special));
    }

    #[test]
    fn what_rename_refuses_changes_nothing() {
        let mut model = model();
        for (old, new, noreplace) in [
            ("p0/b", "p0/a", false),
            ("p0/a", "p0/a/x", false),
            ("p0/ab", "p0/b", false),
            ("p0/a", "p0/b", true),
            ("p0/none", "p0/x", false),
        ] {
            model.rename(old, new, noreplace, false);
            assert_eq!(
                model.matching(|_| true),
                ["p0", "p0/a", "p0/a/f", "p0/ab", "p0/b"],
                "{old} {new}"
            );
        }
    }

    #[test]
    fn an_exchange_swaps_whole_trees() {
        let mut model = model();
        model.exchange("p0/a", "p0/ab");
        assert_eq!(
            model.matching(|_| true),
            ["p0", "p0/a", "p0/ab", "p0/ab/f", "p0/b"]
        );
        assert_eq!(model.get("p0/a"), Some(Node::File(1)));
    }

    #[test]
    fn hard_links_share_a_size() {
        let mut model = model();
        model.link("p0/ab", "p0/b/l");
        model.extend(model.file("p0/ab"), 10);
        assert_eq!(
            model.file("p0/b/l").map(|inode| model.size(inode)),
            Some(10)
        );
    }
}
