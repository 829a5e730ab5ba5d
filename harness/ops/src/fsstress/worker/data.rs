//! Operations on the contents of a file named by its path.

use rand::Rng;

use super::{Turn, is_file, path};
use crate::fsstress::mix::Kind;
use crate::op::{IoOp, Means, Op};

impl Turn<'_> {
    pub(super) fn data(&mut self, kind: Kind) -> Op {
        let at = self.existing(is_file);
        let inode = self.tree.file(&at);
        let size = inode.map_or(0, |inode| self.tree.size(inode));
        let path = path(&at);
        match kind {
            Kind::Read => {
                let (off, len) = self.range(size.max(4096));
                Op::Read { path, off, len }
            }
            Kind::Readv | Kind::Dread | Kind::Aread | Kind::UringRead => {
                let by = self.means(kind);
                let (off, len) = self.range(size.max(4096));
                let (off, len) = self.aligned_if(is_direct(by), off, len);
                Op::Io(IoOp::Read { by, path, off, len })
            }
            Kind::Writev | Kind::Dwrite | Kind::Awrite | Kind::UringWrite => {
                let by = self.means(kind);
                let (off, len) = self.write_range(size);
                let (off, len) = self.aligned_if(is_direct(by), off, len);
                self.tree.extend(inode, off + u64::from(len));
                Op::Io(IoOp::Write {
                    by,
                    path,
                    off,
                    len,
                    seed: self.seed(),
                })
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
                self.tree.resize(inode, size);
                Op::Truncate { path, size }
            }
            _ => {
                let (off, len) = self.write_range(size);
                self.tree.extend(inode, off + u64::from(len));
                Op::Write {
                    path,
                    off,
                    len,
                    seed: self.seed(),
                }
            }
        }
    }

    fn means(&mut self, kind: Kind) -> Means {
        match kind {
            Kind::Readv | Kind::Writev => Means::Vector {
                parts: self.rng.random_range(1..=8),
            },
            Kind::Dread | Kind::Dwrite => Means::Direct,
            Kind::Aread | Kind::Awrite => Means::Aio,
            _ => Means::Uring,
        }
    }
}

/// It opens with O_DIRECT.
fn is_direct(by: Means) -> bool {
    matches!(by, Means::Direct | Means::Aio)
}
