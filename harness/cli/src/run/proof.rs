//! The proof that backing is real: what the server counted.

use lookback_fs_backend::{Counters, Violation, bypass_violations};
use lookback_report::{Finding, Kind};
use lookback_wire::control::{CasePlan, OUTSIDE, STACK};

/// FUSE_ROOT_ID (include/uapi/linux/fuse.h).
const ROOT_NODEID: u64 = 1;

/// How the signature of a LOOKUP in the backed share's root begins that nothing
/// in the case asks for.
pub const ROOT_LOOKUP: &str = "bypass:root-lookup";

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
pub fn backing(counters: &Counters, plan: &CasePlan) -> Vec<Finding> {
    let mut findings = bypass(counters);
    let difference = |signature: &str, title: String| {
        Finding::new(Kind::Difference, signature.to_owned(), title)
    };
    if counters.backed.is_empty() && plan.must_be_backed() {
        findings.push(difference(
            "bypass:never-backed",
            "no LOOKUP was answered with a backing entry, so nothing is proven".into(),
        ));
    }
    for name in counters.root_lookups.keys() {
        if name != STACK && name != OUTSIDE && !plan.has_rule_in(name) {
            findings.push(difference(
                ROOT_LOOKUP,
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
        } else if plan.balanced {
            findings.push(difference(
                "forgets:missing",
                format!(
                    "nodeid {} was looked up {} times but forgotten {} times",
                    inode.nodeid, inode.lookups, inode.forgets
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
    use lookback_scenario::{Overrides, Scenario};
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

    fn plan(text: &str) -> CasePlan {
        let text = format!("name = \"s\"\nabout = \"x\"\narms = [\"backed\"]\n{text}");
        let scenario = Scenario::parse("s.toml".as_ref(), &text).unwrap();
        scenario.expand(&Overrides::default()).remove(0).case
    }

    fn case(trace: &str, rest: &str) -> CasePlan {
        plan(&format!(
            "[[case]]\nname = \"c\"\nabout = \"x\"\ntrace = \"{trace}\"\n{rest}"
        ))
    }

    fn signatures(counters: &Counters, plan: &CasePlan) -> Vec<String> {
        let findings = backing(counters, plan).into_iter();
        findings.map(|finding| finding.signature).collect()
    }

    #[test]
    fn a_sound_case_is_proven() {
        assert_eq!(backing(&sound(), &case("stat f", "")), []);
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
        assert_eq!(signatures(&counters, &case("stat f", "")), [signature]);
    }

    const NEVER: &[&str] = &["bypass:never-backed"];

    #[rstest]
    #[case::in_the_arm("stat f", "", NEVER)]
    #[case::one_path_of_two("rename @outside/f f", "", NEVER)]
    #[case::beside_it("stat @root/f", "", &[])]
    #[case::below_it("stat @lower/f", "", &[])]
    #[case::by_entries(
        "stat f",
        "[[case.lookup]]\npath = \"stack\"\nentries = [{ type = \"backing\", id = 1 }]\n",
        NEVER
    )]
    #[case::never_meant_to(
        "stat f",
        "[[case.lookup]]\npath = \"stack\"\nerrno = \"EIO\"\n",
        &[]
    )]
    #[case::declined("stat f", "[server]\nnegotiate = false\n", &[])]
    fn backing_is_demanded_of_cases_that_run_in_the_arm(
        #[case] trace: &str,
        #[case] rest: &str,
        #[case] want: &[&str],
    ) {
        let mut counters = sound();
        counters.backed.clear();
        assert_eq!(signatures(&counters, &case(trace, rest)), want);
    }

    #[rstest]
    #[case::named("d", &[])]
    #[case::above("d/e/f", &[])]
    #[case::another("e", &["bypass:root-lookup"])]
    #[case::longer("dd", &["bypass:root-lookup"])]
    fn names_of_rules_are_looked_up(#[case] path: &str, #[case] want: &[&str]) {
        let mut counters = sound();
        counters.root_lookups.insert("d".into(), 2);
        let rule = format!("[[case.lookup]]\npath = \"{path}\"\n");
        assert_eq!(signatures(&counters, &case("stat f", &rule)), want);
    }

    #[rstest]
    #[case::not_asked("", 1, &[])]
    #[case::one_missing("balanced = true\n", 1, &["forgets:missing"])]
    #[case::none_missing("balanced = true\n", 2, &[])]
    #[case::one_too_many("balanced = true\n", 3, &["forgets:excess"])]
    fn a_balanced_case_gives_everything_back(
        #[case] key: &str,
        #[case] forgets: u64,
        #[case] want: &[&str],
    ) {
        let mut counters = sound();
        counters.forgets.insert(NODE, forgets);
        assert_eq!(signatures(&counters, &case("stat f", key)), want);
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
