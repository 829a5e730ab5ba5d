//! The proof that backing is real: what the server counted.

use lookback_fs_backend::{Counters, Violation, bypass_violations};
use lookback_report::{Finding, Kind};
use lookback_wire::control::{OUTSIDE, STACK};

/// FUSE_ROOT_ID (include/uapi/linux/fuse.h).
const ROOT_NODEID: u64 = 1;

/// Requests about what the guest serves itself.
fn bypass(counters: &Counters) -> Vec<Finding> {
    bypass_violations(counters)
        .into_iter()
        .map(|violation| {
            let title = format!("the server was asked about a backed file: {violation}");
            let signature = match &violation {
                Violation::Request { opcode, .. } => format!("bypass:{opcode}"),
                Violation::Uncounted { .. } => "bypass:uncounted".to_owned(),
            };
            Finding::new(Kind::Difference, signature, title)
        })
        .collect()
}

/// What contradicts that the guest served the backed tree by itself.
pub fn backing(counters: &Counters) -> Vec<Finding> {
    let mut findings = bypass(counters);
    let difference = |signature: &str, title: String| {
        Finding::new(Kind::Difference, signature.to_owned(), title)
    };
    if counters.backed.is_empty() {
        findings.push(difference(
            "bypass:never-backed",
            "no LOOKUP was answered with a backing entry, so nothing is proven".into(),
        ));
    }
    for name in counters.root_lookups.keys() {
        if name != STACK && name != OUTSIDE {
            findings.push(difference(
                "bypass:root-lookup",
                format!("the server was asked for {name:?} in the root of the backed share"),
            ));
        }
    }
    for inode in counters.imbalances() {
        if inode.is_excess() {
            findings.push(difference(
                "forgets:excess",
                format!(
                    "nodeid {} was forgotten {} times but looked up {} times",
                    inode.nodeid, inode.forgets, inode.lookups
                ),
            ));
        }
    }
    findings
}

/// With `root_dir=` there is not even a LOOKUP: the root itself is backed.
pub fn backed_root(counters: &Counters) -> Vec<Finding> {
    let mut counters = counters.clone();
    counters.assume_backed(ROOT_NODEID);
    bypass(&counters)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // FUSE opcodes (include/uapi/linux/fuse.h).
    const LOOKUP: u32 = 1;
    const GETATTR: u32 = 3;
    const INIT: u32 = 26;
    /// The stacking root's nodeid.
    const NODE: u64 = 2;

    /// What a case without a mistake leaves.
    fn sound() -> Counters {
        Counters {
            requests: [
                ((INIT, 0), 1),
                ((GETATTR, ROOT_NODEID), 3),
                ((LOOKUP, ROOT_NODEID), 2),
            ]
            .into(),
            bypassed: [].into(),
            backed: [NODE].into(),
            unbacked: [].into(),
            root_lookups: [(STACK.into(), 1), (OUTSIDE.into(), 1)].into(),
            lookups: [(NODE, 2)].into(),
            forgets: [(NODE, 1)].into(),
            uncounted: 0,
        }
    }

    #[test]
    fn a_sound_case_is_proven() {
        assert_eq!(backing(&sound()), []);
    }

    #[rstest]
    #[case::asked(|c: &mut Counters| { c.bypassed.insert((GETATTR, NODE), 1); }, "bypass:GETATTR")]
    #[case::no_node(|c: &mut Counters| { c.bypassed.insert((GETATTR, 0), 1); }, "bypass:GETATTR")]
    #[case::uncounted(|c: &mut Counters| c.uncounted = 1, "bypass:uncounted")]
    #[case::never_backed(|c: &mut Counters| c.backed.clear(), "bypass:never-backed")]
    #[case::elsewhere(|c: &mut Counters| { c.root_lookups.insert("d".into(), 1); }, "bypass:root-lookup")]
    #[case::forgotten(|c: &mut Counters| { c.forgets.insert(NODE, 3); }, "forgets:excess")]
    fn each_mistake_is_a_finding(#[case] mistake: fn(&mut Counters), #[case] signature: &str) {
        let mut counters = sound();
        mistake(&mut counters);
        let found: Vec<_> = backing(&counters)
            .into_iter()
            .map(|f| f.signature)
            .collect();
        assert_eq!(found, [signature]);
    }

    #[rstest]
    #[case::nothing(&[(INIT, 0)], &[])]
    #[case::a_lookup(&[(INIT, 0), (LOOKUP, ROOT_NODEID)], &["bypass:LOOKUP"])]
    fn a_backed_root_is_asked_for_nothing(
        #[case] requests: &[(u32, u64)],
        #[case] signatures: &[&str],
    ) {
        let counters = Counters {
            requests: requests.iter().map(|&request| (request, 1)).collect(),
            ..Counters::default()
        };
        let found: Vec<_> = backed_root(&counters)
            .into_iter()
            .map(|f| f.signature)
            .collect();
        assert_eq!(found, signatures);
    }
}
