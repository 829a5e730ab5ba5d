//! What a tree most likely holds.
//!
//! A guess that steers the generator, not an oracle: where it is wrong the
//! operation only fails on every arm alike.

mod rights;

use std::collections::BTreeMap;

use rights::Rights;
pub(super) use rights::{READ, User, WRITE};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// Index into the inodes.
    Dir(usize),
    /// Likewise; hard links share it.
    File(usize),
    /// Index into the targets.
    Symlink(usize),
    Special,
}

impl Node {
    pub fn is_dir(self) -> bool {
        matches!(self, Node::Dir(_))
    }

    /// A regular file or a directory: what takes extended attributes, say.
    pub fn has_attributes(self) -> bool {
        matches!(self, Node::Dir(_) | Node::File(_))
    }
}

/// A regular file or a directory.
#[derive(Debug, Clone, Copy)]
struct Inode {
    size: u64,
    rights: Rights,
}

/// The tree below a directory; keys are paths, the directory's included, which
/// is empty for the case's.
#[derive(Debug)]
pub(super) struct Model {
    nodes: BTreeMap<String, Node>,
    inodes: Vec<Inode>,
    /// Targets of symlinks: relative, and never upwards.
    targets: Vec<String>,
    /// Leases that have been asked for and not given back.
    pub leases: u32,
    /// Whose turn it is.
    pub user: User,
}

/// Symlinks one path may lead through (MAXSYMLINKS, linux/namei.h).
const LINKS: usize = 40;

impl Model {
    pub fn new(home: &str) -> Model {
        let user = User::default();
        let root = Inode {
            size: 0,
            rights: user.owns(0o755),
        };
        Model {
            nodes: BTreeMap::from([(home.to_owned(), Node::Dir(0))]),
            inodes: vec![root],
            targets: Vec::new(),
            leases: 0,
            user,
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
        self.inodes.get(inode).map_or(0, |inode| inode.size)
    }

    /// The regular file a system call that follows symlinks comes to.
    pub fn file(&self, path: &str) -> Option<usize> {
        match self.get(&self.resolve(path, true)?) {
            Some(Node::File(inode)) => Some(inode),
            _ => None,
        }
    }

    /// Where `path` leads with the symlinks on the way to its last name
    /// followed, and that one too if `last`; `None` for too many of them.
    fn resolve(&self, path: &str, last: bool) -> Option<String> {
        let mut done = String::new();
        let mut todo: Vec<String> = path.rsplit('/').map(Into::into).collect();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            let at = below(&done, &name);
            match self.get(&at) {
                Some(Node::Symlink(target)) if last || !todo.is_empty() => {
                    links += 1;
                    if links > LINKS {
                        return None;
                    }
                    let target = self.targets.get(target)?;
                    todo.extend(target.rsplit('/').map(Into::into));
                }
                _ => done = at,
            }
        }
        Some(done)
    }

    pub fn resize(&mut self, inode: Option<usize>, size: u64) {
        if let Some(inode) = inode.and_then(|inode| self.inodes.get_mut(inode)) {
            inode.size = size;
        }
    }

    /// A write up to `end`.
    pub fn extend(&mut self, inode: Option<usize>, end: u64) {
        if let Some(inode) = inode.and_then(|inode| self.inodes.get_mut(inode)) {
            inode.size = end.max(inode.size);
        }
    }

    /// A new name, if its directory exists, takes one, and has it not.
    pub fn add(&mut self, path: &str, node: Node) {
        if let Some(at) = self.resolve(path, false)
            && self.parent_takes(&at)
        {
            self.nodes.entry(at).or_insert(node);
        }
    }

    pub fn add_dir(&mut self, path: &str, mode: u32) {
        let inode = self.new_inode(mode);
        self.add(path, Node::Dir(inode));
    }

    pub fn add_file(&mut self, path: &str, mode: u32) {
        let inode = self.new_inode(mode);
        self.link_inode(path, inode);
    }

    /// One without a name, yet.
    pub fn new_inode(&mut self, mode: u32) -> usize {
        let rights = self.user.owns(mode);
        self.inodes.push(Inode { size: 0, rights });
        self.inodes.len() - 1
    }

    pub fn link_inode(&mut self, path: &str, inode: usize) {
        self.add(path, Node::File(inode));
    }

    pub fn add_symlink(&mut self, path: &str, target: &str) {
        self.add(path, Node::Symlink(self.targets.len()));
        self.targets.push(target.to_owned());
    }

    /// open(2) with O_CREAT, which makes the target of a dangling symlink.
    pub fn open_or_add(&mut self, path: &str, exclusive: bool, mode: u32) {
        if let Some(at) = self.resolve(path, !exclusive) {
            self.add_file(&at, mode);
        }
    }

    pub fn link(&mut self, old: &str, new: &str) {
        match self.resolve(old, false).and_then(|at| self.get(&at)) {
            None | Some(Node::Dir(_)) => {}
            Some(node) => self.add(new, node),
        }
    }

    pub fn unlink(&mut self, path: &str) {
        if let Some(at) = self.resolve(path, false)
            && self.get(&at).is_some_and(|node| !node.is_dir())
            && self.parent_gives(&at)
        {
            self.nodes.remove(&at);
        }
    }

    pub fn rmdir(&mut self, path: &str) {
        if let Some(at) = self.resolve(path, false)
            && self.get(&at).is_some_and(Node::is_dir)
            && self.is_empty(&at)
            && self.parent_gives(&at)
        {
            self.nodes.remove(&at);
        }
    }

    /// rename(2), with a character device left behind for a whiteout.
    pub fn rename(&mut self, old: &str, new: &str, noreplace: bool, whiteout: bool) {
        let Some((old, new)) = self.resolve(old, false).zip(self.resolve(new, false)) else {
            return;
        };
        let Some(node) = self.get(&old) else { return };
        if old == new || is_below(&new, &old) || !self.parent_gives(&old) {
            return;
        }
        if !self.parent_takes(&new) {
            return;
        }
        match self.get(&new) {
            Some(_) if noreplace => return,
            // Two links of one inode: rename(2) does nothing.
            Some(Node::File(inode)) if node == Node::File(inode) => return,
            Some(target) if target.is_dir() != node.is_dir() => return,
            Some(Node::Dir(_)) if !self.is_empty(&new) => return,
            Some(_) if !self.parent_gives(&new) => return,
            _ => {}
        }
        let moved = self.take(&old);
        self.nodes.remove(&new);
        self.put(&new, moved);
        if whiteout {
            self.nodes.insert(old, Node::Special);
        }
    }

    pub fn exchange(&mut self, a: &str, b: &str) {
        let Some((a, b)) = self.resolve(a, false).zip(self.resolve(b, false)) else {
            return;
        };
        let both = self.get(&a).is_some() && self.get(&b).is_some();
        if a == b || !both || is_below(&a, &b) || is_below(&b, &a) {
            return;
        }
        if !self.parent_gives(&a) || !self.parent_gives(&b) {
            return;
        }
        let (at_a, at_b) = (self.take(&a), self.take(&b));
        self.put(&a, at_b);
        self.put(&b, at_a);
    }

    /// Nothing is in the directory `dir`.
    pub fn is_empty(&self, dir: &str) -> bool {
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

/// The path of `name` in the directory `dir`.
pub(super) fn below(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
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
        model.add_dir("p0/a", 0o755);
        model.add_file("p0/a/f", 0o644);
        model.add_dir("p0/b", 0o755);
        model.add_file("p0/ab", 0o644);
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
        assert_eq!(model.get("p0/a"), Some(Node::File(4)));
    }

    #[test]
    fn symlinks_lead_to_what_they_name() {
        let mut model = model();
        model.add_symlink("p0/l", "a");
        model.add_symlink("p0/m", "l/f");
        model.add_symlink("p0/loop", "loop");
        model.add_file("p0/l/g", 0o644);
        model.rename("p0/l/f", "p0/b/f", false, false);
        model.open_or_add("p0/m", false, 0o644);
        model.open_or_add("p0/loop", false, 0o644);
        model.unlink("p0/l");
        assert_eq!(model.file("p0/a/f"), Some(6));
        let all = [
            "p0", "p0/a", "p0/a/f", "p0/a/g", "p0/ab", "p0/b", "p0/b/f", "p0/loop", "p0/m",
        ];
        assert_eq!(model.matching(|_| true), all);
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
