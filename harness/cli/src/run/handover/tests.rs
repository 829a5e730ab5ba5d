use lookback_ops::trace;
use lookback_ops::tree::{Extent, Node, Snapshot, Xattr};
use lookback_report::Kind;
use lookback_wire::control::{Arm, CLOCK_BASE, CLOCK_STEP, Phase, Workers};

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

fn extent(offset: u64, unwritten: bool) -> Extent {
    Extent {
        offset,
        length: 4096,
        unwritten,
    }
}

fn xattr(name: &str, digest: u64) -> Xattr {
    Xattr {
        name: name.into(),
        value: Ok((3, digest)),
    }
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
        flags: Some(Ok(0x80)),
        extents: Some(Ok(vec![extent(0, false), extent(8192, true)])),
        pieces: 1,
        xattrs: Some(Ok(vec![
            xattr("system.posix_acl_access", 7),
            xattr("user.a", 8),
            xattr("user.b", 9),
        ])),
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
#[case(
    Attribute::Blocks,
    r#"expect(0, "lower: b: blocks", 8, do_blocks(lower("b")));"#
)]
#[case(
    Attribute::Extents,
    r#"expect_text(0, "lower: b: extents", "0/4096 8192/4096u", 0, do_fiemap(lower("b")));"#
)]
#[case(
    Attribute::Flags,
    r#"expect_flags(0, "lower: b: flags", 0x80, do_settable("#
)]
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

/// A program of a finding in the warm tree of `b`, which `change` has changed on
/// the reference.
fn of_warm(plan: &CasePlan, attribute: Attribute, change: impl Fn(&mut Node)) -> String {
    let mut run = ran(plan, Arm::Ext4, 0);
    let tree = |node: Node| Snapshot { nodes: vec![node] };
    let mut expected = node("b", 1);
    change(&mut expected);
    run.trees.insert((Arm::Ext4, Phase::Warm), tree(expected));
    run.trees
        .insert((Arm::Backed, Phase::Warm), tree(node("b", 1)));
    let mut finding = difference(Stage::Tree(Phase::Warm), None, attribute);
    finding.difference.as_mut().unwrap().path = Some("b".into());
    program(plan, &run, &finding, &[]).unwrap()
}

fn xattrs(node: &mut Node) -> &mut Vec<Xattr> {
    node.xattrs.as_mut().unwrap().as_mut().unwrap()
}

#[test]
fn an_attribute_is_asked_for_by_its_name() {
    let of = |attribute, change: &dyn Fn(&mut Node)| of_warm(&plan("mkdir a"), attribute, change);
    let text = of(Attribute::Xattr, &|node| {
        xattrs(node)[1] = xattr("user.a", 5)
    });
    assert!(
        text.contains(r#"expect_data(0, "warm: b: user.a", 3, 0x0000000000000005ULL,"#),
        "{text}"
    );
    assert!(
        !text.contains("user.b") && !text.contains("do_listxattr"),
        "{text}"
    );

    let lost = of(Attribute::Xattr, &|node| xattrs(node).truncate(2));
    let list = r#"expect_text(0, "warm: b: xattrs", "system.posix_acl_access\nuser.a\n", 31,"#;
    assert!(lost.contains(list), "{lost}");
    assert!(
        lost.contains(r#"expect(0, "warm: b: user.b", -ENODATA, "#),
        "{lost}"
    );
    assert!(!lost.contains(r#""user.a""#), "{lost}");

    let acl = of(Attribute::Acl, &|node| {
        xattrs(node)[0].value = Err(5);
        xattrs(node)[1].value = Err(5);
    });
    let check = r#"expect(0, "warm: b: system.posix_acl_access", -EIO,"#;
    assert!(acl.contains(check) && !acl.contains("user."), "{acl}");
}

#[rstest::rstest]
#[case(Attribute::Xattr)]
#[case(Attribute::Acl)]
#[case(Attribute::Extents)]
#[case(Attribute::Flags)]
fn what_was_not_read_is_not_asked_for(#[case] attribute: Attribute) {
    let text = of_warm(&plan("mkdir a"), attribute, |node| {
        (node.xattrs, node.extents, node.flags) = (None, None, None);
    });
    let check = r#"expect_stat(0, "warm: b", "mode 0100644", "#;
    assert!(text.contains(check), "{text}");
}

/// A time during line `index`, from 0.
fn by_line(index: i64) -> (i64, u32) {
    (CLOCK_BASE + index * CLOCK_STEP, 1)
}

#[test]
fn a_time_in_a_tree_is_asked_for_by_line() {
    let mut plan = plan("mkdir a\nmkdir c\nmkdir d");
    let of = |plan: &CasePlan, index| {
        of_warm(plan, Attribute::Ctime, |node| {
            node.stat.ctime = by_line(index)
        })
    };
    let text = of(&plan, 1);
    let check = r#"expect_line(0, "warm: b: ctime", "ctime", 2, do_lstat(arm("b")));"#;
    assert!(text.contains(check), "{text}");
    assert!(text.contains("\tbegin_line(3);\n\texpect(3, "), "{text}");
    let text = of(&plan, -1);
    assert!(text.contains(r#""ctime", 0, do_lstat"#), "{text}");

    let left_out = " * left out   ctime: ";
    let text = of(&plan, 3);
    assert!(
        text.contains(&format!("{left_out}a walk of the tree")),
        "{text}"
    );
    assert!(
        text.contains(r#"expect_stat(0, "warm: b", "mode 0100644", "#),
        "{text}"
    );
    assert!(!text.contains("begin_line"), "{text}");

    plan.workers = Workers::Apart;
    let text = of(&plan, 1);
    assert!(
        text.contains(&format!("{left_out}workers run at once")),
        "{text}"
    );
}

#[test]
fn a_time_in_an_outcome_is_asked_for_by_line() {
    let plan = plan("creat a\np1: chmod a 0600\nstat a\nmkdir c");
    let mut run = ran(&plan, Arm::Ext4, 0);
    let of = |run: &mut CaseRun, (attribute, time): (Attribute, (i64, u32))| {
        let mut stat = node("a", 1).stat;
        (stat.atime, stat.ctime) = (time, time);
        let list = run.trace.get_mut(&(Arm::Ext4, 0)).unwrap();
        list[1].value = Value::Stat(stat);
        let finding = difference(Stage::Trace, Some((0, 1)), attribute);
        program(&plan, run, &finding, &[]).unwrap()
    };
    let text = of(&mut run, (Attribute::Ctime, by_line(1)));
    let check = r#"expect_line(3, "stat a: ctime", "ctime", 2, out.ret);"#;
    assert!(text.contains(check), "{text}");
    assert!(text.contains("begin_line(2);\n\texpect(2, "), "{text}");
    assert!(!text.contains(r#"arm("c")"#), "{text}");
    // Of what differs otherwise no time is asked.
    let text = of(&mut run, (Attribute::Uid, by_line(1)));
    assert!(!text.contains("begin_line"), "{text}");
    let text = of(&mut run, (Attribute::Atime, by_line(7)));
    assert!(text.contains(" * left out   atime: a walk"), "{text}");
}
