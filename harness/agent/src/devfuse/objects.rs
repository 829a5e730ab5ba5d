//! What backs, as descriptors of the daemon.

use std::cell::RefCell;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::server::Objects;

/// A number no descriptor has: the limit of the system (fs.nr_open) is lower.
const CLOSED: i32 = i32::MAX;

/// Open a path as a backing object: O_PATH, the thing itself.
///
/// # Errors
/// Those of open(2).
pub fn open_path(path: &str) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

/// The registered objects.
#[derive(Debug)]
pub struct Held {
    objects: Vec<(u64, OwnedFd)>,
    /// Ids of the root of the mount the daemon itself serves.
    own_root: Vec<u64>,
    mount_point: String,
    /// Descriptors of that root, only while a reply needs them: they would
    /// keep the mount busy.
    borrowed: RefCell<Vec<OwnedFd>>,
}

impl Held {
    /// `objects` by id, and the ids in `own_root` for the root at `mount_point`.
    pub fn new(objects: Vec<(u64, OwnedFd)>, own_root: Vec<u64>, mount_point: &str) -> Held {
        Held {
            objects,
            own_root,
            mount_point: mount_point.to_owned(),
            borrowed: RefCell::default(),
        }
    }

    /// No reply needs the mount's own root any more.
    pub fn give_back(&self) {
        self.borrowed.borrow_mut().clear();
    }

    /// The walk ends at the mount's root without going below it, and O_PATH
    /// opens nothing: the file system is asked nothing, so the daemon may.
    fn borrow_root(&self) -> Result<i32, Errno> {
        let root = open_path(&self.mount_point)?;
        let number = root.as_raw_fd();
        self.borrowed.borrow_mut().push(root);
        Ok(number)
    }
}

impl Objects for Held {
    fn descriptor(&self, id: u64) -> u64 {
        let held = self.objects.iter().find(|(known, _)| *known == id);
        let number = match held {
            Some((_, object)) => object.as_raw_fd(),
            None if self.own_root.contains(&id) => self.borrow_root().unwrap_or(CLOSED),
            None => CLOSED,
        };
        u64::from(number.unsigned_abs())
    }
}
