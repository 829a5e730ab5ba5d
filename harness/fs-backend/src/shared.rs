//! What a backend's threads and its handle have in common.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use lookback_wire::rules::Rules;

use crate::counters::Counters;
use crate::names::Names;

/// The rules come from the handle, the counters go to it; both outlive a
/// connection.
///
/// A poisoned lock is taken all the same: a panic while serving one request
/// is answered with an error (see `service`), and each of these is whole
/// between any two statements.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    rules: RwLock<Rules>,
    counters: Mutex<Counters>,
    names: Mutex<Names>,
}

impl Shared {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules: RwLock::new(rules),
            ..Self::default()
        }
    }

    pub(crate) fn rules(&self) -> RwLockReadGuard<'_, Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
