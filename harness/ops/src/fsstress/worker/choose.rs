//! What an operation works on.

use rand::Rng;

use super::Turn;
use crate::fsstress::MAX_FILE;
use crate::fsstress::model::{Node, below};

/// Bytes O_DIRECT counts in (the disk's logical block size).
const SECTOR: u32 = 512;

/// Directory names in one directory.
const DIR_NAMES: u8 = 3;
/// Other names in one directory.
const FILE_NAMES: u8 = 8;
/// Names in a path below a directory of the worker's own, that one included.
const DEPTH: usize = 5;
/// Names in a path all workers share: fewer, so that they meet.
const SHARED_DEPTH: usize = 3;

impl Turn<'_> {
    /// Most often a path of the wanted sort, sometimes of another, sometimes
    /// one that may be missing.
    pub(super) fn existing(&mut self, wanted: impl Fn(Node) -> bool) -> String {
        let roll = self.rng.random_range(0..100);
        let mut found = match roll {
            0..80 => self.tree.matching(wanted),
            80..90 => self.tree.matching(|_| true),
            _ => Vec::new(),
        };
        // The worker's directory is one of many, not the likeliest of all.
        if found.len() > 1 {
            found.retain(|at| *at != self.home);
        }
        if found.is_empty() {
            return self.anywhere();
        }
        let at = self.rng.random_range(0..found.len());
        found[at].to_owned()
    }

    /// An empty one half of the time: most are not.
    pub(super) fn directory_to_remove(&mut self) -> String {
        let mut empty = self.tree.matching(Node::is_dir);
        empty.retain(|at| self.tree.is_empty(at));
        if empty.is_empty() || self.rng.random_bool(0.5) {
            return self.existing(Node::is_dir);
        }
        let at = self.rng.random_range(0..empty.len());
        empty[at].to_owned()
    }

    /// A name in a directory that most likely exists; taken already now and then.
    pub(super) fn new_name(&mut self, dir: bool) -> String {
        let depth = if self.home.is_empty() {
            SHARED_DEPTH
        } else {
            DEPTH
        };
        // A directory needs room for a name below it.
        let deepest = if dir { depth - 1 } else { depth };
        let mut dirs = self.tree.matching(Node::is_dir);
        dirs.retain(|at| names_in(at) < deepest);
        let parent = if dirs.is_empty() || self.rng.random_bool(0.03) {
            self.anywhere()
        } else {
            let at = self.rng.random_range(0..dirs.len());
            dirs[at].to_owned()
        };
        for _ in 0..4 {
            let name = below(&parent, &self.name(dir));
            if self.tree.get(&name).is_none() || self.rng.random_bool(0.1) {
                return name;
            }
        }
        below(&parent, &self.name(dir))
    }

    /// A path of the pool, there or not.
    pub(super) fn anywhere(&mut self) -> String {
        let mut at = self.home.to_owned();
        for _ in 0..self.rng.random_range(0..3) {
            at = below(&at, &self.name(true));
        }
        let dir = self.rng.random_bool(0.2);
        below(&at, &self.name(dir))
    }

    fn name(&mut self, dir: bool) -> String {
        // Rarely the other pool, so that a name changes its type.
        if dir != self.rng.random_bool(0.04) {
            format!("d{}", self.rng.random_range(0..DIR_NAMES))
        } else {
            format!("f{}", self.rng.random_range(0..FILE_NAMES))
        }
    }

    /// Never upwards: a moved symlink must not lead to another worker's tree.
    pub(super) fn target(&mut self) -> String {
        let dir = self.rng.random_bool(0.3);
        let name = self.name(dir);
        if self.rng.random_bool(0.3) {
            format!("{}/{name}", self.name(true))
        } else {
            name
        }
    }

    /// Part of the first `size` bytes and a little more.
    pub(super) fn range(&mut self, size: u64) -> (u64, u32) {
        let off = self.rng.random_range(0..size + size / 8 + 1);
        (off, self.len())
    }

    pub(super) fn write_range(&mut self, size: u64) -> (u64, u32) {
        let len = self.len();
        let reach = match self.rng.random_range(0..10) {
            0 => MAX_FILE,
            1..4 => 16 << 10,
            _ => size,
        };
        let off = self
            .rng
            .random_range(0..=reach.min(MAX_FILE - u64::from(len)));
        (off, len)
    }

    /// Of whole sectors where the file was opened with O_DIRECT, mostly whole
    /// blocks, and odd now and then.
    pub(super) fn aligned_if(&mut self, direct: bool, off: u64, len: u32) -> (u64, u32) {
        let to: u32 = match self.rng.random_range(0..20) {
            _ if !direct => 1,
            0 => 1,
            1..6 => SECTOR,
            _ => 4096,
        };
        let off = off - off % u64::from(to);
        (off, len.next_multiple_of(to))
    }

    pub(super) fn len(&mut self) -> u32 {
        match self.rng.random_range(0..10) {
            0 => self.rng.random_range(1..=64 << 10),
            1..3 => 4096,
            _ => self.rng.random_range(1..=6000),
        }
    }

    pub(super) fn new_size(&mut self, size: u64) -> u64 {
        match self.rng.random_range(0..10) {
            0 => 0,
            1 => self.rng.random_range(0..=MAX_FILE),
            2..6 => self.rng.random_range(0..=16 << 10),
            _ => self.rng.random_range(0..=size),
        }
    }

    /// Small enough to read in a trace.
    pub(super) fn seed(&mut self) -> u64 {
        self.rng.random_range(0..1000)
    }

    pub(super) fn owner(&mut self) -> Option<u32> {
        self.pick(&[None, Some(0), Some(1000), Some(1001), Some(65534)])
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }
}

/// How many names a path has; the case's directory has none.
fn names_in(path: &str) -> usize {
    path.split('/').filter(|name| !name.is_empty()).count()
}
