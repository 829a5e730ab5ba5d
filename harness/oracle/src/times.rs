//! Which times can be compared, and how far.

use std::collections::BTreeSet;

use lookback_ops::{Base, Op, tree::Node};
use lookback_wire::control::{ATIME_DAY, Arm, CLOCK_STEP, CasePlan, Phase};
use serde::Serialize;

use crate::difference::Attribute;

/// Seconds and nanoseconds since 1970, as stat(2) gives them.
pub(crate) type Time = (i64, u32);

/// What is known of a case's times beforehand.
#[derive(Debug)]
pub(crate) struct Times {
    /// Those its traces set by utimensat(2): the same on every arm.
    set: BTreeSet<Time>,
    /// The guest's clock is set before each line, so that which line set a time
    /// is the same on every arm whose times the guest's kernel takes.
    stepped: bool,
}

impl Times {
    pub fn of(plan: &CasePlan) -> Self {
        let lines = plan.setup.iter().chain(&plan.trace);
        let set = lines.filter_map(|line| match line.op.innermost() {
            Op::Utimens { atime, mtime, .. } => Some([*atime, *mtime]),
            _ => None,
        });
        Self {
            set: set.flatten().collect(),
            stepped: plan.steps_clock(),
        }
    }

    /// How an arm's times compare with its reference's, in what `op` gave or,
    /// without one, in trees.
    pub fn between(&self, arm: Arm, reference: Arm, op: Option<&Op>) -> Clocks<'_> {
        Clocks::Arms {
            times: self,
            same: self.stepped && by_guest(arm, op) && by_guest(reference, op),
            atime: true,
        }
    }

    /// What of `time` is the same in every run of one trace on `arm`: all of it,
    /// the line that set it, or nothing.
    pub fn lasting(&self, arm: Arm, op: Option<&Op>, time: Time) -> Option<Lasting> {
        if self.set.contains(&time) {
            Some(Lasting::Set(time))
        } else {
            (self.stepped && by_guest(arm, op)).then(|| Lasting::Step(step(time)))
        }
    }
}

/// What of a time is the same in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Lasting {
    /// The trace set it.
    Set(Time),
    /// Steps of the clock since 1970.
    Step(i64),
}

/// Which line's or phase's time it is.
fn step(time: Time) -> i64 {
    time.0.div_euclid(CLOCK_STEP)
}

/// The guest's kernel takes the times. Those of `plain`, and of what `backed`
/// has without a backing object, are the host's.
fn by_guest(arm: Arm, op: Option<&Op>) -> bool {
    let outside = |op: &Op| {
        let mut paths = op.paths().into_iter();
        paths.any(|path| matches!(path.base, Base::Outside | Base::Root))
    };
    match arm {
        Arm::Plain => false,
        Arm::Backed => !op.is_some_and(outside),
        Arm::Devfuse | Arm::Ext4 => true,
    }
}

/// What two times are expected to have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clocks<'a> {
    /// They are two arms'.
    Arms {
        /// The case's.
        times: &'a Times,
        /// Both clocks were set to the same time before the same line.
        same: bool,
        /// Nobody but the case itself has set access times.
        atime: bool,
    },
    /// They are one arm's, in two phases.
    Phases {
        /// The access times were left alone between them.
        atime: bool,
    },
}

impl Clocks<'_> {
    /// Two phases of one arm, `node` being of the tree that `earlier` took.
    pub fn of_phases(earlier: Walk, node: &Node) -> Self {
        Clocks::Phases {
            atime: earlier.leaves_atime(node),
        }
    }

    /// The same, where the reference's node is from an earlier phase.
    pub fn with_earlier(self, earlier: Walk, node: &Node) -> Self {
        match self {
            Clocks::Arms { times, same, .. } => Clocks::Arms {
                times,
                same,
                atime: earlier.leaves_atime(node),
            },
            phases => phases,
        }
    }

    /// Whether two times that should be alike are not.
    pub fn disagree(self, attribute: Attribute, a: Time, b: Time) -> bool {
        match self {
            _ if a == b => false,
            Clocks::Phases { atime: false } | Clocks::Arms { atime: false, .. }
                if attribute == Attribute::Atime =>
            {
                false
            }
            Clocks::Phases { .. } => true,
            Clocks::Arms { times, same, .. } => {
                let set = times.set.contains(&a) || times.set.contains(&b);
                set || (same && step(a) != step(b))
            }
        }
    }
}

/// The walk that took a tree, seen from a later one's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    /// There was none before it.
    first: bool,
    /// What the clock was set to before it, where it is stepped.
    second: Option<i64>,
}

impl Walk {
    /// That of a phase.
    pub fn of(plan: &CasePlan, phase: Phase, first: bool) -> Self {
        Self {
            first,
            second: plan.steps_clock().then(|| plan.phase_second(phase)),
        }
    }

    /// Taking a tree reads it. `relatime_need_update` (fs/inode.c) lets that
    /// change an access time that is not later than mtime and ctime, or that is
    /// a day old. The first walk may find either. A later one finds the former
    /// only where the trace set a time that is yet to come, and the latter where
    /// the day ends between the two.
    fn leaves_atime(self, node: &Node) -> bool {
        let Self { first, second } = self;
        let stat = &node.stat;
        let young = |second| second + CLOCK_STEP < stat.atime.0 + ATIME_DAY;
        !first && stat.atime > stat.mtime && stat.atime > stat.ctime && second.is_none_or(young)
    }
}

pub(crate) fn show((seconds, nanoseconds): Time) -> String {
    format!("{seconds}.{nanoseconds:09}")
}

#[cfg(test)]
mod tests {
    use lookback_ops::Path;
    use lookback_wire::control::{CLOCK_BASE, Workers};
    use rstest::rstest;

    use super::*;
    use crate::testing::{node, path, plan};

    const SET: Time = (7, 8);
    const LINE: Time = (CLOCK_BASE + 3 * CLOCK_STEP, 400);

    fn times(workers: Workers) -> Times {
        let utimens = Op::Utimens {
            path: path("f"),
            atime: SET,
            mtime: SET,
        };
        Times::of(&CasePlan {
            workers,
            ..plan(vec![utimens], &[])
        })
    }

    #[rstest]
    #[case::same_line(LINE, (LINE.0 + CLOCK_STEP - 1, 9), false, false)]
    #[case::next_line(LINE, (LINE.0 + CLOCK_STEP, 400), true, false)]
    #[case::line_before(LINE, (LINE.0 - 1, 400), true, false)]
    #[case::set(SET, SET, false, false)]
    #[case::set_to_the_nanosecond(SET, (SET.0, 9), true, true)]
    #[case::set_and_lost(SET, LINE, true, true)]
    fn arms(#[case] a: Time, #[case] b: Time, #[case] stepped: bool, #[case] otherwise: bool) {
        let in_turn = times(Workers::InTurn);
        let disagree = |times: &Times, arm, reference| {
            let clocks = times.between(arm, reference, None);
            clocks.disagree(Attribute::Mtime, a, b)
        };
        assert_eq!(disagree(&in_turn, Arm::Backed, Arm::Ext4), stepped);
        assert_eq!(disagree(&in_turn, Arm::Devfuse, Arm::Ext4), stepped);
        assert_eq!(disagree(&in_turn, Arm::Plain, Arm::Ext4), otherwise);
        assert_eq!(disagree(&in_turn, Arm::Backed, Arm::Plain), otherwise);
        let apart = times(Workers::Apart);
        assert_eq!(disagree(&apart, Arm::Backed, Arm::Ext4), otherwise);
    }

    #[rstest]
    #[case::read_since((9, 0), (5, 0), (5, 0), true)]
    #[case::unread((5, 0), (5, 0), (5, 0), false)]
    #[case::written_since((6, 0), (7, 0), (7, 0), false)]
    #[case::yet_to_come((9, 0), (20, 0), (5, 0), false)]
    fn phases(#[case] atime: Time, #[case] mtime: Time, #[case] ctime: Time, #[case] kept: bool) {
        let mut node = node("f", 0o100_644, 5);
        (node.stat.atime, node.stat.mtime, node.stat.ctime) = (atime, mtime, ctime);
        let disagree = |first, attribute| {
            let walk = Walk {
                first,
                second: None,
            };
            Clocks::of_phases(walk, &node).disagree(attribute, (1, 0), (1, 1))
        };
        assert_eq!(disagree(false, Attribute::Atime), kept);
        assert!(!disagree(true, Attribute::Atime));
        assert!(disagree(true, Attribute::Mtime) && disagree(true, Attribute::Ctime));
    }

    #[rstest]
    #[case::of_this_walk(0, true)]
    #[case::of_the_last_line(-1, true)]
    #[case::not_quite_a_day(-85, true)]
    #[case::a_day_while_it_walks(-86, false)]
    #[case::a_day(-87, false)]
    fn a_day_that_ends_between_two_walks(#[case] steps: i64, #[case] kept: bool) {
        let plan = plan(vec![Op::Sync; 100], &[]);
        let walk = Walk::of(&plan, Phase::Expired, false);
        let mut node = node("f", 0o100_644, 5);
        (node.stat.mtime, node.stat.ctime) = (SET, SET);
        node.stat.atime = (plan.phase_second(Phase::Expired) + steps * CLOCK_STEP, 7);
        let clocks = Clocks::of_phases(walk, &node);
        assert_eq!(clocks.disagree(Attribute::Atime, (1, 0), (1, 1)), kept);
        let apart = CasePlan {
            workers: Workers::Apart,
            ..plan
        };
        let clocks = Clocks::of_phases(Walk::of(&apart, Phase::Expired, false), &node);
        assert!(clocks.disagree(Attribute::Atime, (1, 0), (1, 1)));
    }

    #[test]
    fn what_of_a_time_lasts() {
        let in_turn = times(Workers::InTurn);
        let later = (LINE.0 + 7, 1);
        let step = Some(Lasting::Step(1_000_003));
        assert_eq!(
            in_turn.lasting(Arm::Plain, None, SET),
            Some(Lasting::Set(SET))
        );
        assert_eq!(in_turn.lasting(Arm::Ext4, None, LINE), step);
        assert_eq!(in_turn.lasting(Arm::Ext4, None, later), step);
        assert_eq!(in_turn.lasting(Arm::Plain, None, LINE), None);
        assert_eq!(times(Workers::Free).lasting(Arm::Ext4, None, LINE), None);
    }

    #[rstest]
    #[case::backed(Arm::Backed, Base::Arm, true)]
    #[case::below(Arm::Backed, Base::Lower, true)]
    #[case::of_the_server(Arm::Backed, Base::Outside, false)]
    #[case::of_the_daemon(Arm::Devfuse, Base::Outside, true)]
    fn what_has_no_backing_object(#[case] arm: Arm, #[case] base: Base, #[case] found: bool) {
        let op = Op::Stat {
            path: Path {
                base,
                rel: "f".into(),
            },
        };
        let times = times(Workers::InTurn);
        let clocks = times.between(arm, Arm::Ext4, Some(&op));
        let host = (1_795_000_000, 1);
        assert_eq!(clocks.disagree(Attribute::Ctime, LINE, host), found);
        assert_eq!(times.lasting(arm, Some(&op), host).is_some(), found);
    }

    #[test]
    fn a_tree_of_an_earlier_phase_has_other_access_times() {
        let times = times(Workers::InTurn);
        let mut node = node("f", 0o100_644, 5);
        let disagree = |first, node: &Node| {
            let clocks = times.between(Arm::Backed, Arm::Ext4, None);
            let walk = Walk {
                first,
                second: None,
            };
            let clocks = clocks.with_earlier(walk, node);
            assert!(clocks.disagree(Attribute::Mtime, LINE, SET));
            clocks.disagree(Attribute::Atime, LINE, SET)
        };
        assert!(!disagree(false, &node));
        node.stat.atime = (node.stat.mtime.0 + 1, 0);
        assert!(disagree(false, &node));
        assert!(!disagree(true, &node));
    }
}
