//! What reached the server: the proof that a backed file is served by the
//! guest alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::opcode;

/// Keys each map keeps at most. A guest may invent nodeids and names without
/// end; what no longer fits is counted in [`Counters::uncounted`].
const MAX_KEYS: usize = 1 << 20;

/// Requests since the start or the last reset.
///
/// nodeids are never used twice by one backend, so counts of several mounts
/// may share one value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Requests per opcode and nodeid.
    #[serde(with = "request_list")]
    pub requests: BTreeMap<(u32, u64), u64>,
    /// Those among them that should never have left the guest: with nodeid 0,
    /// or for an inode whose last LOOKUP reply had a BACKING entry. FORGET and
    /// the requests that work on no inode are legitimate.
    #[serde(with = "request_list")]
    pub bypassed: BTreeMap<(u32, u64), u64>,
    /// nodeids that were answered with a BACKING entry. 0 stands for every
    /// inode that is the kernel's own.
    pub backed: BTreeSet<u64>,
    /// Those among them whose last reply had none.
    pub unbacked: BTreeSet<u64>,
    /// LOOKUPs in the root of the share, per name (bytes that are not UTF-8
    /// are replaced).
    pub root_lookups: BTreeMap<String, u64>,
    /// References handed out, per nodeid (`nlookup`). Never has 0.
    pub lookups: BTreeMap<u64, u64>,
    /// References given back, per nodeid.
    pub forgets: BTreeMap<u64, u64>,
    /// Events that no map above has room for.
    pub uncounted: u64,
}

/// One thing that must not have happened for a backed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Violation {
    /// The server was asked about an inode the guest serves itself.
    Request {
        /// Name of the opcode.
        opcode: String,
        /// The inode; 0 is one that has no nodeid at all.
        nodeid: u64,
        /// How often.
        count: u64,
    },
    /// More happened than could be counted, so nothing is proven.
    Uncounted {
        /// Events that went uncounted.
        count: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Request {
                opcode,
                nodeid: 0,
                count,
            } => write!(f, "{count} × {opcode} with nodeid 0"),
            Violation::Request {
                opcode,
                nodeid,
                count,
            } => write!(f, "{count} × {opcode} for the backed nodeid {nodeid}"),
            Violation::Uncounted { count } => {
                write!(f, "{count} events were too many to count")
            }
        }
    }
}

/// An inode whose references handed out and given back differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imbalance {
    /// The inode.
    pub nodeid: u64,
    /// References handed out.
    pub lookups: u64,
    /// References given back.
    pub forgets: u64,
}

impl Imbalance {
    /// The guest gave back more than it got. That is a defect at any time;
    /// fewer is one only while nothing in the guest should hold the inode.
    pub fn is_excess(&self) -> bool {
        self.forgets > self.lookups
    }
}

/// Every request that should never have left the guest.
pub fn bypass_violations(counters: &Counters) -> Vec<Violation> {
    let requests = counters
        .bypassed
        .iter()
        .map(|(&(opcode, nodeid), &count)| Violation::Request {
            opcode: opcode::name(opcode).to_owned(),
            nodeid,
            count,
        });
    let uncounted = (counters.uncounted > 0).then_some(Violation::Uncounted {
        count: counters.uncounted,
    });
    requests.chain(uncounted).collect()
}

impl Counters {
    /// Requests per opcode name.
    pub fn by_opcode(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for (&(opcode, _), &count) in &self.requests {
            *sums.entry(opcode::name(opcode)).or_insert(0) += count;
        }
        sums
    }

    /// Counts as if `nodeid` had been answered with a BACKING entry before
    /// anything was asked: what `root_dir=` makes of the root.
    pub fn assume_backed(&mut self, nodeid: u64) {
        self.backed.insert(nodeid);
        let of_it = |&(&(opcode, asked), _): &(&(u32, u64), &u64)| {
            asked == nodeid && !opcode::names_no_object(opcode)
        };
        let requests = self.requests.iter().filter(of_it);
        self.bypassed
            .extend(requests.map(|(&key, &count)| (key, count)));
    }

    /// Inodes whose references do not balance, the root excluded (FUSE gives
    /// its one reference without a LOOKUP).
    ///
    /// Meaningful after drop_caches with nothing open. Not after umount:
    /// virtiofs cuts the queue of FORGETs off before it evicts the inodes and
    /// sends DESTROY instead, with which the server drops every reference. An
    /// [excess](Imbalance::is_excess) is a defect at any time, provided that
    /// nothing was mounted when the counters were reset.
    pub fn imbalances(&self) -> Vec<Imbalance> {
        let nodeids: BTreeSet<u64> = self
            .lookups
            .keys()
            .chain(self.forgets.keys())
            .copied()
            .collect();
        nodeids
            .into_iter()
            .filter(|&nodeid| nodeid != virtiofsd::fuse::ROOT_ID)
            .map(|nodeid| Imbalance {
                nodeid,
                lookups: self.lookups.get(&nodeid).copied().unwrap_or(0),
                forgets: self.forgets.get(&nodeid).copied().unwrap_or(0),
            })
            .filter(|inode| inode.lookups != inode.forgets)
            .collect()
    }

    pub(crate) fn request(&mut self, opcode: u32, nodeid: u64) {
        self.uncounted += add(&mut self.requests, (opcode, nodeid), 1);
        let is_backed =
            nodeid == 0 || (self.backed.contains(&nodeid) && !self.unbacked.contains(&nodeid));
        if is_backed && !opcode::names_no_object(opcode) {
            self.uncounted += add(&mut self.bypassed, (opcode, nodeid), 1);
        }
    }

    pub(crate) fn root_lookup(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).into_owned();
        self.uncounted += add(&mut self.root_lookups, name, 1);
    }

    pub(crate) fn grant(&mut self, nodeid: u64) {
        if nodeid != 0 {
            self.uncounted += add(&mut self.lookups, nodeid, 1);
        }
    }

    /// Takes a [`Self::grant`] back that never reached the guest.
    pub(crate) fn ungrant(&mut self, nodeid: u64) {
        if let Some(count) = self.lookups.get_mut(&nodeid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lookups.remove(&nodeid);
            }
        }
    }

    pub(crate) fn forget(&mut self, nodeid: u64, count: u64) {
        self.uncounted += add(&mut self.forgets, nodeid, count);
    }

    /// A reply gave `nodeid`, with a BACKING entry or without. 0 without one
    /// is no inode.
    pub(crate) fn back(&mut self, nodeid: u64, backed: bool) {
        if !backed {
            // `backed` limits this set, too.
            if nodeid != 0 && self.backed.contains(&nodeid) {
                self.unbacked.insert(nodeid);
            }
            return;
        }
        self.unbacked.remove(&nodeid);
        if self.backed.len() < MAX_KEYS || self.backed.contains(&nodeid) {
            self.backed.insert(nodeid);
        } else {
            self.uncounted += 1;
        }
    }
}

/// Adds to the key's count; returns how many events found no room.
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

/// JSON has no maps with compound keys, and a reader wants the names.
mod request_list {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::opcode;

    #[derive(Serialize, Deserialize)]
    struct Row<'a> {
        opcode: u32,
        name: Cow<'a, str>,
        nodeid: u64,
        count: u64,
    }

    pub fn serialize<S: Serializer>(
        requests: &BTreeMap<(u32, u64), u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(requests.iter().map(|(&(opcode, nodeid), &count)| Row {
            opcode,
            name: Cow::Borrowed(opcode::name(opcode)),
            nodeid,
            count,
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<(u32, u64), u64>, D::Error> {
        let rows = Vec::<Row<'_>>::deserialize(deserializer)?;
        Ok(rows
            .into_iter()
            .map(|row| ((row.opcode, row.nodeid), row.count))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn after(requests: &[(u32, u64)], backed: &[u64]) -> Counters {
        let mut counters = Counters::default();
        for &nodeid in backed {
            counters.back(nodeid, true);
        }
        for &(opcode, nodeid) in requests {
            counters.request(opcode, nodeid);
        }
        counters
    }

    #[rstest]
    #[case::nothing(&[], &[], &[])]
    #[case::root_lookup(&[(1, 1)], &[2], &[])]
    #[case::unbacked(&[(14, 3), (15, 3), (16, 3)], &[2], &[])]
    #[case::forget_of_backed(&[(2, 2), (42, 0), (26, 0), (38, 0), (36, 0)], &[2], &[])]
    #[case::lookup_below_backed(&[(1, 2)], &[2], &[("LOOKUP", 2)])]
    #[case::getattr_of_backed(&[(3, 2)], &[2], &[("GETATTR", 2)])]
    #[case::open_read_write(
        &[(14, 2), (15, 2), (16, 2)], &[2], &[("OPEN", 2), ("READ", 2), ("WRITE", 2)]
    )]
    #[case::nodeid_zero_unbacked(&[(3, 0)], &[], &[("GETATTR", 0)])]
    #[case::nodeid_zero_backed(&[(45, 0)], &[0], &[("RENAME2", 0)])]
    #[case::unknown_opcode(&[(4000, 0)], &[], &[("UNKNOWN", 0)])]
    fn violations(
        #[case] requests: &[(u32, u64)],
        #[case] backed: &[u64],
        #[case] want: &[(&str, u64)],
    ) {
        let want: Vec<_> = want
            .iter()
            .map(|&(opcode, nodeid)| Violation::Request {
                opcode: opcode.into(),
                nodeid,
                count: 1,
            })
            .collect();
        assert_eq!(bypass_violations(&after(requests, backed)), want);
    }

    #[test]
    fn an_inode_is_backed_from_one_reply_to_another() {
        const GETATTR: u32 = 3;
        let mut counters = Counters::default();
        let asked = |counters: &mut Counters| {
            counters.request(GETATTR, 2);
            counters.bypassed.values().sum::<u64>()
        };
        assert_eq!(asked(&mut counters), 0);
        counters.back(2, true);
        assert_eq!(asked(&mut counters), 1);
        counters.back(2, false);
        assert_eq!(asked(&mut counters), 1);
        counters.back(3, false);
        counters.back(0, false);
        counters.back(2, true);
        assert_eq!(asked(&mut counters), 2);
        assert_eq!(counters.backed, [2].into());
        assert_eq!(counters.unbacked, [].into());
        assert_eq!(counters.requests[&(GETATTR, 2)], 4);
    }

    #[test]
    fn what_is_assumed_to_be_backed_was_so_from_the_start() {
        let mut counters = after(&[(26, 0), (1, 1), (1, 1), (3, 2)], &[]);
        counters.assume_backed(1);
        assert_eq!(counters.bypassed, [((1, 1), 2)].into());
    }

    #[test]
    fn a_violation_says_what_and_how_often() {
        let found = bypass_violations(&after(&[(15, 2), (15, 2), (16, 0)], &[2]));
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "2 × READ for the backed nodeid 2",
                "1 × WRITE with nodeid 0"
            ]
        );
    }

    #[test]
    fn what_was_not_counted_proves_nothing() {
        let counters = Counters {
            uncounted: 3,
            ..after(&[(1, 1)], &[2])
        };
        assert_eq!(
            bypass_violations(&counters),
            [Violation::Uncounted { count: 3 }]
        );
    }

    #[test]
    fn a_full_map_still_counts_known_keys() {
        let mut map = BTreeMap::new();
        for key in 0..MAX_KEYS {
            assert_eq!(add(&mut map, key, 1), 0);
        }
        assert_eq!(add(&mut map, MAX_KEYS, 1), 1);
        assert_eq!(add(&mut map, 0, 5), 0);
        assert_eq!((map.len(), map[&0]), (MAX_KEYS, 6));
    }

    #[test]
    fn references_balance() {
        let mut counters = Counters::default();
        for nodeid in [2, 2, 3, 4, 0] {
            counters.grant(nodeid);
        }
        counters.forget(2, 2);
        counters.forget(4, 2);
        counters.forget(1, 1);
        assert_eq!(
            counters.imbalances(),
            [
                Imbalance {
                    nodeid: 3,
                    lookups: 1,
                    forgets: 0
                },
                Imbalance {
                    nodeid: 4,
                    lookups: 1,
                    forgets: 2
                },
            ]
        );
        let excess: Vec<bool> = counters
            .imbalances()
            .iter()
            .map(Imbalance::is_excess)
            .collect();
        assert_eq!(excess, [false, true]);
    }

    #[test]
    fn what_never_reached_the_guest_is_owed_by_nobody() {
        let mut counters = Counters::default();
        counters.grant(2);
        counters.ungrant(2);
        assert_eq!(counters, Counters::default());
    }

    #[test]
    fn counters_survive_json() {
        let mut counters = after(&[(1, 1), (1, 1), (3, 7)], &[0, 7]);
        counters.back(7, false);
        counters.root_lookup(b"stack");
        counters.root_lookup(b"\xff");
        counters.grant(7);
        counters.forget(7, 1);
        let text = serde_json::to_string(&counters).unwrap();
        assert!(text.contains(r#"{"opcode":1,"name":"LOOKUP","nodeid":1,"count":2}"#));
        assert_eq!(serde_json::from_str::<Counters>(&text).unwrap(), counters);
    }

    #[test]
    fn opcodes_sum_over_nodeids() {
        let counters = after(&[(1, 1), (1, 2), (3, 2)], &[]);
        assert_eq!(
            counters.by_opcode(),
            BTreeMap::from([("LOOKUP", 2), ("GETATTR", 1)])
        );
    }
}
