//! Nodeids that a rule gave to files of the file system.

use std::collections::HashMap;

/// What the guest calls by another nodeid than the file system does.
///
/// One name may stand for several files, as rules have it: requests reach the
/// one named last that the guest still knows.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    /// The file system's nodeid and the references the guest holds.
    files: HashMap<u64, Vec<(u64, u64)>>,
}

impl Aliases {
    /// The file system's nodeid for the guest's.
    pub(crate) fn real(&self, nodeid: u64) -> u64 {
        let files = self.files.get(&nodeid);
        files
            .and_then(|files| files.last())
            .map_or(nodeid, |&(real, _)| real)
    }

    /// A reply called `real` by the name `nodeid`.
    pub(crate) fn add(&mut self, nodeid: u64, real: u64) {
        let files = self.files.entry(nodeid).or_default();
        let before = files.iter().position(|&(file, _)| file == real);
        let references = before.map_or(0, |index| files.remove(index).1);
        files.push((real, references.saturating_add(1)));
    }

    /// The guest gave `count` references to `nodeid` back: those of which
    /// files, and how many of each. More than it holds reach nobody.
    pub(crate) fn forget(&mut self, nodeid: u64, mut count: u64) -> Vec<(u64, u64)> {
        let Some(files) = self.files.get_mut(&nodeid) else {
            return vec![(nodeid, count)];
        };
        let mut back = Vec::new();
        while let Some((real, references)) = files.last_mut() {
            let part = count.min(*references);
            if part == 0 {
                break;
            }
            back.push((*real, part));
            count -= part;
            *references -= part;
            if *references == 0 {
                files.pop();
            }
        }
        if files.is_empty() {
            self.files.remove(&nodeid);
        }
        back
    }

    /// The connection began or ended.
    pub(crate) fn clear(&mut self) {
        self.files.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: u64 = 1 << 40;

    #[test]
    fn what_has_no_alias_is_itself() {
        let mut aliases = Aliases::default();
        assert_eq!(aliases.real(3), 3);
        assert_eq!(aliases.forget(3, 2), [(3, 2)]);
    }

    #[test]
    fn a_name_lasts_as_long_as_its_references() {
        let mut aliases = Aliases::default();
        aliases.add(NAME, 3);
        aliases.add(NAME, 3);
        assert_eq!(aliases.real(NAME), 3);
        assert_eq!(aliases.forget(NAME, 1), [(3, 1)]);
        assert_eq!(aliases.real(NAME), 3);
        assert_eq!(aliases.forget(NAME, 5), [(3, 1)]);
        assert_eq!(aliases.real(NAME), NAME);
        assert!(aliases.files.is_empty());
    }

    #[test]
    fn the_file_named_last_is_meant_and_forgotten_first() {
        let mut aliases = Aliases::default();
        for real in [3, 4, 3] {
            aliases.add(NAME, real);
        }
        assert_eq!(aliases.real(NAME), 3);
        assert_eq!(aliases.forget(NAME, 2), [(3, 2)]);
        assert_eq!(aliases.real(NAME), 4);
        aliases.add(NAME, 3);
        assert_eq!(aliases.forget(NAME, u64::MAX), [(3, 1), (4, 1)]);
    }
}
