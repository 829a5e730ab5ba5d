//! The daemon's file system: the paths its rules speak of and the directories
//! above them, empty, in memory, and never changing.

use std::collections::BTreeMap;

use lookback_wire::rules::{Kind, Rules};

/// nodeid of the root (`FUSE_ROOT_ID`, include/uapi/linux/fuse.h).
pub const ROOT: u64 = 1;
/// Where symlinks lead: to nothing.
pub const TARGET: &[u8] = b"nowhere";
/// Device number of a character device, as FUSE has it: major 1, minor 3.
const NULL_DEVICE: u32 = 1 << 8 | 3;
/// Size of a directory and of the file system's blocks, as on the host's ext4.
pub const BLOCK: u32 = 4096;

/// One file. Its nodeid is its place in the tree, from [`ROOT`].
#[derive(Debug, PartialEq, Eq)]
pub struct Node {
    /// From the root, components joined by one slash; empty for the root.
    pub path: String,
    /// nodeid of the directory it is in; of itself for the root.
    pub parent: u64,
    /// File type and permissions.
    pub mode: u32,
    children: BTreeMap<String, u64>,
}

/// All files.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// nodeids the kernel was told instead of a file's own.
    aliases: BTreeMap<u64, u64>,
}

impl Tree {
    /// The files that `rules` speak of.
    pub fn new(rules: &Rules) -> Tree {
        let root = Node {
            path: String::new(),
            parent: ROOT,
            mode: mode(Kind::Dir),
            children: BTreeMap::new(),
        };
        let mut tree = Tree {
            nodes: vec![root],
            aliases: BTreeMap::new(),
        };
        for (path, kind) in rules.places() {
            tree.plant(path, mode(kind));
        }
        tree
    }

    /// Put a file at `path` unless there is one.
    fn plant(&mut self, path: &str, mode: u32) {
        let mut parent = ROOT;
        let mut end = 0;
        for name in path.split('/') {
            end += name.len();
            let known = self.get(parent).and_then(|node| node.children.get(name));
            parent = match known {
                Some(&nodeid) => nodeid,
                None => {
                    let whole = end == path.len();
                    let node = Node {
                        path: path[..end].to_owned(),
                        parent,
                        mode: if whole { mode } else { self::mode(Kind::Dir) },
                        children: BTreeMap::new(),
                    };
                    self.nodes.push(node);
                    let nodeid = self.nodes.len() as u64;
                    if let Some(above) = self.get_mut(parent) {
                        above.children.insert(name.to_owned(), nodeid);
                    }
                    nodeid
                }
            };
            end += 1;
        }
    }

    /// The file's own nodeid, for one the kernel was told.
    pub fn resolve(&self, nodeid: u64) -> Option<u64> {
        let own = self.aliases.get(&nodeid).copied().unwrap_or(nodeid);
        self.get(own).map(|_| own)
    }

    /// The kernel was told `alias` for the file `own`.
    pub fn alias(&mut self, alias: u64, own: u64) {
        if alias != own {
            self.aliases.insert(alias, own);
        }
    }

    /// The file with this nodeid of its own.
    pub fn get(&self, own: u64) -> Option<&Node> {
        self.nodes.get(index(own)?)
    }

    fn get_mut(&mut self, own: u64) -> Option<&mut Node> {
        self.nodes.get_mut(index(own)?)
    }

    /// The file called `name` in the directory `own`.
    pub fn child(&self, own: u64, name: &[u8]) -> Option<u64> {
        let name = str::from_utf8(name).ok()?;
        self.get(own)?.children.get(name).copied()
    }

    /// What a directory lists: name, inode number, `DT_` type.
    pub fn entries(&self, own: u64) -> Vec<(&str, u64, u32)> {
        let Some(node) = self.get(own) else {
            return Vec::new();
        };
        let special = [(".", own), ("..", node.parent)];
        let children = node
            .children
            .iter()
            .map(|(name, &child)| (name.as_str(), child));
        special
            .into_iter()
            .chain(children)
            .filter_map(|(name, nodeid)| {
                let mode = self.get(nodeid)?.mode;
                Some((name, nodeid, (mode & libc::S_IFMT) >> 12))
            })
            .collect()
    }

    /// `struct fuse_attr` of the file, `time` being all its times in seconds.
    pub fn attributes(&self, own: u64, time: u64) -> Option<Attributes> {
        let node = self.get(own)?;
        let kind = node.mode & libc::S_IFMT;
        let directories = node.children.values().filter_map(|&child| self.get(child));
        let below = directories.filter(|child| child.mode & libc::S_IFMT == libc::S_IFDIR);
        let is_dir = kind == libc::S_IFDIR;
        Some(Attributes {
            ino: own,
            size: if is_dir { u64::from(BLOCK) } else { 0 },
            time,
            mode: node.mode,
            nlink: if is_dir {
                u32::try_from(2 + below.count()).unwrap_or(u32::MAX)
            } else {
                1
            },
            rdev: if kind == libc::S_IFCHR {
                NULL_DEVICE
            } else {
                0
            },
        })
    }
}

fn mode(kind: Kind) -> u32 {
    match kind {
        Kind::File => libc::S_IFREG | 0o644,
        Kind::Dir => libc::S_IFDIR | 0o755,
        Kind::Symlink => libc::S_IFLNK | 0o777,
        Kind::Fifo => libc::S_IFIFO | 0o644,
        Kind::Char => libc::S_IFCHR | 0o644,
    }
}

fn index(nodeid: u64) -> Option<usize> {
    usize::try_from(nodeid.checked_sub(1)?).ok()
}

/// What `struct fuse_attr` says of a file of the daemon's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Access, modification and change time, seconds since 1970.
    pub time: u64,
    /// File type and permissions.
    pub mode: u32,
    /// Names.
    pub nlink: u32,
    /// Device number in the kernel's 32-bit spelling.
    pub rdev: u32,
}
