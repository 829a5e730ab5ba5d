//! What becomes of a run after each of its cases.

use lookback_report::{Finding, Kind, Problem, Status};
use lookback_scenario::Plan;

use crate::failure::Failure;

/// What a case leaves of its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// As good as before.
    Fit,
    /// It answers, but its kernel has complained or something was not given
    /// back: what it shows from now on may be of that.
    Tainted,
    /// Nothing.
    Gone,
}

impl Left {
    /// By what the case showed, and whether its guest answers.
    pub fn of(alive: bool, findings: &[Finding]) -> Self {
        let plain = |finding: &Finding| finding.kind == Kind::Difference;
        match alive {
            false => Self::Gone,
            true if findings.iter().all(plain) => Self::Fit,
            true => Self::Tainted,
        }
    }
}

/// What becomes of a guest after a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It stays for whatever comes.
    Stays,
    /// It ends now; whatever comes gets another one.
    Ends,
}

/// Which cases are run, and in how many guests.
#[derive(Debug)]
pub struct Course {
    one_guest: bool,
    over: Option<String>,
}

impl Course {
    /// A run that goes on in a fresh guest, or with `fail_fast` has one guest
    /// and is over with that.
    pub fn new(fail_fast: bool) -> Self {
        Self {
            one_guest: fail_fast,
            over: None,
        }
    }

    /// How the case ends without being run, if it does.
    pub fn without_run(&self, plan: &Plan) -> Option<Status> {
        if plan.case.arms.is_empty() {
            let reason = "too few of its arms are run to compare anything".into();
            return Some(Status::Skipped { reason });
        }
        let reason = self.over.clone()?;
        Some(Status::NotRun { reason })
    }

    /// After the case `id`; `more` says whether others are to come.
    pub fn after(&mut self, id: &str, left: Left, more: bool) -> Then {
        match left {
            Left::Fit => Then::Stays,
            // How the last guest ends is the run's own end.
            Left::Tainted if self.one_guest || !more => Then::Stays,
            Left::Tainted => Then::Ends,
            Left::Gone => {
                if self.one_guest {
                    self.over = Some(format!("the guest ended in {id}"));
                }
                Then::Ends
            }
        }
    }

    /// The next guest can't be had: nothing more is run. What that is to the
    /// run as a whole.
    pub fn no_guest(&mut self, number: u32, failure: &Failure) -> Problem {
        let text = failure.to_string();
        // What follows is the console's end, which is kept.
        let first = text.lines().next().unwrap_or_default();
        let why = format!(
            "guest {number} did not come up: {}",
            first.trim_end_matches(':')
        );
        self.over = Some(why.clone());
        match failure {
            Failure::NoAgent { crashed: true, .. } => Problem::Crash(why),
            Failure::NoAgent { crashed: false, .. } => Problem::Hang(why),
            _ => Problem::Environment(why),
        }
    }
}

#[cfg(test)]
mod tests;
