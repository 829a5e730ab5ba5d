//! What of a case runs beside what.

use lookback_ops::Op;
use lookback_wire::control::{Arm, CLOCK_BASE, CasePlan, Workers};

use crate::exec::Bases;
use crate::workers::Job;

/// The setup of an arm, its first line at this second if the clock is stepped.
pub fn setup(plan: &CasePlan, arm: Arm, bases: Bases, clock: Option<i64>) -> Job<'_> {
    Job {
        arm,
        lines: &plan.setup,
        bases,
        concurrent: false,
        every: 0,
        clock,
    }
}

/// The trace of all arms: tracks that run at the same time, each with arms that
/// run one after the other.
///
/// There is one clock, so that arms whose every line has a time of its own take
/// turns. The times of `plain` are its server's, and most of the time it waits
/// for that.
pub fn trace<'a>(
    plan: &'a CasePlan,
    arms: &[Arm],
    bases: impl Fn(Arm) -> Bases,
) -> Vec<Vec<Job<'a>>> {
    let job = |arm| Job {
        arm,
        lines: &plan.trace,
        bases: bases(arm),
        concurrent: plan.workers != Workers::InTurn,
        every: match plan.workers {
            Workers::InTurn => plan.every,
            Workers::Apart | Workers::Free => 0,
        },
        clock: (plan.steps_clock() && arm != Arm::Plain).then_some(CLOCK_BASE),
    };
    if plan.trace.iter().any(|line| disturbs(&line.op)) {
        return vec![arms.iter().copied().map(job).collect()];
    }
    if !plan.steps_clock() {
        return arms.iter().map(|arm| vec![job(*arm)]).collect();
    }
    let (plain, others): (Vec<Arm>, Vec<Arm>) = arms.iter().partition(|arm| **arm == Arm::Plain);
    [others, plain]
        .into_iter()
        .map(|arms| arms.into_iter().map(job).collect())
        .collect()
}

/// The operation is felt on every arm.
fn disturbs(op: &Op) -> bool {
    match op {
        Op::DropCaches => true,
        Op::EachAlloc { cold, op } => *cold || disturbs(op),
        Op::Repeat { op, .. } => disturbs(op),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use lookback_ops::trace::parse;

    use super::*;
    use crate::exec::Mount;

    const ARMS: [Arm; 3] = [Arm::Backed, Arm::Plain, Arm::Ext4];

    #[rstest::rstest]
    #[case::in_turn(Workers::InTurn, "creat a", "backed ext4, plain")]
    #[case::apart(Workers::Apart, "creat a", "backed, plain, ext4")]
    #[case::disturbed(Workers::Apart, "dropcaches", "backed plain ext4")]
    #[case::repeated(Workers::InTurn, "repeat 2 dropcaches", "backed plain ext4")]
    fn what_runs_at_the_same_time(
        #[case] workers: Workers,
        #[case] line: &str,
        #[case] expected: &str,
    ) {
        let plan = CasePlan {
            trace: parse(line).unwrap(),
            workers,
            every: 5,
            ..CasePlan::default()
        };
        let bases = |_| Bases {
            arm: String::new(),
            lower: String::new(),
            outside: String::new(),
            root: String::new(),
            mount: Mount::Local,
        };
        let tracks = trace(&plan, &ARMS, bases);
        let arms = tracks.iter().map(|track| {
            let arms: Vec<String> = track.iter().map(|job| job.arm.to_string()).collect();
            arms.join(" ")
        });
        assert_eq!(arms.collect::<Vec<_>>().join(", "), expected);
        for job in tracks.iter().flatten() {
            let in_turn = workers == Workers::InTurn;
            assert_eq!(
                (job.concurrent, job.every),
                (!in_turn, 5 * u32::from(in_turn))
            );
            let stepped = in_turn && job.arm != Arm::Plain;
            assert_eq!(job.clock, stepped.then_some(CLOCK_BASE));
        }
    }
}
