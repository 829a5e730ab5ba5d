//! Where in the share a directory is, by nodeid.
//!
//! A rule names a path, a LOOKUP names its parent by nodeid. Only directories
//! are kept: nothing else is a parent.

use std::collections::HashMap;

use virtiofsd::fuse::ROOT_ID;

/// Deeper than any path a guest can name (PATH_MAX / 2 components).
const MAX_DEPTH: usize = 2048;

#[derive(Debug)]
struct Place {
    parent: u64,
    name: Box<[u8]>,
    /// References the guest holds; at none the nodeid is never heard again.
    references: u64,
}

/// The directories the guest knows.
#[derive(Debug, Default)]
pub(crate) struct Names {
    places: HashMap<u64, Place>,
    by_name: HashMap<(u64, Box<[u8]>), u64>,
}

impl Names {
    /// A reply told the guest that `name` in `parent` is the directory
    /// `nodeid`; it holds one more reference.
    pub(crate) fn learn(&mut self, nodeid: u64, parent: u64, name: &[u8]) {
        if nodeid == ROOT_ID || nodeid == 0 || matches!(name, b"" | b"." | b"..") {
            return;
        }
        let references = self.places.get(&nodeid).map_or(0, |place| place.references);
        self.place(nodeid, parent, name, references.saturating_add(1));
    }

    /// The guest gave `count` references back.
    pub(crate) fn forget(&mut self, nodeid: u64, count: u64) {
        let Some(place) = self.places.get_mut(&nodeid) else {
            return;
        };
        place.references = place.references.saturating_sub(count);
        if place.references == 0 {
            self.take(nodeid);
        }
    }

    /// A rename that succeeded.
    pub(crate) fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), exchange: bool) {
        let at = |names: &Self, (parent, name): (u64, &[u8])| {
            names.by_name.get(&(parent, name.into())).copied()
        };
        let moved = at(self, from);
        let met = at(self, to);
        if let Some(nodeid) = moved {
            self.relocate(nodeid, to);
        }
        if let Some(nodeid) = met.filter(|_| exchange) {
            self.relocate(nodeid, from);
        }
    }

    /// Path of `name` in the directory `parent`, relative to the share's
    /// root; `None` if the directory's place is not known.
    pub(crate) fn path(&self, parent: u64, name: &[u8]) -> Option<Vec<u8>> {
        let mut components = vec![name];
        let mut nodeid = parent;
        while nodeid != ROOT_ID {
            let place = self.places.get(&nodeid)?;
            components.push(&place.name);
            nodeid = place.parent;
            if components.len() > MAX_DEPTH {
                return None;
            }
        }
        components.reverse();
        Some(components.join(&b'/'))
    }

    /// The connection began or ended.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.by_name.clear();
    }

    fn relocate(&mut self, nodeid: u64, (parent, name): (u64, &[u8])) {
        if let Some(place) = self.take(nodeid) {
            self.place(nodeid, parent, name, place.references);
        }
    }

    fn place(&mut self, nodeid: u64, parent: u64, name: &[u8], references: u64) {
        self.take(nodeid);
        let name: Box<[u8]> = name.into();
        self.by_name.insert((parent, name.clone()), nodeid);
        self.places.insert(
            nodeid,
            Place {
                parent,
                name,
                references,
            },
        );
    }

    fn take(&mut self, nodeid: u64) -> Option<Place> {
        let place = self.places.remove(&nodeid)?;
        let key = (place.parent, place.name.clone());
        // Another directory may have this name by now.
        if self.by_name.get(&key) == Some(&nodeid) {
            self.by_name.remove(&key);
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// a(2)/b(3), c(4)
    fn tree() -> Names {
        let mut names = Names::default();
        names.learn(2, 1, b"a");
        names.learn(3, 2, b"b");
        names.learn(4, 1, b"c");
        names
    }

    fn path(names: &Names, parent: u64, name: &str) -> Option<String> {
        names
            .path(parent, name.as_bytes())
            .map(|path| String::from_utf8(path).unwrap())
    }

    #[test]
    fn a_path_is_relative_to_the_root() {
        let names = tree();
        assert_eq!(path(&names, 1, "stack").as_deref(), Some("stack"));
        assert_eq!(path(&names, 3, "f").as_deref(), Some("a/b/f"));
        assert_eq!(path(&names, 9, "f"), None);
        assert_eq!(path(&names, 0, "f"), None);
    }

    #[test]
    fn a_rename_moves_what_is_below() {
        let mut names = tree();
        names.rename((1, b"a"), (4, b"z"), false);
        assert_eq!(path(&names, 3, "f").as_deref(), Some("c/z/b/f"));
        // The name is free, the place below it is gone.
        names.learn(5, 1, b"a");
        assert_eq!(path(&names, 5, "f").as_deref(), Some("a/f"));
    }

    #[test]
    fn an_exchange_moves_both() {
        let mut names = tree();
        names.rename((2, b"b"), (1, b"c"), true);
        assert_eq!(path(&names, 3, "f").as_deref(), Some("c/f"));
        assert_eq!(path(&names, 4, "f").as_deref(), Some("a/b/f"));
    }

    #[test]
    fn a_rename_over_a_directory_keeps_the_moved_one() {
        let mut names = tree();
        names.rename((2, b"b"), (1, b"c"), false);
        assert_eq!(path(&names, 3, "f").as_deref(), Some("c/f"));
        // The overwritten one is forgotten later, and takes no name with it.
        names.forget(4, 1);
        names.rename((1, b"c"), (1, b"d"), false);
        assert_eq!(path(&names, 3, "f").as_deref(), Some("d/f"));
    }

    #[test]
    fn the_last_reference_takes_the_place_along() {
        let mut names = tree();
        names.learn(2, 1, b"a");
        names.forget(2, 1);
        assert_eq!(path(&names, 2, "f").as_deref(), Some("a/f"));
        names.forget(2, 1);
        assert_eq!(path(&names, 2, "f"), None);
        names.forget(2, 1);
        names.forget(3, u64::MAX);
        names.forget(4, 1);
        assert!(names.places.is_empty() && names.by_name.is_empty());
    }

    #[test]
    fn a_cycle_ends() {
        let mut names = tree();
        names.learn(2, 3, b"x");
        assert_eq!(path(&names, 3, "f"), None);
    }

    #[test]
    fn dots_are_no_names() {
        let mut names = tree();
        names.learn(2, 3, b"..");
        assert_eq!(path(&names, 2, "f").as_deref(), Some("a/f"));
    }
}
