//! The judge of candidates: guests that run them, and what a run must show.

use std::{path::Path, time::Duration};

use lookback_report::{Finding, write_text};
use lookback_scenario::{
    Recording,
    shrink::{Judge, Stage},
};

use crate::{
    command::shrink::{guests::Guests, progress::Shrinking},
    failure::Failure,
};

/// What candidates have to show, and how often.
#[derive(Debug, Clone)]
pub struct Order {
    /// The signature.
    pub signature: String,
    /// It is the kernel's complaint.
    pub kernels: bool,
    /// It shows only when the guest ends.
    pub at_end: bool,
    /// In so many reruns, if it is chance whether one shows it,
    pub hits: u32,
    /// of so many.
    pub of: u32,
    /// It is known to be chance.
    pub is_chance: bool,
}

/// Whether one run tells as much as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    /// The first that shows it is run more than once, to know.
    Unknown,
    /// Each run of one candidate ends as the others.
    None,
    /// They don't.
    Chance,
}

/// Runs candidates, and writes down each that shows it.
pub struct Bench<'g, 'a> {
    guests: &'g mut Guests<'a>,
    order: Order,
    limits: &'g dyn Fn(&Recording) -> Duration,
    out: &'g Path,
    progress: Shrinking,
    luck: Luck,
    /// Each run has a guest of its own.
    afresh: bool,
}

impl<'g, 'a> Bench<'g, 'a> {
    /// Has run nothing yet. `limits` says how long a candidate may take, `out`
    /// is where the smallest so far is kept.
    pub fn new(
        guests: &'g mut Guests<'a>,
        order: Order,
        limits: &'g dyn Fn(&Recording) -> Duration,
        out: &'g Path,
        progress: Shrinking,
    ) -> Self {
        Self {
            guests,
            luck: if order.is_chance {
                Luck::Chance
            } else {
                Luck::Unknown
            },
            afresh: order.at_end,
            order,
            limits,
            out,
            progress,
        }
    }

    /// Keeps a case that has shown it, under a name that never has half of one.
    pub fn keep(&mut self, recording: &Recording) -> Result<(), Failure> {
        write_text(self.out, &recording.print()?)?;
        self.progress.kept(recording);
        Ok(())
    }

    /// Whether a guest that has run nothing else shows it.
    pub fn shows_afresh(&mut self, recording: &Recording) -> Result<bool, Failure> {
        if self.afresh {
            return Ok(true);
        }
        self.afresh = true;
        let shows = match self.luck {
            Luck::Chance => self.often_enough(recording, 0, 0),
            Luck::Unknown | Luck::None => self.once(recording),
        };
        self.afresh = false;
        shows
    }

    /// From here on every run has a guest of its own.
    pub fn always_afresh(&mut self) {
        self.progress
            .say("a fresh guest does not show it; again, each candidate in a guest of its own");
        self.afresh = true;
    }

    /// Takes the progress off the screen; returns how many runs there were, and
    /// how many showed it.
    pub fn finish(self) -> (u64, u64) {
        self.progress.finish()
    }

    fn once(&mut self, candidate: &Recording) -> Result<bool, Failure> {
        let limit = (self.limits)(candidate);
        let findings: Vec<Finding> = if self.order.at_end {
            let shown = self.guests.run_to_the_end(candidate, limit)?;
            shown.case.into_iter().chain(shown.end).collect()
        } else {
            if self.afresh {
                self.guests.refresh()?;
            }
            self.guests.run(candidate, limit, self.order.kernels)?
        };
        let same = |finding: &Finding| stable(&finding.signature) == stable(&self.order.signature);
        let shows = findings.iter().any(same);
        self.progress.ran(shows);
        Ok(shows)
    }

    /// Whether enough of the reruns show it, of which there have been some.
    fn often_enough(
        &mut self,
        candidate: &Recording,
        mut shown: u32,
        mut runs: u32,
    ) -> Result<bool, Failure> {
        let Order { hits, of, .. } = self.order;
        while shown < hits && shown + of.saturating_sub(runs) >= hits {
            shown += u32::from(self.once(candidate)?);
            runs += 1;
        }
        Ok(shown >= hits)
    }

    fn is_shown(&mut self, candidate: &Recording) -> Result<bool, Failure> {
        match self.luck {
            Luck::None => self.once(candidate),
            Luck::Chance => self.often_enough(candidate, 0, 0),
            Luck::Unknown => {
                if !self.once(candidate)? {
                    return Ok(false);
                }
                for run in 1..self.order.hits {
                    if !self.once(candidate)? {
                        self.luck = Luck::Chance;
                        return self.often_enough(candidate, run, run + 1);
                    }
                }
                self.luck = Luck::None;
                Ok(true)
            }
        }
    }
}

impl Judge for Bench<'_, '_> {
    type Error = Failure;

    fn shows(&mut self, candidate: &Recording) -> Result<bool, Failure> {
        let shows = self.is_shown(candidate)?;
        if shows {
            self.keep(candidate)?;
        }
        Ok(shows)
    }

    fn stage(&mut self, stage: Stage) {
        self.progress.stage(stage);
    }
}

/// What of a signature stays when lines go: a worker's death names its line.
fn stable(signature: &str) -> &str {
    signature
        .split_once(" at line ")
        .map_or(signature, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_dies_the_same_death_elsewhere() {
        let one = "mount:backed: worker 1 was killed by SIGSEGV at line 812: stat a";
        let two = "mount:backed: worker 1 was killed by SIGSEGV at line 3: stat a";
        assert_eq!(stable(one), stable(two));
        assert_eq!(stable("tree:mode:warm:backed"), "tree:mode:warm:backed");
    }
}
