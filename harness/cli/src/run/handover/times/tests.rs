use lookback_ops::trace;
use lookback_wire::control::{Phase, Workers};
use rstest::rstest;

use super::*;

/// Setup of two lines, trace of four.
fn plan() -> CasePlan {
    CasePlan {
        setup: trace::parse("creat s\nwrite s len=1").unwrap(),
        trace: trace::parse("creat f\nutimens f atime=7:8 mtime=9:1\nread f len=1\nchmod f 0600")
            .unwrap(),
        arms: vec![Arm::Backed, Arm::Ext4],
        ..CasePlan::default()
    }
}

fn difference(stage: Stage) -> Difference {
    Difference {
        case: "case".into(),
        stage,
        also: vec![],
        arm: Arm::Backed,
        reference: Arm::Ext4,
        op: None,
        path: None,
        attribute: Attribute::Ctime,
        expected: String::new(),
        actual: String::new(),
    }
}

/// During the step that begins so many after the first line's.
fn step(step: i64) -> (i64, u32) {
    (CLOCK_BASE + step * CLOCK_STEP + 999, 1)
}

const WARM: Stage = Stage::Tree(Phase::Warm);

#[rstest]
#[case::directory(step(-3), Ok(When::Line(0)))]
#[case::setup(step(-1), Ok(When::Line(0)))]
#[case::first(step(0), Ok(When::Line(1)))]
#[case::last(step(3), Ok(When::Line(4)))]
#[case::walk(step(4), Err(Unknown::Walk))]
#[case::set((7, 8), Ok(When::Set(7, 8)))]
#[case::set_almost((7, 9), Ok(When::Line(0)))]
#[case::at_no_time((i64::MIN, 0), Ok(When::Line(0)))]
fn whose_a_time_is(#[case] time: (i64, u32), #[case] expected: Result<When, Unknown>) {
    let when = |stamp| when(&plan(), &difference(WARM), (stamp, time), 4);
    assert_eq!(when(Stamp::Mtime), expected);
    assert_eq!(when(Stamp::Atime), expected);
    // Nobody sets a ctime.
    if matches!(expected, Ok(When::Set(..))) {
        assert_eq!(when(Stamp::Ctime), Ok(When::Line(0)));
    } else {
        assert_eq!(when(Stamp::Ctime), expected);
    }
}

#[test]
fn a_shorter_trace_has_fewer_lines() {
    let times = [(2, Ok(When::Line(3))), (3, Err(Unknown::Walk))];
    for (time, expected) in times {
        let when = when(
            &plan(),
            &difference(Stage::After(3)),
            (Stamp::Ctime, step(time)),
            3,
        );
        assert_eq!(when, expected);
    }
}

#[test]
fn where_no_line_took_it_the_program_can_not_say() {
    let of = |plan: &CasePlan, reference, time| {
        let mut difference = difference(WARM);
        difference.reference = reference;
        when(plan, &difference, (Stamp::Mtime, time), 4)
    };
    let alone = plan();
    assert_eq!(of(&alone, Arm::Backed, step(0)), Err(Unknown::Phases));
    assert_eq!(of(&alone, Arm::Plain, step(0)), Err(Unknown::Host));
    for workers in [Workers::Apart, Workers::Free] {
        let at_once = CasePlan { workers, ..plan() };
        assert_eq!(of(&at_once, Arm::Ext4, step(0)), Err(Unknown::AtOnce));
        // What the trace set is the same whoever ran when.
        assert_eq!(of(&at_once, Arm::Ext4, (9, 1)), Ok(When::Set(9, 1)));
    }
}

#[rstest]
#[case::none_before(Stage::After(2), 2, 1, 2, None)]
#[case::its_own(Stage::After(2), 2, 2, 2, Some(Unknown::Walked))]
#[case::one_before(Stage::After(4), 4, 1, 2, Some(Unknown::Walked))]
#[case::all_before(WARM, 4, 1, 4, Some(Unknown::Walked))]
#[case::too_few_lines(WARM, 4, 1, 5, None)]
#[case::operation(Stage::Trace, 3, 1, 2, Some(Unknown::Walked))]
#[case::operation_before(Stage::Trace, 2, 1, 2, None)]
fn walks_between_lines_read(
    #[case] stage: Stage,
    #[case] lines: usize,
    #[case] line: usize,
    #[case] every: u32,
    #[case] unknown: Option<Unknown>,
) {
    let plan = CasePlan { every, ..plan() };
    let time = step(i64::try_from(line).unwrap() - 1);
    let when = |stamp| when(&plan, &difference(stage), (stamp, time), lines);
    assert_eq!(when(Stamp::Atime).err(), unknown);
    assert_eq!(when(Stamp::Mtime), Ok(When::Line(line)));
}

#[test]
fn access_times_go_by_the_clock_there() {
    let mut plan = plan();
    let of =
        |plan: &CasePlan, stamp| when(plan, &difference(WARM), (stamp, step(0)), plan.trace.len());
    plan.trace = trace::parse(&"read f len=1\n".repeat(83)).unwrap();
    assert_eq!(of(&plan, Stamp::Atime), Ok(When::Line(1)));
    plan.trace.push(plan.trace[0].clone());
    assert_eq!(of(&plan, Stamp::Atime), Err(Unknown::Day));
    assert_eq!(of(&plan, Stamp::Mtime), Ok(When::Line(1)));
    plan.trace = trace::parse("utimens f atime=1500000000:0 mtime=1:0").unwrap();
    assert_eq!(of(&plan, Stamp::Atime), Err(Unknown::Ahead));
    assert_eq!(of(&plan, Stamp::Ctime), Ok(When::Line(1)));
}
