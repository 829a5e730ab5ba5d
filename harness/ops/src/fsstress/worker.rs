//! One worker's stream of operations.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::MAX_FILE;
use super::mix::{Kind, Mix};
use super::model::{Model, Node, SLOTS, Slot};
use crate::op::{Base, Line, NodeKind, Op, Path, RenameFlags, Whence};

/// Directory names in one directory.
const DIR_NAMES: u8 = 3;
/// Other names in one directory.
const FILE_NAMES: u8 = 8;
/// Directories below one another, the worker's own included.
const DEPTH: usize = 5;

const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_TRUNC: u32 = 0o1_000;
const O_APPEND: u32 = 0o2_000;
/// Without it open(2) of a fifo waits for its other end.
const O_NONBLOCK: u32 = 0o4_000;
const O_RDONLY: u32 = 0;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;

pub(super) struct Worker<'a> {
    number: u16,
    home: String,
    mix: &'a Mix,
    rng: ChaCha8Rng,
    model: Model,
    started: bool,
}

impl<'a> Worker<'a> {
    pub fn new(seed: u64, number: u16, mix: &'a Mix) -> Worker<'a> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number.into());
        let home = format!("p{number}");
        let model = Model::new(&home);
        Worker {
            number,
            home,
            mix,
            rng,
            model,
            started: false,
        }
    }

    pub fn next_line(&mut self) -> Line {
        let op = if self.started {
            let kind = self.mix.choose(&mut self.rng);
            self.op(kind)
        } else {
            self.started = true;
            Op::Mkdir {
                path: path(&self.home),
                mode: 0o755,
            }
        };
        Line::new(self.number, op)
    }

    fn op(&mut self, kind: Kind) -> Op {
        match kind {
            Kind::Creat | Kind::Mkdir | Kind::Mknod | Kind::Symlink | Kind::Link => self.make(kind),
            Kind::Unlink => {
                let at = self.existing(|node| node != Node::Dir);
                self.model.unlink(&at);
                Op::Unlink { path: path(&at) }
            }
            Kind::Rmdir => {
                let at = self.directory_to_remove();
                // The worker's own directory stays: without it nothing more happens.
                let at = if at == self.home { self.anywhere() } else { at };
                self.model.rmdir(&at);
                Op::Rmdir { path: path(&at) }
            }
            Kind::Rename | Kind::Rnoreplace | Kind::Rexchange | Kind::Rwhiteout => {
                self.rename(kind)
            }
            Kind::Read | Kind::Write | Kind::Mread | Kind::Mwrite | Kind::Truncate => {
                self.data(kind)
            }
            Kind::Fsync => Op::Fsync {
                path: path(&self.existing(is_file)),
            },
            Kind::Fdatasync => Op::Fdatasync {
                path: path(&self.existing(is_file)),
            },
            Kind::Sync => Op::Sync,
            Kind::Stat => Op::Stat {
                path: path(&self.existing(|_| true)),
            },
            Kind::Getattr => Op::Lstat {
                path: path(&self.existing(|_| true)),
            },
            Kind::Setattr | Kind::Chown => self.attributes(kind),
            Kind::Access => Op::Access {
                path: path(&self.existing(|_| true)),
                mask: self.rng.random_range(0..8),
            },
            Kind::Getdents => Op::Readdir {
                path: path(&self.existing(|node| node == Node::Dir)),
            },
            Kind::Readlink => Op::Readlink {
                path: path(&self.existing(|node| matches!(node, Node::Symlink(_)))),
            },
            Kind::Open => self.open(),
            Kind::Close
            | Kind::Pwrite
            | Kind::Pread
            | Kind::Ftruncate
            | Kind::Fstat
            | Kind::Lseek
            | Kind::Fsyncfd => self.on_slot(kind),
        }
    }

    fn make(&mut self, kind: Kind) -> Op {
        let at = self.new_name(kind == Kind::Mkdir);
        match kind {
            Kind::Mkdir => {
                self.model.add(&at, Node::Dir);
                Op::Mkdir {
                    path: path(&at),
                    mode: self.pick(&[0o755, 0o755, 0o700, 0o1777, 0o2775]),
                }
            }
            Kind::Mknod => {
                self.model.add(&at, Node::Special);
                let null = NodeKind::Char(1, 3);
                let kind = self.pick(&[NodeKind::Fifo, NodeKind::Fifo, NodeKind::Socket, null]);
                Op::Mknod {
                    path: path(&at),
                    kind,
                    mode: self.pick(&[0o644, 0o600, 0o666]),
                }
            }
            Kind::Symlink => {
                let target = self.target();
                self.model.add_symlink(&at, &target);
                Op::Symlink {
                    target,
                    path: path(&at),
                }
            }
            Kind::Link => {
                let old = self.existing(|node| node != Node::Dir);
                self.model.link(&old, &at);
                Op::Link {
                    old: path(&old),
                    new: path(&at),
                }
            }
            _ => {
                self.model.add_file(&at);
                Op::Creat {
                    path: path(&at),
                    mode: self.pick(&[0o644, 0o600, 0o666, 0o755, 0o4755]),
                }
            }
        }
    }

    fn rename(&mut self, kind: Kind) -> Op {
        let old = self.existing(|_| true);
        let old = if old == self.home {
            self.anywhere()
        } else {
            old
        };
        let dir = self.model.get(&old) == Some(Node::Dir);
        let mut flags = RenameFlags::default();
        let onto_existing = match kind {
            Kind::Rnoreplace => 0.2,
            Kind::Rexchange => 0.9,
            _ => 0.4,
        };
        let new = if self.rng.random_bool(onto_existing) {
            self.existing(|node| (node == Node::Dir) == dir)
        } else {
            self.new_name(dir)
        };
        let new = if new == self.home {
            self.anywhere()
        } else {
            new
        };
        match kind {
            Kind::Rnoreplace => flags.noreplace = true,
            Kind::Rexchange => flags.exchange = true,
            Kind::Rwhiteout => flags.whiteout = true,
            _ => {}
        }
        if flags.exchange {
            self.model.exchange(&old, &new);
        } else {
            self.model
                .rename(&old, &new, flags.noreplace, flags.whiteout);
        }
        Op::Rename {
            old: path(&old),
            new: path(&new),
            flags,
        }
    }

    fn data(&mut self, kind: Kind) -> Op {
        let at = self.existing(is_file);
        let inode = self.model.file(&at);
        let size = inode.map_or(0, |inode| self.model.size(inode));
        let path = path(&at);
        match kind {
            Kind::Read => {
                let (off, len) = self.range(size.max(4096));
                Op::Read { path, off, len }
            }
            Kind::Mread => {
                let (off, len) = self.range(size.max(1));
                Op::MmapRead { path, off, len }
            }
            Kind::Mwrite => {
                let (off, len) = self.range(size.max(1));
                Op::MmapWrite {
                    path,
                    off,
                    len,
                    seed: self.seed(),
                }
            }
            Kind::Truncate => {
                let size = self.new_size(size);
                self.model.resize(inode, size);
                Op::Truncate { path, size }
            }
            _ => {
                let (off, len) = self.write_range(size);
                self.model.extend(inode, off + u64::from(len));
                Op::Write {
                    path,
                    off,
                    len,
                    seed: self.seed(),
                }
            }
        }
    }

    fn attributes(&mut self, kind: Kind) -> Op {
        let path = path(&self.existing(|_| true));
        if kind == Kind::Chown {
            let (uid, gid) = (self.owner(), self.owner());
            return Op::Chown { path, uid, gid };
        }
        if self.rng.random_bool(0.6) {
            let mode = self.pick(&[0o644, 0o600, 0o755, 0o777, 0o400, 0o1777, 0o2755, 0o4755, 0]);
            return Op::Chmod { path, mode };
        }
        let mut time = || {
            (
                self.rng.random_range(0..2_000_000_000),
                self.rng.random_range(0..1_000_000_000),
            )
        };
        Op::Utimens {
            path,
            atime: time(),
            mtime: time(),
        }
    }

    fn open(&mut self) -> Op {
        let slot = self.rng.random_range(0..SLOTS);
        let access = self.pick(&[O_RDONLY, O_WRONLY, O_RDWR, O_RDWR]);
        let mut flags = O_NONBLOCK | access;
        let create = self.rng.random_bool(0.3);
        if create {
            flags |= O_CREAT;
            flags |= if self.rng.random_bool(0.2) { O_EXCL } else { 0 };
        }
        flags |= if self.rng.random_bool(0.1) {
            O_TRUNC
        } else {
            0
        };
        flags |= if self.rng.random_bool(0.1) {
            O_APPEND
        } else {
            0
        };
        let at = if create && self.rng.random_bool(0.5) {
            self.new_name(false)
        } else {
            self.existing(is_file)
        };
        if create {
            self.model.open_or_add(&at, flags & O_EXCL != 0);
        }
        let inode = self.model.file(&at);
        if flags & O_TRUNC != 0 {
            self.model.resize(inode, 0);
        }
        let open = Slot {
            inode,
            reads: access != O_WRONLY,
            writes: access != O_RDONLY,
        };
        self.model.slots[slot] = self.model.get(&at).map(|_| open);
        let mode = if create { 0o644 } else { 0 };
        Op::Open {
            slot: slot_number(slot),
            path: path(&at),
            flags,
            mode,
        }
    }

    fn on_slot(&mut self, kind: Kind) -> Op {
        let suits = |slot: &Slot| match kind {
            Kind::Pwrite | Kind::Ftruncate => slot.writes && slot.inode.is_some(),
            Kind::Pread => slot.reads && slot.inode.is_some(),
            _ => true,
        };
        let suited: Vec<_> = (0..SLOTS)
            .filter(|at| self.model.slots[*at].as_ref().is_some_and(suits))
            .collect();
        let at = if suited.is_empty() || self.rng.random_bool(0.05) {
            self.rng.random_range(0..SLOTS)
        } else {
            self.pick(&suited)
        };
        let inode = self.model.slots[at].and_then(|slot| slot.inode);
        let size = inode.map_or(0, |inode| self.model.size(inode));
        let slot = slot_number(at);
        match kind {
            Kind::Close => {
                self.model.slots[at] = None;
                Op::Close { slot }
            }
            Kind::Pwrite => {
                let (off, len) = self.write_range(size);
                self.model.extend(inode, off + u64::from(len));
                Op::Pwrite {
                    slot,
                    off,
                    len,
                    seed: self.seed(),
                }
            }
            Kind::Pread => {
                let (off, len) = self.range(size.max(4096));
                Op::Pread { slot, off, len }
            }
            Kind::Ftruncate => {
                let size = self.new_size(size);
                self.model.resize(inode, size);
                Op::Ftruncate { slot, size }
            }
            Kind::Lseek => {
                let whence = self.pick(&[
                    Whence::Set,
                    Whence::Cur,
                    Whence::End,
                    Whence::Data,
                    Whence::Hole,
                ]);
                let off = self
                    .rng
                    .random_range(-64..=i64::try_from(size).unwrap_or(0) + 64);
                Op::Lseek { slot, off, whence }
            }
            Kind::Fsyncfd => Op::Fsyncfd { slot },
            _ => Op::Fstat { slot },
        }
    }

    /// Most often a path of the wanted sort, sometimes of another, sometimes
    /// one that may be missing.
    fn existing(&mut self, wanted: impl Fn(Node) -> bool) -> String {
        let roll = self.rng.random_range(0..100);
        let mut found = match roll {
            0..80 => self.model.matching(wanted),
            80..90 => self.model.matching(|_| true),
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
    fn directory_to_remove(&mut self) -> String {
        let mut empty = self.model.matching(|node| node == Node::Dir);
        empty.retain(|at| self.model.is_empty(at));
        if empty.is_empty() || self.rng.random_bool(0.5) {
            return self.existing(|node| node == Node::Dir);
        }
        let at = self.rng.random_range(0..empty.len());
        empty[at].to_owned()
    }

    /// A name in a directory that most likely exists; taken already now and then.
    fn new_name(&mut self, dir: bool) -> String {
        let deepest = if dir { DEPTH - 1 } else { DEPTH };
        let mut dirs = self.model.matching(|node| node == Node::Dir);
        dirs.retain(|at| at.split('/').count() <= deepest);
        let parent = if dirs.is_empty() || self.rng.random_bool(0.03) {
            self.anywhere()
        } else {
            let at = self.rng.random_range(0..dirs.len());
            dirs[at].to_owned()
        };
        for _ in 0..4 {
            let name = format!("{parent}/{}", self.name(dir));
            if self.model.get(&name).is_none() || self.rng.random_bool(0.1) {
                return name;
            }
        }
        format!("{parent}/{}", self.name(dir))
    }

    /// A path of the pool, there or not.
    fn anywhere(&mut self) -> String {
        let mut at = self.home.clone();
        for _ in 0..self.rng.random_range(0..3) {
            at = format!("{at}/{}", self.name(true));
        }
        let dir = self.rng.random_bool(0.2);
        format!("{at}/{}", self.name(dir))
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
    fn target(&mut self) -> String {
        let dir = self.rng.random_bool(0.3);
        let name = self.name(dir);
        if self.rng.random_bool(0.3) {
            format!("{}/{name}", self.name(true))
        } else {
            name
        }
    }

    /// Part of the first `size` bytes and a little more.
    fn range(&mut self, size: u64) -> (u64, u32) {
        let off = self.rng.random_range(0..size + size / 8 + 1);
        (off, self.len())
    }

    fn write_range(&mut self, size: u64) -> (u64, u32) {
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

    fn len(&mut self) -> u32 {
        match self.rng.random_range(0..10) {
            0 => self.rng.random_range(1..=64 << 10),
            1..3 => 4096,
            _ => self.rng.random_range(1..=6000),
        }
    }

    fn new_size(&mut self, size: u64) -> u64 {
        match self.rng.random_range(0..10) {
            0 => 0,
            1 => self.rng.random_range(0..=MAX_FILE),
            2..6 => self.rng.random_range(0..=16 << 10),
            _ => self.rng.random_range(0..=size),
        }
    }

    /// Small enough to read in a trace.
    fn seed(&mut self) -> u64 {
        self.rng.random_range(0..1000)
    }

    fn owner(&mut self) -> Option<u32> {
        self.pick(&[None, Some(0), Some(1000), Some(1001), Some(65534)])
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }
}

fn is_file(node: Node) -> bool {
    matches!(node, Node::File(_))
}

fn path(rel: &str) -> Path {
    Path {
        base: Base::Arm,
        rel: rel.to_owned(),
    }
}

fn slot_number(slot: usize) -> u16 {
    u16::try_from(slot).unwrap_or(0)
}
