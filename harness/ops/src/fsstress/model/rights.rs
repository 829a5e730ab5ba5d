//! Who may do what, as far as modes tell: no ACLs, no attributes.

use super::{Inode, Model, Node};

/// Bits of one class of a mode.
pub(in super::super) const READ: u32 = 4;
pub(in super::super) const WRITE: u32 = 2;
pub(super) const SEARCH: u32 = 1;

const STICKY: u32 = 0o1000;

/// Whom a worker stands for. Its group has the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct User {
    pub id: u32,
    pub umask: u32,
}

impl Default for User {
    fn default() -> User {
        User {
            id: 0,
            umask: 0o022,
        }
    }
}

impl User {
    pub fn is_root(self) -> bool {
        self.id == 0
    }

    /// What is made with `mode`.
    pub(super) fn owns(self, mode: u32) -> Rights {
        Rights {
            mode: mode & !self.umask,
            owner: self.id,
            group: self.id,
        }
    }
}

/// Mode and owners.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    mode: u32,
    owner: u32,
    group: u32,
}

impl Rights {
    fn allow(self, user: User, wanted: u32) -> bool {
        let class = match user.id {
            0 => return true,
            id if id == self.owner => self.mode >> 6,
            id if id == self.group => self.mode >> 3,
            _ => self.mode,
        };
        class & wanted == wanted
    }
}

impl Model {
    /// Where `path` leads can be opened for `wanted` by whoever's turn it is.
    pub fn opens(&self, path: &str, wanted: u32) -> bool {
        self.resolve(path, true).is_some_and(|at| {
            let leads = self.leads_to(&at);
            leads
                && self
                    .inode_at(&at)
                    .is_none_or(|inode| inode.rights.allow(self.user, wanted))
        })
    }

    pub fn chmod(&mut self, path: &str, mode: u32) {
        let user = self.user;
        if let Some(rights) = self.rights_mut(path, true)
            && (user.is_root() || rights.owner == user.id)
        {
            rights.mode = mode;
        }
    }

    pub fn chown(&mut self, path: &str, owner: Option<u32>, group: Option<u32>) {
        if !self.user.is_root() {
            return;
        }
        if let Some(rights) = self.rights_mut(path, false) {
            rights.owner = owner.unwrap_or(rights.owner);
            rights.group = group.unwrap_or(rights.group);
        }
    }

    /// The directory of the resolved `path` is there and takes a new name.
    pub(super) fn parent_takes(&self, path: &str) -> bool {
        let parent = parent(path);
        let inode = self.inode_at(parent);
        self.leads_to(path)
            && self.get(parent).is_some_and(Node::is_dir)
            && inode.is_some_and(|inode| inode.rights.allow(self.user, WRITE | SEARCH))
    }

    /// And lets the name that is there go.
    pub(super) fn parent_gives(&self, path: &str) -> bool {
        let owner = |inode: &Inode| inode.rights.owner == self.user.id;
        let sticky = self.inode_at(parent(path)).is_some_and(|inode| {
            inode.rights.mode & STICKY != 0 && !self.user.is_root() && !owner(inode)
        });
        self.parent_takes(path) && (!sticky || self.inode_at(path).is_some_and(owner))
    }

    /// All directories above the resolved `path` can be walked through.
    fn leads_to(&self, path: &str) -> bool {
        let mut above = path;
        while !above.is_empty() {
            above = parent(above);
            let walked = self.inode_at(above);
            if walked.is_some_and(|inode| !inode.rights.allow(self.user, SEARCH)) {
                return false;
            }
        }
        true
    }

    fn inode_at(&self, path: &str) -> Option<&Inode> {
        match self.get(path)? {
            Node::Dir(inode) | Node::File(inode) => self.inodes.get(inode),
            Node::Symlink(_) | Node::Special => None,
        }
    }

    fn rights_mut(&mut self, path: &str, follow: bool) -> Option<&mut Rights> {
        let at = self.resolve(path, follow)?;
        match self.get(&at)? {
            Node::Dir(inode) | Node::File(inode) if self.leads_to(&at) => {
                Some(&mut self.inodes.get_mut(inode)?.rights)
            }
            _ => None,
        }
    }
}

/// The directory of a path; that of a single name is the case's.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u32) -> User {
        User { id, umask: 0 }
    }

    #[test]
    fn who_may_not_changes_nothing() {
        let mut model = Model::new("");
        model.add_dir("d", 0o755);
        model.add_file("d/f", 0o644);
        model.user = user(1000);
        model.unlink("d/f");
        model.add_file("d/g", 0o644);
        model.chmod("d", 0o777);
        assert_eq!(model.matching(|_| true), ["", "d", "d/f"]);
        assert!(model.opens("d/f", READ) && !model.opens("d/f", WRITE));
        model.user = user(0);
        model.chown("d", Some(1000), None);
        model.chmod("d", 0o700);
        model.user = user(1000);
        model.rename("d/f", "d/g", false, false);
        assert_eq!(model.matching(|_| true), ["", "d", "d/g"]);
        model.user = user(1001);
        assert!(!model.opens("d/g", READ));
    }

    #[test]
    fn in_a_sticky_directory_names_are_their_owners() {
        let mut model = Model::new("");
        model.add_dir("d", 0);
        model.chmod("d", 0o1777);
        model.user = user(1000);
        model.add_file("d/f", 0o666);
        model.user = user(1001);
        model.unlink("d/f");
        assert_eq!(model.matching(|_| true), ["", "d", "d/f"]);
        model.user = user(1000);
        model.unlink("d/f");
        assert_eq!(model.matching(|_| true), ["", "d"]);
    }
}
