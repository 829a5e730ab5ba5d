//! How often each path was looked up.

use std::collections::HashMap;

use super::{LookupRule, Rules};

/// Counts LOOKUPs of the paths that rules speak of: rules may answer the first
/// differently from the second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lookups {
    pub(super) counts: HashMap<Vec<u8>, u64>,
}

impl Lookups {
    /// Counts one LOOKUP of `path` and returns the rule that answers it.
    pub fn next<'r>(&mut self, rules: &'r Rules, path: &[u8]) -> Option<&'r LookupRule> {
        // What no rule names is not kept: a guest invents names without end.
        if !rules.lookup.iter().any(|rule| rule.path.as_bytes() == path) {
            return None;
        }
        let count = self.counts.entry(path.to_vec()).or_insert(0);
        *count = count.saturating_add(1);
        rules.find(path, *count)
    }
}
