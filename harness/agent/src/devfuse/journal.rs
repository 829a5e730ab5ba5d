//! What the daemon was asked and answered, counted.

use std::collections::{BTreeMap, BTreeSet};

use lookback_wire::control::{Reply, Served};

use super::request::{BATCH_FORGET, DESTROY, FORGET, INIT, INTERRUPT};

/// Keys each map keeps at most, and sentences: a kernel that asks for names
/// and nodeids without end must not fill the guest's memory.
const MAX_KEYS: usize = 1 << 16;
/// Sentences kept at most: one fault often repeats.
const MAX_FAILURES: usize = 20;

/// Counts; [`Journal::report`] makes a message of them.
#[derive(Debug, Default)]
pub struct Journal {
    negotiated: bool,
    requests: BTreeMap<(u32, u64), u64>,
    bypassed: BTreeMap<(u32, u64), u64>,
    /// nodeids that ever were backed.
    backed: BTreeSet<u64>,
    /// nodeids that are.
    backed_now: BTreeSet<u64>,
    root_lookups: BTreeMap<String, u64>,
    lookups: BTreeMap<u64, u64>,
    forgets: BTreeMap<u64, u64>,
    replies: BTreeMap<(String, i32, i32), u64>,
    uncounted: u64,
    failures: Vec<String>,
}

impl Journal {
    /// The extension was negotiated.
    pub fn negotiated(&mut self) {
        self.negotiated = true;
    }

    /// A request came.
    pub fn request(&mut self, opcode: u32, nodeid: u64) {
        self.uncounted += add(&mut self.requests, (opcode, nodeid), 1);
        let works_on_it = !matches!(opcode, FORGET | BATCH_FORGET | INIT | DESTROY | INTERRUPT);
        if works_on_it && (nodeid == 0 || self.backed_now.contains(&nodeid)) {
            self.uncounted += add(&mut self.bypassed, (opcode, nodeid), 1);
        }
    }

    /// A name was looked up in the root.
    pub fn root_lookup(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).into_owned();
        self.uncounted += add(&mut self.root_lookups, name, 1);
    }

    /// The kernel took an entry with this nodeid, backed or not.
    pub fn grant(&mut self, nodeid: u64, backed: bool) {
        if backed {
            self.backed.insert(nodeid);
            self.backed_now.insert(nodeid);
        } else {
            self.backed_now.remove(&nodeid);
        }
        if nodeid != 0 {
            self.uncounted += add(&mut self.lookups, nodeid, 1);
        }
    }

    /// The kernel gave references back.
    pub fn forget(&mut self, nodeid: u64, count: u64) {
        self.uncounted += add(&mut self.forgets, nodeid, count);
    }

    /// write(2) of a reply to LOOKUP ended with errno `wrote`, and the rule
    /// expected `expected`.
    pub fn reply(&mut self, path: &str, wrote: i32, expected: i32) {
        let key = (path.to_owned(), wrote, expected);
        self.uncounted += add(&mut self.replies, key, 1);
    }

    /// Something is wrong with the kernel's side or the daemon's.
    pub fn failure(&mut self, what: String) {
        if self.failures.len() < MAX_FAILURES && !self.failures.contains(&what) {
            self.failures.push(what);
        }
    }

    /// All of it.
    pub fn report(mut self) -> Served {
        if self.uncounted > 0 {
            let what = format!("{} events were too many to count", self.uncounted);
            self.failures.push(what);
        }
        Served {
            negotiated: self.negotiated,
            requests: rows(self.requests),
            bypassed: rows(self.bypassed),
            backed: self.backed.into_iter().collect(),
            root_lookups: self.root_lookups.into_iter().collect(),
            lookups: self.lookups.into_iter().collect(),
            forgets: self.forgets.into_iter().collect(),
            replies: self
                .replies
                .into_iter()
                .map(|((path, wrote, expected), count)| Reply {
                    path,
                    wrote,
                    expected,
                    count,
                })
                .collect(),
            failures: self.failures,
        }
    }
}

fn rows(requests: BTreeMap<(u32, u64), u64>) -> Vec<(u32, u64, u64)> {
    let rows = requests.into_iter();
    rows.map(|((opcode, nodeid), count)| (opcode, nodeid, count))
        .collect()
}

/// Add to the key's count; returns how many events found no room.
fn add<K: Ord>(map: &mut BTreeMap<K, u64>, key: K, count: u64) -> u64 {
    if let Some(have) = map.get_mut(&key) {
        *have = have.saturating_add(count);
        0
    } else if map.len() < MAX_KEYS {
        map.insert(key, count);
        0
    } else {
        1
    }
}
