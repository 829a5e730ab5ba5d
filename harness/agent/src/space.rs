//! What an ext4 has free: exact, so that what a case took and did not give
//! back shows to the block.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lookback_wire::control::OUTSIDE;
use nix::sys::statvfs::fstatvfs;

/// st_blocks counts these (stat(2)).
const SECTOR: u64 = 512;

/// Free blocks and inodes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    blocks: u64,
    inodes: u64,
}

impl Space {
    /// Of the ext4 mounted at `point`, all that is written having its place.
    ///
    /// A directory never shrinks. The two that hold the cases' directories may
    /// have grown for one's name, so that their blocks count as free.
    ///
    /// # Errors
    /// Those of statfs(2) and stat(2).
    pub fn of(point: &str) -> io::Result<Space> {
        // Until they have a place, blocks of delayed allocation are a guess
        // (`ext4_statfs` takes what is reserved off what is free).
        let root = fs::File::open(point)?;
        nix::unistd::syncfs(&root)?;
        let told = fstatvfs(&root)?;
        let outside = Path::new(point).join(OUTSIDE);
        let mut held = root.metadata()?.blocks();
        if let Ok(outside) = fs::symlink_metadata(outside) {
            held += outside.blocks();
        }
        Ok(Space {
            blocks: told.blocks_free() + held * SECTOR / told.fragment_size(),
            inodes: told.files_free(),
        })
    }

    /// What is less free than `before`: blocks and inodes; negative if more is.
    pub fn lost_since(self, before: Space) -> (i64, i64) {
        let lost = |before: u64, now: u64| before.cast_signed().wrapping_sub(now.cast_signed());
        (
            lost(before.blocks, self.blocks),
            lost(before.inodes, self.inodes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_free_any_more_is_lost() {
        let space = |blocks, inodes| Space { blocks, inodes };
        assert_eq!(space(10, 5).lost_since(space(10, 5)), (0, 0));
        assert_eq!(space(7, 4).lost_since(space(10, 5)), (3, 1));
        assert_eq!(space(11, 5).lost_since(space(10, 6)), (-1, 1));
    }
}
