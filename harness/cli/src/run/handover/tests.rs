use lookback_ops::trace;
use lookback_report::Kind;
use lookback_wire::control::Arm;

use super::*;

fn plan(text: &str) -> CasePlan {
    CasePlan {
        id: "case".into(),
        arms: vec![Arm::Backed, Arm::Ext4],
        trace: trace::parse(text).unwrap(),
        ..CasePlan::default()
    }
}

/// Every operation gave `errno` on `arm`.
fn ran(plan: &CasePlan, arm: Arm, errno: i32) -> CaseRun {
    let mut run = CaseRun::default();
    for line in &plan.trace {
        let outcome = Outcome {
            ret: if errno == 0 { 0 } else { -1 },
            errno,
            step: String::new(),
            value: Value::None,
        };
        let list: &mut Vec<Outcome> = run.trace.entry((arm, line.worker)).or_default();
        list.push(outcome);
    }
    run
}

fn difference(stage: Stage, op: Option<(u16, usize)>, attribute: Attribute) -> Finding {
    let difference = Difference {
        case: "case".into(),
        stage,
        also: vec![],
        arm: Arm::Backed,
        reference: Arm::Ext4,
        op: op.map(|(worker, index)| OpRef {
            worker,
            index,
            name: "op".into(),
            text: "op".into(),
        }),
        path: None,
        attribute,
        expected: "0".into(),
        actual: "EIO".into(),
    };
    Finding::of_difference(difference, vec![])
}

#[test]
fn the_trace_ends_where_it_differs() {
    let plan = plan("mkdir a\np1: mkdir b\nmkdir c\np1: mkdir d\nmkdir e");
    let run = ran(&plan, Arm::Ext4, 17);
    let finding = difference(Stage::Trace, Some((1, 1)), Attribute::Errno);
    let text = program(&plan, &run, &finding, &[]).unwrap();
    assert!(
        text.contains(r#"expect(4, "p1: mkdir d 0755", -EEXIST, sys(mkdir(arm("d"), 0755)));"#)
    );
    assert!(!text.contains(r#"arm("e")"#), "{text}");
}

#[test]
fn an_arm_is_not_held_against_itself() {
    let mut plan = plan("mkdir a -> ok");
    plan.arms = vec![Arm::Backed];
    let run = ran(&plan, Arm::Backed, 5);
    let finding = difference(Stage::Trace, Some((0, 0)), Attribute::Expected);
    let text = program(&plan, &run, &finding, &[]).unwrap();
    assert!(
        text.contains(r#"expect_errno(1, "mkdir a 0755 -> ok", 0, "#),
        "{text}"
    );
}

#[test]
fn a_crash_has_the_operations_and_expects_nothing() {
    let plan = plan("mkdir a\nmkdir b");
    let finding = Finding::new(Kind::Crash, "BUG", "BUG: it broke");
    let about = ["seed 7".to_owned()];
    let text = program(&plan, &CaseRun::default(), &finding, &about).unwrap();
    assert!(text.contains(r#"ran(2, "mkdir b 0755", "#), "{text}");
    assert!(text.contains("the kernel log says so"), "{text}");
    assert!(text.contains(" * seed 7\n"), "{text}");
}

#[test]
fn the_bench_s_own_operations_have_no_program() {
    let plan = plan("abort");
    let finding = Finding::new(Kind::Crash, "BUG", "BUG: it broke");
    assert!(program(&plan, &CaseRun::default(), &finding, &[]).is_err());
}

fn node(path: &str, nlink: u64) -> Node {
    Node {
        path: path.into(),
        stat: StatView {
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            nlink,
            size: 5,
            rdev: (0, 0),
            blksize: 4096,
            ino: 12,
            atime: (1, 2),
            mtime: (1, 2),
            ctime: (1, 2),
        },
        d_type: 8,
        d_ino: 12,
        first_link: "a".into(),
        digest: Some(9),
        target: None,
        blocks: 8,
        flags: None,
        extents: None,
        pieces: 1,
        xattrs: None,
        error: None,
    }
}

#[rstest::rstest]
#[case(
    Attribute::Nlink,
    r#"expect_stat(0, "lower: b", "nlink 2", do_lstat(lower("b")));"#
)]
#[case(
    Attribute::Content,
    r#"expect_data(0, "lower: b: content", 5, 0x0000000000000009ULL, "#
)]
#[case(
    Attribute::HardLink,
    r#"expect(0, "lower: b: is a", 1, do_same(lower("b"), lower("a")));"#
)]
#[case(Attribute::Name, r#"expect_stat(0, "lower: b", "mode 0100644", "#)]
#[case(Attribute::DType, r#"do_entry(lower(""), "b")"#)]
fn a_tree_is_asked_for_what_differs(#[case] attribute: Attribute, #[case] check: &str) {
    let plan = plan("mkdir a");
    let mut run = ran(&plan, Arm::Ext4, 0);
    // The reference has nothing below it to look at.
    let tree = |nlink| Snapshot {
        nodes: vec![node("a", nlink), node("b", nlink)],
    };
    run.trees.insert((Arm::Ext4, Phase::Warm), tree(2));
    run.trees.insert((Arm::Backed, Phase::Lower), tree(1));
    let mut finding = difference(Stage::Tree(Phase::Lower), None, attribute);
    let path = |finding: &mut Finding, path: &str| {
        finding.difference.as_mut().unwrap().path = Some(path.into());
    };
    path(&mut finding, "b");
    let text = program(&plan, &run, &finding, &[]).unwrap();
    assert!(text.contains(check), "{text}");
    path(&mut finding, "c");
    let text = program(&plan, &run, &finding, &[]).unwrap();
    assert!(
        text.contains(r#"expect(0, "lower: c", -ENOENT, "#),
        "{text}"
    );
}

#[test]
fn a_tree_between_operations_is_looked_at_there() {
    let plan = plan("mkdir a\nmkdir b\nmkdir c");
    let mut run = ran(&plan, Arm::Ext4, 0);
    let tree = Snapshot {
        nodes: vec![node("b", 2)],
    };
    run.checkpoints.insert((Arm::Ext4, 2), tree);
    let mut finding = difference(Stage::After(2), None, Attribute::Nlink);
    finding.difference.as_mut().unwrap().path = Some("b".into());
    let text = program(&plan, &run, &finding, &[]).unwrap();
    assert!(
        text.contains(r#"expect_stat(0, "warm: b", "nlink 2", "#),
        "{text}"
    );
    assert!(!text.contains(r#"arm("c")"#), "{text}");
}
