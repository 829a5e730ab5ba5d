use lookback_ops::{Op, StatView, Value, outcome::Entry, tree::Node};
use rstest::rstest;

use super::*;
use crate::testing::{ARMS, agreeing, failed, line, outcome, path, plan, stat, tree};

const PHASES: [Phase; 5] = [
    Phase::Warm,
    Phase::Dropped,
    Phase::Remounted,
    Phase::Lower,
    Phase::Fsck,
];

fn only(verdict: &Verdict) -> &Difference {
    assert_eq!(verdict.differences.len(), 1, "{:#?}", verdict.differences);
    &verdict.differences[0]
}

fn a_stat(change: impl FnOnce(&mut StatView)) -> Outcome {
    let mut view = stat(0o100_644, 12);
    change(&mut view);
    outcome(Value::Stat(view))
}

fn listing(change: impl FnOnce(&mut Vec<Entry>)) -> Outcome {
    let entry = |name: &str| Entry {
        name: name.into(),
        d_type: 8,
        ino_agrees: true,
    };
    let mut entries = vec![entry("a"), entry("c")];
    change(&mut entries);
    outcome(Value::Entries(entries))
}

#[test]
fn arms_that_agree_differ_in_nothing() {
    let plan = plan(vec![Op::Stat { path: path("d/f") }], &PHASES);
    let verdict = judge(&plan, &agreeing(&plan, &[a_stat(|_| {})], &tree()));
    assert_eq!(verdict.differences, vec![]);
    assert_eq!(verdict.excused, BTreeMap::new());
    assert_eq!(verdict.operations, 1);
    assert_eq!(
        verdict.trees, 7,
        "two arms in three phases, and backed in `lower`"
    );
}

#[rstest]
#[case::errno(failed(2), failed(13), Attribute::Errno, "ENOENT", "EACCES")]
#[case::failure(outcome(Value::None), failed(5), Attribute::Errno, "0", "EIO")]
#[case::ret(outcome(Value::None), Outcome { ret: 3, ..outcome(Value::None) }, Attribute::Ret, "0", "3")]
#[case::step(
    Outcome { step: "open".into(), ..failed(2) },
    Outcome { step: "pread".into(), ..failed(2) },
    Attribute::Step, "`open`", "`pread`"
)]
#[case::kind(a_stat(|_| {}), outcome(Value::None), Attribute::ValueKind, "stat data", "nothing")]
#[case::file_type(a_stat(|_| {}), a_stat(|s| s.mode = 0o040_644), Attribute::Type, "regular file", "directory")]
#[case::mode(a_stat(|_| {}), a_stat(|s| s.mode = 0o104_644), Attribute::Mode, "0644", "4644")]
#[case::uid(a_stat(|_| {}), a_stat(|s| s.uid = 1000), Attribute::Uid, "0", "1000")]
#[case::gid(a_stat(|_| {}), a_stat(|s| s.gid = 1000), Attribute::Gid, "0", "1000")]
#[case::nlink(a_stat(|_| {}), a_stat(|s| s.nlink = 2), Attribute::Nlink, "1", "2")]
#[case::size(a_stat(|_| {}), a_stat(|s| s.size = 9), Attribute::Size, "0", "9")]
#[case::rdev(a_stat(|_| {}), a_stat(|s| s.rdev = (1, 3)), Attribute::Rdev, "0:0", "1:3")]
#[case::blksize(a_stat(|_| {}), a_stat(|s| s.blksize = 512), Attribute::Blksize, "4096", "512")]
#[case::mtime(a_stat(|s| s.mtime = (7, 8)), a_stat(|_| {}), Attribute::Mtime, "7.000000008", "1700000000.000000005")]
#[case::length(
    outcome(Value::Data { len: 4, digest: 1 }), outcome(Value::Data { len: 5, digest: 2 }),
    Attribute::Length, "4", "5"
)]
#[case::content(
    outcome(Value::Data { len: 4, digest: 1 }), outcome(Value::Data { len: 4, digest: 2 }),
    Attribute::Content, "xxh3 0000000000000001", "xxh3 0000000000000002"
)]
#[case::target(
    outcome(Value::Link("a".into())), outcome(Value::Link("b".into())), Attribute::Target, "`a`", "`b`"
)]
#[case::lost(listing(|_| {}), listing(|e| drop(e.pop())), Attribute::Name, "listed", "not listed")]
#[case::extra(
    listing(|_| {}),
    listing(|e| e.insert(1, Entry { name: "b".into(), d_type: 8, ino_agrees: true })),
    Attribute::Name, "not listed", "listed"
)]
#[case::twice(listing(|_| {}), listing(|e| e.push(e[1].clone())), Attribute::Name, "not listed", "listed")]
#[case::d_type(listing(|_| {}), listing(|e| e[0].d_type = 4), Attribute::DType, "regular file", "directory")]
#[case::d_ino(listing(|_| {}), listing(|e| e[0].ino_agrees = false), Attribute::DIno, "st_ino", "not st_ino")]
fn an_outcome_that_differs_is_found(
    #[case] expected: Outcome,
    #[case] actual: Outcome,
    #[case] attribute: Attribute,
    #[case] says: &str,
    #[case] but: &str,
) {
    let times = Op::Utimens {
        path: path("d/f"),
        atime: (1, 2),
        mtime: (7, 8),
    };
    let plan = plan(vec![times, Op::Stat { path: path("d/f") }], &[]);
    let mut run = agreeing(&plan, &[outcome(Value::None), expected], &tree());
    run.trace.get_mut(&(Arm::Backed, 0)).unwrap()[1] = actual;

    let verdict = judge(&plan, &run);
    let found = only(&verdict);
    assert_eq!((found.arm, found.reference), (Arm::Backed, Arm::Ext4));
    assert_eq!((found.attribute, found.stage), (attribute, Stage::Trace));
    assert_eq!(
        (found.expected.as_str(), found.actual.as_str()),
        (says, but)
    );
    assert_eq!(found.op.as_ref().unwrap().index, 1);
}

type Run<'a> = &'a mut CaseRun;
type Nodes<'a> = &'a mut Vec<Node>;
type Change = fn(Nodes<'_>);

#[rstest]
#[case::lost(|t: Nodes| drop(t.remove(2)), Attribute::Name, "d/f")]
#[case::extra(|t: Nodes| t.push(crate::testing::node("z", 0o100_644, 99)), Attribute::Name, "z")]
#[case::file_type(|t: Nodes| { t[2].stat.mode = 0o140_644; t[2].d_type = 0o14 }, Attribute::Type, "d/f")]
#[case::mode(|t: Nodes| t[1].stat.mode = 0o040_700, Attribute::Mode, "d")]
#[case::uid(|t: Nodes| t[0].stat.uid = 1, Attribute::Uid, "")]
#[case::gid(|t: Nodes| t[0].stat.gid = 1, Attribute::Gid, "")]
#[case::nlink(|t: Nodes| t[1].stat.nlink = 3, Attribute::Nlink, "d")]
#[case::size(|t: Nodes| t[2].stat.size = 3, Attribute::Size, "d/f")]
#[case::rdev(|t: Nodes| t[2].stat.rdev = (1, 1), Attribute::Rdev, "d/f")]
#[case::blksize(|t: Nodes| t[2].stat.blksize = 1024, Attribute::Blksize, "d/f")]
#[case::content(|t: Nodes| t[2].digest = Some(8), Attribute::Content, "d/f")]
#[case::unread(|t: Nodes| t[2].digest = None, Attribute::Content, "d/f")]
#[case::target(|t: Nodes| t[4].target = Some("other".into()), Attribute::Target, "l")]
#[case::hard_link(|t: Nodes| t[3].first_link = "d/g".into(), Attribute::HardLink, "d/g")]
#[case::d_ino(|t: Nodes| t[3].d_ino = 77, Attribute::DIno, "d/g")]
#[case::unreadable(|t: Nodes| t[2].error = Some(("read".into(), 5)), Attribute::Unreadable, "d/f")]
fn a_tree_that_differs_is_found(
    #[case] change: Change,
    #[case] attribute: Attribute,
    #[case] at: &str,
    #[values(Phase::Warm, Phase::Dropped, Phase::Remounted, Phase::Lower)] first: Phase,
) {
    let plan = plan(vec![], &PHASES);
    let mut run = agreeing(&plan, &[], &tree());
    for ((_, _), tree) in run
        .trees
        .iter_mut()
        .filter(|((arm, phase), _)| *arm == Arm::Backed && *phase >= first)
    {
        change(&mut tree.nodes);
    }

    let verdict = judge(&plan, &run);
    // A thing that turns into another counts for its d_type as well.
    let of_it: Vec<_> = verdict
        .differences
        .iter()
        .filter(|d| d.attribute == attribute)
        .collect();
    let [found] = of_it.as_slice() else {
        panic!("{:#?}", verdict.differences)
    };
    assert_eq!(found.path.as_deref(), Some(at));
    assert_eq!(found.stage, Stage::Tree(first), "the first phase is named");
    let later: Vec<_> = PHASES
        .into_iter()
        .filter(|p| *p > first && *p != Phase::Fsck)
        .collect();
    assert_eq!(found.also, later, "and the later ones are folded into it");
}

#[rstest]
#[case::d_type(|t: Nodes| t[2].d_type = 4, Attribute::DType, "regular file", "directory")]
#[case::d_ino(|t: Nodes| t[2].d_ino = 77, Attribute::DIno, "st_ino 12", "77")]
fn a_tree_at_odds_with_itself_is_found_on_the_reference_too(
    #[case] change: Change,
    #[case] attribute: Attribute,
    #[case] expected: &str,
    #[case] actual: &str,
) {
    let mut plan = plan(vec![], &[Phase::Warm]);
    plan.arms = vec![Arm::Ext4];
    let mut bad = tree();
    change(&mut bad.nodes);
    let verdict = judge(&plan, &agreeing(&plan, &[], &bad));
    let found = only(&verdict);
    assert_eq!((found.arm, found.attribute), (Arm::Ext4, attribute));
    assert_eq!(
        (found.expected.as_str(), found.actual.as_str()),
        (expected, actual)
    );
}

#[rstest]
#[case::ino(|t: Nodes| { t[2].stat.ino = 50; t[2].d_ino = 50 }, Attribute::Ino, "12", "50")]
#[case::mtime(|t: Nodes| t[2].stat.mtime.1 = 6, Attribute::Mtime, "1700000000.000000005", "1700000000.000000006")]
fn what_a_phase_must_not_change(
    #[case] change: Change,
    #[case] attribute: Attribute,
    #[case] expected: &str,
    #[case] actual: &str,
    #[values(Arm::Backed, Arm::Plain, Arm::Ext4)] arm: Arm,
) {
    let plan = plan(vec![], &PHASES);
    let mut run = agreeing(&plan, &[], &tree());
    for phase in [Phase::Remounted, Phase::Lower] {
        if let Some(tree) = run.trees.get_mut(&(arm, phase)) {
            change(&mut tree.nodes);
        }
    }
    let verdict = judge(&plan, &run);
    let found = only(&verdict);
    assert_eq!((found.arm, found.reference), (arm, arm));
    assert_eq!(
        (found.attribute, found.stage),
        (attribute, Stage::Tree(Phase::Remounted))
    );
    assert_eq!(
        (found.expected.as_str(), found.actual.as_str()),
        (expected, actual)
    );
}

#[rstest]
#[case::in_turn(Workers::InTurn, Arm::Backed, &[Attribute::Mtime, Attribute::Ctime])]
#[case::by_the_host(Workers::InTurn, Arm::Plain, &[])]
#[case::at_once(Workers::Apart, Arm::Backed, &[])]
fn clock_times_differ_where_no_clock_is_set(
    #[case] workers: Workers,
    #[case] arm: Arm,
    #[case] found: &[Attribute],
) {
    let mut plan = plan(vec![Op::Stat { path: path("d/f") }], &[Phase::Warm]);
    plan.workers = workers;
    let mut run = agreeing(&plan, &[a_stat(|_| {})], &tree());
    let later = a_stat(|s| (s.mtime.0, s.ctime.0) = (1_800_000_000, 1_800_000_000));
    run.trace.insert((arm, 0), vec![later]);
    let nodes = &mut run.trees.get_mut(&(arm, Phase::Warm)).unwrap().nodes;
    (nodes[2].stat.mtime, nodes[2].stat.ctime) = ((3, 3), (3, 3));
    let verdict = judge(&plan, &run);
    let attributes: Vec<_> = verdict.differences.iter().map(|d| d.attribute).collect();
    assert_eq!(attributes, found.repeat(2));
}

#[test]
fn a_tree_that_is_gone_is_one_difference() {
    let plan = plan(vec![], &[Phase::Warm]);
    let mut run = agreeing(&plan, &[], &tree());
    let nodes = &mut run.trees.get_mut(&(Arm::Plain, Phase::Warm)).unwrap().nodes;
    nodes.retain(|node| !node.path.starts_with('d'));
    nodes[0].stat.nlink = 2;
    let verdict = judge(&plan, &run);
    let names = verdict.differences.iter();
    let names: Vec<_> = names.filter(|d| d.attribute == Attribute::Name).collect();
    let [name] = names.as_slice() else {
        panic!("{:#?}", verdict.differences)
    };
    assert_eq!(name.path.as_deref(), Some("d"));
}

#[rstest]
#[case::no_outcome(|run: Run| drop(run.trace.remove(&(Arm::Backed, 0))), Arm::Backed)]
#[case::of_the_reference(|run: Run| drop(run.trace.remove(&(Arm::Ext4, 0))), Arm::Ext4)]
#[case::too_many(
    |run: Run| run.trace.get_mut(&(Arm::Plain, 0)).unwrap().push(failed(1)), Arm::Plain
)]
#[case::of_nobody(
    |run: Run| drop(run.trace.insert((Arm::Plain, 4), vec![failed(1)])), Arm::Plain
)]
#[case::no_tree(
    |run: Run| drop(run.trees.remove(&(Arm::Backed, Phase::Dropped))), Arm::Backed
)]
#[case::no_lower(
    |run: Run| drop(run.trees.remove(&(Arm::Backed, Phase::Lower))), Arm::Backed
)]
#[case::no_reference_tree(
    |run: Run| drop(run.trees.remove(&(Arm::Ext4, Phase::Warm))), Arm::Ext4
)]
fn what_is_missing_is_no_pass(#[case] lose: fn(Run<'_>), #[case] arm: Arm) {
    let plan = plan(vec![Op::Sync], &PHASES);
    let mut run = agreeing(&plan, &[outcome(Value::None)], &tree());
    lose(&mut run);
    let verdict = judge(&plan, &run);
    let found = only(&verdict);
    assert_eq!((found.attribute, found.arm), (Attribute::Missing, arm));
}

#[test]
fn nothing_at_all_is_no_pass() {
    let plan = plan(vec![Op::Sync], &PHASES);
    let verdict = judge(&plan, &CaseRun::default());
    assert_eq!(verdict.operations, 0);
    assert!(
        verdict
            .differences
            .iter()
            .all(|d| d.attribute == Attribute::Missing)
    );
    for arm in ARMS {
        assert!(
            verdict
                .differences
                .iter()
                .any(|d| d.arm == arm && d.stage == Stage::Trace)
        );
    }
}

#[test]
fn a_setup_that_fails_everywhere_is_found() {
    let mut plan = plan(vec![], &[]);
    plan.setup = vec![line(Op::Unlink { path: path("typo") })];
    let mut run = CaseRun::default();
    for arm in ARMS {
        run.add_outcomes(arm, true, 0, 0, vec![failed(2)]).unwrap();
    }
    let verdict = judge(&plan, &run);
    assert_eq!(only(&verdict).attribute, Attribute::Setup);
}

#[test]
fn every_arm_must_be_as_expected() {
    let mut plan = plan(vec![Op::Stat { path: path("f") }], &[]);
    plan.trace[0].expect = Some(5);
    let run = agreeing(&plan, &[failed(5)], &tree());
    assert_eq!(judge(&plan, &run).differences, []);
    // All agree, and are wrong.
    let run = agreeing(&plan, &[failed(2)], &tree());
    let signatures: Vec<_> = judge(&plan, &run)
        .differences
        .iter()
        .map(Difference::signature)
        .collect();
    let expected = ARMS.map(|arm| format!("stat:expected:EIO>ENOENT:trace:{arm}"));
    assert_eq!(signatures, expected);
}

#[test]
fn what_no_arm_can_do_is_no_agreement() {
    let plan = plan(
        vec![Op::EachAlloc {
            cold: false,
            op: Box::new(Op::Sync),
        }],
        &[],
    );
    let cannot = Outcome {
        step: UNSUPPORTED.into(),
        ..failed(95)
    };
    let verdict = judge(&plan, &agreeing(&plan, &[cannot], &tree()));
    let signatures: Vec<_> = verdict
        .differences
        .iter()
        .map(Difference::signature)
        .collect();
    let expected = ARMS.map(|arm| format!("eachalloc.sync:unsupported:trace:{arm}"));
    assert_eq!(signatures, expected);
}

#[rstest]
#[case(Value::Text("rd".into()), Value::Text("un".into()), &[(Attribute::Value, None)])]
#[case(Value::Names(vec!["a".into(), "b".into()]), Value::Names(vec!["b".into()]), &[(Attribute::Name, Some("a"))])]
#[case(Value::Names(vec![]), Value::Names(vec!["b".into()]), &[(Attribute::Name, Some("b"))])]
#[case(Value::Names(vec!["a".into()]), Value::Names(vec!["a".into()]), &[])]
#[case(Value::Names(vec![]), Value::Text(String::new()), &[(Attribute::ValueKind, None)])]
fn values_differ(
    #[case] reference: Value,
    #[case] arm: Value,
    #[case] found: &[(Attribute, Option<&str>)],
) {
    let plan = plan(vec![Op::Sync], &[]);
    let mut run = agreeing(&plan, &[outcome(reference)], &tree());
    run.trace.insert((Arm::Backed, 0), vec![outcome(arm)]);
    let verdict = judge(&plan, &run);
    let differences: Vec<_> = verdict
        .differences
        .iter()
        .map(|d| (d.attribute, d.path.as_deref()))
        .collect();
    assert_eq!(differences, found);
}

#[rstest]
#[case(Some(2), 2, &[])]
#[case(Some(2), 0, &[Attribute::Expected; 3])]
#[case(Some(0), 0, &[])]
#[case(None, 0, &[])]
fn a_setup_may_expect_an_error(
    #[case] expect: Option<i32>,
    #[case] errno: i32,
    #[case] found: &[Attribute],
) {
    let mut plan = plan(vec![], &[]);
    plan.setup = vec![Line {
        expect,
        ..line(Op::Stat { path: path("f") })
    }];
    let mut run = CaseRun::default();
    for arm in ARMS {
        run.add_outcomes(arm, true, 0, 0, vec![failed(errno)])
            .unwrap();
    }
    let attributes: Vec<_> = judge(&plan, &run)
        .differences
        .iter()
        .map(|difference| difference.attribute)
        .collect();
    assert_eq!(attributes, found);
}

#[rstest]
#[case(&[Arm::Backed, Arm::Plain, Arm::Ext4], Some(Arm::Ext4))]
#[case(&[Arm::Backed, Arm::Plain], Some(Arm::Plain))]
#[case(&[Arm::Backed], Some(Arm::Backed))]
#[case(&[], None)]
fn references(#[case] arms: &[Arm], #[case] expected: Option<Arm>) {
    assert_eq!(reference(arms), expected);
}

#[test]
fn context_is_of_the_same_worker() {
    let mut plan = plan((0..4).map(|ms| Op::Wait { ms }).collect(), &[]);
    plan.trace.insert(1, Line::new(1, Op::DropCaches));
    let mut run = CaseRun::default();
    for arm in ARMS {
        run.trace.insert((arm, 0), vec![outcome(Value::None); 4]);
        run.trace.insert((arm, 1), vec![outcome(Value::None)]);
    }
    run.trace.get_mut(&(Arm::Backed, 0)).unwrap()[2] = failed(1);
    let verdict = judge(&plan, &run);
    let lines = context(&plan, only(&verdict), 2);
    let expected: Vec<String> = [1, 2].map(|ms| line(Op::Wait { ms }).to_string()).to_vec();
    assert_eq!(lines, expected);
}

#[test]
fn free_workers_are_not_compared_with_the_reference() {
    let mut plan = plan(vec![Op::Stat { path: path("d/f") }], &PHASES);
    plan.workers = Workers::Free;
    let mut run = agreeing(&plan, &[a_stat(|_| {})], &tree());
    run.trace.insert((Arm::Backed, 0), vec![failed(2)]);
    for ((_, _), tree) in run
        .trees
        .iter_mut()
        .filter(|((arm, _), _)| *arm == Arm::Backed)
    {
        tree.nodes.truncate(4);
    }
    let verdict = judge(&plan, &run);
    assert_eq!(verdict.differences, vec![]);
    assert_eq!((verdict.operations, verdict.trees), (1, 10));

    run.trace.insert((Arm::Backed, 0), vec![]);
    assert_eq!(only(&judge(&plan, &run)).attribute, Attribute::Missing);
}

#[rstest]
#[case::in_a_race(Workers::Free, 2, None)]
#[case::of_a_disk(Workers::Free, 5, Some("stat:impossible:EIO:trace:backed"))]
#[case::agreed_upon(Workers::InTurn, 5, None)]
#[case::of_the_kernel(Workers::InTurn, 512, Some("stat:impossible:512:trace:backed"))]
fn some_errnos_are_impossible(
    #[case] workers: Workers,
    #[case] errno: i32,
    #[case] signature: Option<&str>,
) {
    let mut plan = plan(vec![Op::Stat { path: path("d/f") }], &[]);
    plan.workers = workers;
    let mut run = agreeing(&plan, &[failed(errno)], &tree());
    let signatures = |plan: &CasePlan, run: &CaseRun| -> Vec<String> {
        let differences = judge(plan, run).differences.into_iter();
        let of_backed = differences.filter(|d| d.arm == Arm::Backed);
        of_backed.map(|d| d.signature()).collect()
    };
    assert_eq!(
        signatures(&plan, &run),
        signature.into_iter().map(str::to_owned).collect::<Vec<_>>()
    );
    plan.trace[0].expect = Some(errno);
    run.trace.insert((Arm::Backed, 0), vec![failed(errno)]);
    assert_eq!(signatures(&plan, &run), Vec::<String>::new());
}
