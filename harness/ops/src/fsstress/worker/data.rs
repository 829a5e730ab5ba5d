//! Operations on the contents of a file named by its path.

use super::{Turn, is_file, path};
use crate::fsstress::mix::Kind;
use crate::op::Op;

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
}
