//! Operations that run another one many times.

use lookback_ops::{Op, Outcome, Value, errno};
use nix::errno::Errno;

use super::faults::FailNth;
use super::process::drop_caches;
use super::{Failed, World};
use crate::console::say;

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
                return Ok(judge(op, outcome, seen));
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
/// than ENOMEM and that. Which allocation it was goes to the console: it is
/// another one on every arm.
fn judge(op: &Op, undisturbed: Outcome, seen: Vec<(u32, Outcome)>) -> Outcome {
    let odd = seen
        .into_iter()
        .find(|(_, outcome)| outcome.errno != Errno::ENOMEM as i32 && *outcome != undisturbed);
    match odd {
        None => undisturbed,
        Some((n, outcome)) => {
            let (was, instead) = (told(&outcome), told(&undisturbed));
            say(format!(
                "eachalloc {op}: {was} with allocation {n} failed, {instead} with none"
            ));
            let step = format!("fail-nth {}", outcome.step);
            Outcome {
                step: step.trim_end().to_owned(),
                ..outcome
            }
        }
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome.errno {
        0 => format!("{} {:?}", outcome.ret, outcome.value),
        errno => format!("{} {}", errno::name(errno), outcome.step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(errno: i32, ret: i64) -> Outcome {
        Outcome {
            ret,
            errno,
            step: String::new(),
            value: Value::None,
        }
    }

    #[rstest::rstest]
    #[case(&[], 0, "")]
    #[case(&[(libc::ENOMEM, -1)], 0, "")]
    #[case(&[(libc::ENOMEM, -1), (0, 7)], 0, "")]
    #[case(&[(libc::ENOENT, -1)], libc::ENOENT, "fail-nth")]
    #[case(&[(libc::ENOMEM, -1), (0, 5)], 0, "fail-nth")]
    #[case(&[(libc::EIO, -1), (libc::ENOENT, -1)], libc::EIO, "fail-nth")]
    fn only_enomem_may_come_of_it(
        #[case] seen: &[(i32, i64)],
        #[case] errno: i32,
        #[case] step: &str,
    ) {
        let seen = (1..).zip(seen.iter().map(|(errno, ret)| outcome(*errno, *ret)));
        let judged = judge(&Op::Sync, outcome(0, 7), seen.collect());
        assert_eq!((judged.errno, judged.step.as_str()), (errno, step));
    }
}
