//! Operations that run another one many times.

use lookback_ops::{Op, Outcome, Value};
use nix::errno::Errno;

use super::faults::FailNth;
use super::process::drop_caches;
use super::{Failed, World};

/// No operation makes more allocations than this.
const MOST_ALLOCATIONS: u32 = 10_000;

impl World {
    /// Run `op` `times` times; the first outcome, or the first that is another.
    pub(super) fn repeat(&mut self, times: u32, op: &Op) -> Outcome {
        let first = self.run(op);
        for _ in 1..times {
            self.board.beat();
            let next = self.run(op);
            if next != first {
                return next;
            }
        }
        first
    }

    /// Run `op` with each of its allocations failing in turn.
    pub(super) fn each_alloc(&mut self, cold: bool, op: &Op) -> Outcome {
        self.try_each_alloc(cold, op)
            .unwrap_or_else(|failed| Outcome {
                ret: -1,
                errno: failed.errno as i32,
                step: failed.step.into(),
                value: Value::None,
            })
    }

    fn try_each_alloc(&mut self, cold: bool, op: &Op) -> Result<Outcome, Failed> {
        let fault = FailNth::prepare()?;
        let mut seen: Vec<(u32, Outcome)> = Vec::new();
        for n in 1..=MOST_ALLOCATIONS {
            self.board.beat();
            if cold {
                drop_caches()?;
            }
            fault.arm(n)?;
            let outcome = self.run(op);
            if !fault.disarm()? {
                return Ok(judge(outcome, seen));
            }
            if !seen.iter().any(|(_, earlier)| *earlier == outcome) {
                seen.push((n, outcome));
            }
        }
        Err(Failed {
            step: "allocations",
            errno: Errno::E2BIG,
        })
    }
}

/// The outcome nothing disturbed, unless a failed allocation gave another one
/// than ENOMEM and that. Which allocation it was is told in the step.
fn judge(undisturbed: Outcome, seen: Vec<(u32, Outcome)>) -> Outcome {
    let odd = seen
        .into_iter()
        .find(|(_, outcome)| outcome.errno != Errno::ENOMEM as i32 && *outcome != undisturbed);
    match odd {
        None => undisturbed,
        Some((n, outcome)) => {
            let step = format!("allocation {n} failed: {}", outcome.step);
            Outcome {
                step: step.trim_end_matches([' ', ':']).to_owned(),
                ..outcome
            }
        }
    }
}
