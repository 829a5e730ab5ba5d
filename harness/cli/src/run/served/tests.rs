use lookback_wire::{
    control::{Arm, Reply, STACK},
    rules::{Errno, LookupRule, Rules},
};
use rstest::rstest;

use super::*;

// FUSE opcodes (include/uapi/linux/fuse.h).
const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const INIT: u32 = 26;
/// The stacking root's nodeid.
const NODE: u64 = 2;

fn plan() -> CasePlan {
    let bad = LookupRule {
        path: "bad".into(),
        write: Some(Errno(libc::EBADF)),
        ..LookupRule::default()
    };
    CasePlan {
        id: "s.c".into(),
        arms: vec![Arm::Devfuse, Arm::Ext4],
        rules: Rules::from(vec![bad]),
        ..CasePlan::default()
    }
}

fn reply(path: &str, wrote: i32, expected: i32) -> Reply {
    Reply {
        path: path.into(),
        wrote,
        expected,
        count: 1,
    }
}

/// What a case without a mistake leaves.
fn sound() -> Served {
    Served {
        negotiated: true,
        requests: vec![(INIT, 0, 1), (GETATTR, 1, 3), (LOOKUP, 1, 2)],
        bypassed: vec![],
        backed: vec![NODE],
        root_lookups: vec![(STACK.into(), 1), ("bad".into(), 1)],
        lookups: vec![(NODE, 1)],
        forgets: vec![],
        replies: vec![reply(STACK, 0, 0), reply("bad", libc::EBADF, libc::EBADF)],
        failures: vec![],
    }
}

fn signatures(plan: &CasePlan, all: &[Served]) -> Vec<String> {
    let findings = findings(plan, all);
    findings
        .into_iter()
        .map(|finding| finding.signature)
        .collect()
}

#[test]
fn a_sound_case_is_proven() {
    assert_eq!(signatures(&plan(), &[sound()]), [""; 0]);
}

#[rstest]
#[case::not_offered(|s: &mut Served| s.negotiated = false, "devfuse:not-negotiated")]
#[case::asked(|s: &mut Served| s.bypassed.push((GETATTR, NODE, 1)), "bypass:GETATTR:devfuse")]
#[case::failed(|s: &mut Served| s.failures.push("it broke".into()), "devfuse:failure")]
#[case::refused(|s: &mut Served| s.replies[0].wrote = libc::EINVAL, "devfuse:write:0>EINVAL")]
#[case::taken(|s: &mut Served| s.replies[1].wrote = 0, "devfuse:write:EBADF>0")]
#[case::other_error(|s: &mut Served| s.replies[1].wrote = libc::EINVAL, "devfuse:write:EBADF>EINVAL")]
#[case::never_asked(|s: &mut Served| drop(s.replies.pop()), "devfuse:never-asked")]
fn each_mistake_is_a_finding(#[case] mistake: fn(&mut Served), #[case] signature: &str) {
    let mut served = sound();
    mistake(&mut served);
    assert_eq!(
        signatures(&plan(), &[sound(), served.clone()])
            .last()
            .map_or("", |s| s),
        {
            // Looked up once is enough, in whichever mount.
            if signature == "devfuse:never-asked" {
                ""
            } else {
                signature
            }
        }
    );
    assert_eq!(signatures(&plan(), &[served]), [signature]);
}

#[test]
fn without_a_report_nothing_is_proven() {
    let found = signatures(&plan(), &[]);
    assert_eq!(found, ["devfuse:no-report", "devfuse:never-asked"]);
    let nobody = CasePlan {
        no_daemon: true,
        ..plan()
    };
    assert_eq!(signatures(&nobody, &[]), [""; 0]);
}

#[test]
fn what_two_mounts_show_is_one_finding() {
    let deaf = Served {
        negotiated: false,
        ..sound()
    };
    assert_eq!(
        signatures(&plan(), &[deaf.clone(), deaf]),
        ["devfuse:not-negotiated"]
    );
}
