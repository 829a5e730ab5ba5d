//! What a tree looks like.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use lookback_ops::StatView;
use lookback_ops::tree::{Node, Snapshot, Told};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, readlink};
use nix::sys::stat::{FileStat, Mode, SFlag, lstat};
use xxhash_rust::xxh3::Xxh3;

use crate::board::Board;
use crate::exec::{Listed, extents, inode_flags, list, open_dir, view};

mod xattrs;

/// Bytes digested at a time.
const BUFFER: usize = 256 << 10;

/// Walk several trees, each in a thread that is gone by the end: most of a walk is
/// waiting for a disk or a server, and there is more than one processor.
pub fn take_all<T: Copy>(roots: &[(T, &str)], board: &Board) -> Vec<(T, Snapshot)> {
    std::thread::scope(|scope| {
        let walk = |&(_, root)| scope.spawn(move || take(root, board));
        let walks: Vec<_> = roots.iter().map(walk).collect();
        let snapshots = walks.into_iter().map(|walk| match walk.join() {
            Ok(snapshot) => snapshot,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        roots.iter().map(|(of, _)| *of).zip(snapshots).collect()
    })
}

/// Walk the tree at `root`, whose file system was synced: before that blocks
/// are promised and not there. What can't be read is noted in its node.
///
/// Of each name stat comes first: reading a file, a directory or a link sets
/// its access time, and what the case itself left there is what is wanted.
pub fn take(root: &str, board: &Board) -> Snapshot {
    let mut walk = Walk {
        root,
        board,
        buffer: vec![0; BUFFER],
        attributes: Vec::new(),
        found: Vec::new(),
    };
    let mut pending = vec![Pending {
        path: Vec::new(),
        d_type: libc::DT_UNKNOWN,
        d_ino: None,
    }];
    while let Some(next) = pending.pop() {
        walk.visit(next, &mut pending);
    }
    let mut found = walk.found;
    found.sort_by(|a, b| a.node.path.cmp(&b.node.path));
    let mut first = HashMap::new();
    let link = |found: Found| {
        let mut node = found.node;
        if let Some(inode) = found.inode {
            node.first_link = first
                .entry(inode)
                .or_insert_with(|| node.path.clone())
                .clone();
        }
        node
    };
    Snapshot {
        nodes: found.into_iter().map(link).collect(),
    }
}

/// Write back the file system that has `dir`, so that what was written has its
/// blocks. One that can't is one whose tree can't be read either, which tells more.
pub fn settle(dir: &str) {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    if let Ok(dir) = open(dir, flags, Mode::empty()) {
        let _ = nix::unistd::syncfs(dir);
    }
}

/// A name yet to be looked at.
struct Pending {
    /// Relative to the root, as the kernel spells it.
    path: Vec<u8>,
    d_type: u8,
    d_ino: Option<u64>,
}

struct Found {
    node: Node,
    /// Device and inode number, where lstat worked.
    inode: Option<(u64, u64)>,
}

struct Walk<'a> {
    root: &'a str,
    board: &'a Board,
    buffer: Vec<u8>,
    attributes: Vec<u8>,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn visit(&mut self, next: Pending, pending: &mut Vec<Pending>) {
        self.board.beat();
        let path = OsStr::from_bytes(&next.path).to_string_lossy().into_owned();
        let mut node = Node {
            first_link: path.clone(),
            path,
            stat: unknown(),
            d_type: next.d_type,
            d_ino: next.d_ino.unwrap_or(0),
            digest: None,
            target: None,
            blocks: 0,
            flags: None,
            extents: None,
            pieces: 0,
            xattrs: None,
            error: None,
        };
        let mut inode = None;
        if let Err((what, errno)) = self.read(&next, &mut node, &mut inode, pending) {
            node.error = Some((what.into(), errno as i32));
        }
        self.found.push(Found { node, inode });
    }

    fn read(
        &mut self,
        next: &Pending,
        node: &mut Node,
        inode: &mut Option<(u64, u64)>,
        pending: &mut Vec<Pending>,
    ) -> Result<(), (&'static str, Errno)> {
        let full = self.full(&next.path).map_err(|errno| ("path", errno))?;
        let stat = lstat(full.as_c_str()).map_err(|errno| ("lstat", errno))?;
        node.stat = view(&stat);
        node.d_ino = next.d_ino.unwrap_or(stat.st_ino);
        *inode = Some((stat.st_dev, stat.st_ino));
        node.blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        node.xattrs = Some(told(xattrs::read(&full, &mut self.attributes)));
        match kind(&stat) {
            SFlag::S_IFDIR => {
                let mut dir = open_dir(&full).map_err(|errno| ("open", errno))?;
                node.flags = Some(told(inode_flags(&dir)));
                let listed = list(&mut dir).map_err(|errno| ("getdents", errno))?;
                pending.extend(listed.into_iter().map(|entry| below(&next.path, &entry)));
            }
            SFlag::S_IFREG => {
                let file = open_file(&full).map_err(|errno| ("open", errno))?;
                node.flags = Some(told(inode_flags(&file)));
                let extents = told(extents(&file));
                node.pieces = extents.as_ref().map_or(0, |(_, pieces)| *pieces);
                node.extents = Some(extents.map(|(extents, _)| extents));
                node.digest = Some(self.digest(&file).map_err(|errno| ("read", errno))?);
            }
            SFlag::S_IFLNK => {
                let target = readlink(full.as_c_str()).map_err(|errno| ("readlink", errno))?;
                node.target = Some(target.to_string_lossy().into_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn full(&self, path: &[u8]) -> nix::Result<CString> {
        let mut full = self.root.as_bytes().to_vec();
        if !path.is_empty() {
            full.push(b'/');
            full.extend(path);
        }
        CString::new(full).map_err(|_| Errno::EINVAL)
    }

    fn digest(&mut self, file: impl AsFd) -> nix::Result<u64> {
        let mut digest = Xxh3::new();
        loop {
            match nix::unistd::read(&file, &mut self.buffer)? {
                0 => return Ok(digest.digest()),
                n => digest.update(&self.buffer[..n]),
            }
        }
    }
}

fn open_file(path: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

/// An errno, too, is what the kernel said.
fn told<T>(result: nix::Result<T>) -> Told<T> {
    result.map_err(|errno| errno as i32)
}

fn below(dir: &[u8], entry: &Listed) -> Pending {
    let mut path = dir.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend(entry.name.as_bytes());
    Pending {
        path,
        d_type: entry.d_type,
        d_ino: Some(entry.d_ino),
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Stands for what lstat(2) refused to tell.
fn unknown() -> StatView {
    StatView {
        mode: 0,
        uid: 0,
        gid: 0,
        nlink: 0,
        size: 0,
        rdev: (0, 0),
        blksize: 0,
        ino: 0,
        atime: (0, 0),
        mtime: (0, 0),
        ctime: (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_tree_is_read_in_order_with_its_links() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("a")).unwrap();
        fs::write(at("a/f"), b"x").unwrap();
        fs::write(at("a-b"), b"").unwrap();
        fs::hard_link(at("a/f"), at("z")).unwrap();
        symlink("nowhere", at("l")).unwrap();
        let root = dir.path().to_str().unwrap();
        let snapshot = take(root, Board::new().unwrap());
        let paths: Vec<_> = snapshot.nodes.iter().map(|n| n.path.as_str()).collect();
        assert_eq!(paths, ["", "a", "a-b", "a/f", "l", "z"]);
        let node = |path: &str| snapshot.nodes.iter().find(|n| n.path == path).unwrap();
        assert_eq!(node("z").first_link, "a/f");
        assert_eq!(
            (node("z").stat.nlink, node("z").digest),
            (2, node("a/f").digest)
        );
        assert_ne!(node("a-b").digest, node("z").digest);
        assert_eq!(node("l").target.as_deref(), Some("nowhere"));
        assert_eq!((node("a").d_type, node("a").digest), (libc::DT_DIR, None));
        assert!(
            snapshot
                .nodes
                .iter()
                .all(|n| n.d_ino == n.stat.ino && n.error.is_none())
        );
    }

    #[test]
    fn what_can_not_be_read_says_why() {
        let snapshot = take("/nonexistent/tree", Board::new().unwrap());
        assert_eq!(snapshot.nodes.len(), 1);
        assert_eq!(
            snapshot.nodes[0].error,
            Some(("lstat".into(), libc::ENOENT))
        );
    }
}
