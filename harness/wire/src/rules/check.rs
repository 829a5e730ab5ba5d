//! What the types of the rules can't say.

use thiserror::Error;

use super::{FIRST_FREE_NODEID, Kind, LookupRule, Rules};

/// The longest a reply may wait, in milliseconds: an hour.
const MAX_DELAY_MS: u64 = 3_600_000;
/// `out_header.len` at most, in bytes: far more than any request's room.
const MAX_LEN: u32 = 1 << 20;

/// A rule no LOOKUP can match, or that says two things at once.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RulesError {
    /// The path is not one a share has.
    #[error(
        "lookup rule {path:?}: a path is relative to the share's root, without empty, `.` or `..` components"
    )]
    Path {
        /// The path, as written.
        path: String,
    },
    /// An earlier rule answers all this one could.
    #[error(
        "lookup rule {path:?}: a rule before it answers every LOOKUP this one could (from {from})"
    )]
    Never {
        /// The path.
        path: String,
        /// The first LOOKUP the rule is for.
        from: u64,
    },
    /// There is no LOOKUP in the range.
    #[error("lookup rule {path:?}: from {from} to {to}: LOOKUPs are counted from 1 upwards")]
    Range {
        /// The path.
        path: String,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The backing id is out of range.
    #[error(
        "lookup rule {path:?}: backing id {id} is not between 1 and {max}; \
         `entries` takes any",
        max = i32::MAX
    )]
    Id {
        /// The path.
        path: String,
        /// The id.
        id: u64,
    },
    /// The nodeid is one the file system gives to some other file.
    #[error(
        "lookup rule {path:?}: nodeid {nodeid} is the file system's to give; \
         0, or from {FIRST_FREE_NODEID} on, is a rule's"
    )]
    Nodeid {
        /// The path.
        path: String,
        /// The nodeid.
        nodeid: u64,
    },
    /// Two keys say what comes behind the reply, or an error has something.
    #[error("lookup rule {path:?}: `{one}` and `{other}` exclude each other")]
    Exclusive {
        /// The path.
        path: String,
        /// One key.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// Two rules of one path want different files there.
    #[error("lookup rule {path:?}: another rule has a different `kind` for this path")]
    Kinds {
        /// The path.
        path: String,
    },
    /// A path below one that is no directory.
    #[error("lookup rule {path:?}: {above:?} above it is no directory")]
    Below {
        /// The path.
        path: String,
        /// The rule's path that has another kind.
        above: String,
    },
    /// A number beyond all use.
    #[error("lookup rule {path:?}: `{key}` is at most {max}")]
    TooMuch {
        /// The path.
        path: String,
        /// The key.
        key: &'static str,
        /// The most it may be.
        max: u64,
    },
}

impl Rules {
    /// Checks what the types can't say.
    ///
    /// # Errors
    /// The first rule that is wrong.
    pub fn check(&self) -> Result<(), RulesError> {
        match self.first_wrong() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// The first rule that is wrong: its index, and what is wrong with it.
    pub fn first_wrong(&self) -> Option<(usize, RulesError)> {
        self.lookup.iter().enumerate().find_map(|(index, rule)| {
            let alone = rule.check();
            let error = alone.and_then(|()| {
                self.lookup[..index]
                    .iter()
                    .try_for_each(|earlier| beside(earlier, rule))
            });
            error.err().map(|error| (index, error))
        })
    }
}

impl LookupRule {
    fn check(&self) -> Result<(), RulesError> {
        let path = || self.path.clone();
        let bad =
            |name: &str| name.is_empty() || name == "." || name == ".." || name.contains('\0');
        if self.path.split('/').any(bad) {
            return Err(RulesError::Path { path: path() });
        }
        let (from, to) = (self.first(), self.last());
        if from == 0 || from > to {
            return Err(RulesError::Range {
                path: path(),
                from,
                to,
            });
        }
        if let Some(id) = self.backing
            && (id == 0 || i32::try_from(id).is_err())
        {
            return Err(RulesError::Id { path: path(), id });
        }
        if let Some(nodeid) = self.nodeid
            && (1..FIRST_FREE_NODEID).contains(&nodeid)
        {
            return Err(RulesError::Nodeid {
                path: path(),
                nodeid,
            });
        }
        let said = [
            (self.errno.is_some(), "errno"),
            (self.backing.is_some(), "backing"),
            (self.entries.is_some(), "entries"),
            (self.raw.is_some(), "raw"),
        ];
        let mut said = said.into_iter().filter_map(|(is, key)| is.then_some(key));
        if let (Some(one), Some(other)) = (said.next(), said.next()) {
            return Err(RulesError::Exclusive {
                path: path(),
                one,
                other,
            });
        }
        let limits = [
            (self.delay_ms, "delay_ms", MAX_DELAY_MS),
            (self.len.map(u64::from), "len", u64::from(MAX_LEN)),
        ];
        for (value, key, max) in limits {
            if value.is_some_and(|value| value > max) {
                return Err(RulesError::TooMuch {
                    path: path(),
                    key,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// What two rules may not say together.
fn beside(earlier: &LookupRule, rule: &LookupRule) -> Result<(), RulesError> {
    let path = || rule.path.clone();
    if earlier.path == rule.path {
        if earlier.first() <= rule.first() && rule.last() <= earlier.last() {
            return Err(RulesError::Never {
                path: path(),
                from: rule.first(),
            });
        }
        if let (Some(one), Some(other)) = (earlier.kind, rule.kind)
            && one != other
        {
            return Err(RulesError::Kinds { path: path() });
        }
    }
    for (above, below) in [(earlier, rule), (rule, earlier)] {
        let inside = below
            .path
            .strip_prefix(&above.path)
            .is_some_and(|rest| rest.starts_with('/'));
        if inside && above.kind.is_some_and(|kind| kind != Kind::Dir) {
            return Err(RulesError::Below {
                path: below.path.clone(),
                above: above.path.clone(),
            });
        }
    }
    Ok(())
}
