//! What a backend's threads and its handle have in common.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use lookback_wire::rules::{LookupRule, Lookups, Rules};

use crate::aliases::Aliases;
use crate::counters::Counters;
use crate::names::Names;
use crate::requests::RequestLog;

/// The rules come from the handle, the counters go to it; both outlive a
/// connection.
///
/// A poisoned lock is taken all the same: a panic while serving one request
/// is answered with an error (see `service`), and each of these is whole
/// between any two statements.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    rules: RwLock<Rules>,
    lookups: Mutex<Lookups>,
    counters: Mutex<Counters>,
    names: Mutex<Names>,
    aliases: Mutex<Aliases>,
    /// Absent where no request is to be kept.
    log: Option<Mutex<RequestLog>>,
}

impl Shared {
    pub(crate) fn new(rules: Rules, log_requests: usize) -> Self {
        let log = (log_requests > 0).then(|| Mutex::new(RequestLog::new(log_requests)));
        Self {
            rules: RwLock::new(rules),
            log,
            ..Self::default()
        }
    }

    pub(crate) fn rules(&self) -> RwLockReadGuard<'_, Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The rule for the next LOOKUP of `path`, which this is.
    pub(crate) fn next_rule(&self, path: &[u8]) -> Option<LookupRule> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.next(&self.rules(), path).cloned()
    }

    /// Counts from nothing; returns the counts so far.
    pub(crate) fn reset(&self) -> Counters {
        *self.lookups.lock().unwrap_or_else(PoisonError::into_inner) = Lookups::default();
        if let Some(mut log) = self.log() {
            log.clear();
        }
        std::mem::take(&mut *self.counters())
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> Option<MutexGuard<'_, RequestLog>> {
        let log = self.log.as_ref()?;
        Some(log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn aliases(&self) -> MutexGuard<'_, Aliases> {
        self.aliases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection began or ended: the guest knows no inode but the root.
    pub(crate) fn forget_all(&self) {
        self.names().clear();
        self.aliases().clear();
    }
}
