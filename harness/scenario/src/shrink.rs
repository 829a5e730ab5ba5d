//! Making a case smaller while it still shows what it showed.
//!
//! Nothing here runs one: a [`Judge`] says of each candidate whether it still
//! shows what is looked for. What is tried, and in which order, depends on its
//! answers alone; every step that is kept makes the case smaller.

mod answers;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use lookback_ops::{Line, shrink};
use lookback_wire::control::{Arm, Phase};

use crate::recording::Recording;

/// Says of candidates whether they still show it.
pub trait Judge {
    /// Why there is no answer, and none to expect.
    type Error;

    /// Whether the candidate shows it. `true` makes it the case that is made
    /// smaller from here on.
    ///
    /// # Errors
    /// Ends the shrinking.
    fn shows(&mut self, candidate: &Recording) -> Result<bool, Self::Error>;

    /// What is made smaller from now on.
    fn stage(&mut self, stage: Stage);
}

/// What is being made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The end of the trace.
    End,
    /// Arms, phases, flags, and how workers run.
    Settings,
    /// The number of workers.
    Workers,
    /// The number of operations.
    Operations,
    /// What the server answers.
    Answers,
    /// The operations' arguments and names.
    Arguments,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::End => "cutting off the end",
            Self::Settings => "arms, phases, settings",
            Self::Workers => "workers",
            Self::Operations => "removing operations",
            Self::Answers => "what the server answers",
            Self::Arguments => "arguments and names",
        })
    }
}

/// What is known of where it shows; guesses, each of which is tried first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aim {
    /// The arms it takes.
    pub arms: Option<Vec<Arm>>,
    /// The phases it takes.
    pub phases: Option<Vec<Phase>>,
    /// Index in the trace of the last line it takes.
    pub end: Option<usize>,
}

/// Makes a case smaller that is known to show it. In the result no operation,
/// worker, arm, phase or rule is left without which it still shows, if the
/// answers depend on the candidate alone.
///
/// # Errors
/// What the judge returns. The last candidate it said `true` to is the smallest
/// so far.
pub fn shrink<J: Judge>(
    recording: Recording,
    aim: &Aim,
    judge: &mut J,
) -> Result<Recording, J::Error> {
    let mut shrinker = Shrinker {
        judge,
        now: recording,
        refused: HashSet::new(),
    };
    shrinker.guess(aim)?;
    shrinker.settings()?;
    shrinker.cut_the_end(aim)?;
    loop {
        let before = shrinker.now.clone();
        shrinker.settings()?;
        shrinker.workers()?;
        shrinker.operations()?;
        shrinker.answers()?;
        shrinker.arguments()?;
        if shrinker.now == before {
            return Ok(before);
        }
    }
}

struct Shrinker<'a, J> {
    judge: &'a mut J,
    /// The smallest so far.
    now: Recording,
    /// Hashes of what does not show it.
    refused: HashSet<u64>,
}

impl<J: Judge> Shrinker<'_, J> {
    /// Goes on with the candidate if it shows it. What no file could hold, and
    /// what was refused before, is not asked about.
    fn try_one(&mut self, candidate: Recording) -> Result<bool, J::Error> {
        if candidate == self.now {
            return Ok(false);
        }
        let Ok(text) = candidate.print() else {
            return Ok(false);
        };
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        if self.refused.contains(&hash) {
            return Ok(false);
        }
        let read = Recording::parse(Path::new("candidate"), &text);
        if read.is_ok_and(|read| read == candidate) && self.judge.shows(&candidate)? {
            self.now = candidate;
            return Ok(true);
        }
        self.refused.insert(hash);
        Ok(false)
    }

    fn try_with(&mut self, change: impl FnOnce(&mut Recording)) -> Result<bool, J::Error> {
        let mut candidate = self.now.clone();
        change(&mut candidate);
        self.try_one(candidate)
    }

    /// All that is known, at once and then one by one.
    fn guess(&mut self, aim: &Aim) -> Result<(), J::Error> {
        self.judge.stage(Stage::End);
        let changes: [&dyn Fn(&mut Recording); 3] = [
            &|case| {
                if let Some(end) = aim.end {
                    case.trace.truncate(end + 1);
                    case.every = 0;
                }
            },
            &|case| {
                if let Some(phases) = &aim.phases {
                    case.phases.retain(|phase| phases.contains(phase));
                }
            },
            &|case| {
                if let Some(arms) = &aim.arms {
                    case.arms.retain(|arm| arms.contains(arm));
                }
            },
        ];
        let at_once = self.try_with(|case| changes.iter().for_each(|change| change(case)))?;
        if !at_once {
            for change in changes {
                self.try_with(change)?;
            }
        }
        Ok(())
    }

    /// Whatever stands behind what shows it.
    fn cut_the_end(&mut self, aim: &Aim) -> Result<(), J::Error> {
        self.judge.stage(Stage::End);
        let len = self.now.trace.len();
        let is_cut = aim.end.is_some_and(|end| len == end + 1);
        if !is_cut {
            shrink::shortest_prefix(len, |len| self.try_with(|case| case.trace.truncate(len)))?;
        }
        Ok(())
    }

    fn settings(&mut self) -> Result<(), J::Error> {
        self.judge.stage(Stage::Settings);
        while self.any_of(settings::simpler)? {}
        Ok(())
    }

    fn workers(&mut self) -> Result<(), J::Error> {
        self.judge.stage(Stage::Workers);
        let fewer = |case: &Recording| -> Vec<Recording> {
            let with = |trace| Recording {
                trace,
                ..case.clone()
            };
            let used = shrink::used(&case.trace);
            let without = |worker: &u16| {
                let others = case.trace.iter().filter(|line| line.worker != *worker);
                others.cloned().collect::<Vec<_>>()
            };
            let merged = shrink::workers(&case.trace);
            // One worker is simpler than many, even if it has as much to do.
            let (first, others) = merged.split_at(merged.len().min(1));
            first
                .iter()
                .cloned()
                .chain(used.iter().filter(|_| used.len() > 1).map(without))
                .chain(others.iter().cloned())
                .map(with)
                .collect()
        };
        while self.any_of(fewer)? {}
        Ok(())
    }

    fn operations(&mut self) -> Result<(), J::Error> {
        self.judge.stage(Stage::Operations);
        self.slice()?;
        let trace = self.now.trace.clone();
        shrink::minimize(&trace, |rest: &[Line]| {
            self.try_with(|case| case.trace = rest.to_vec())
        })?;
        let setup = self.now.setup.clone();
        shrink::minimize(&setup, |rest: &[Line]| {
            self.try_with(|case| case.setup = rest.to_vec())
        })?;
        Ok(())
    }

    /// Whatever has nothing to do with the last line.
    fn slice(&mut self) -> Result<(), J::Error> {
        let trace = self.now.trace.clone();
        for slice in shrink::slices(&trace, trace.len().saturating_sub(1)) {
            // What leaves little out saves little: removing is as fast.
            if slice.len() > trace.len() / 4 * 3 {
                return Ok(());
            }
            let lines: Vec<Line> = slice.iter().map(|index| trace[*index].clone()).collect();
            if self.try_with(|case| case.trace = lines)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn answers(&mut self) -> Result<(), J::Error> {
        self.judge.stage(Stage::Answers);
        while self.any_of(answers::simpler)? {}
        Ok(())
    }

    fn arguments(&mut self) -> Result<(), J::Error> {
        self.judge.stage(Stage::Arguments);
        let names = |case: &Recording| -> Vec<Recording> {
            let names = shrink::names(&case.setup, &case.trace).into_iter();
            names
                .map(|(setup, trace)| Recording {
                    setup,
                    trace,
                    ..case.clone()
                })
                .collect()
        };
        while self.any_of(names)? {}
        for index in 0..self.now.setup.len() {
            while self.simpler_line(|case| case.setup.get_mut(index))? {}
        }
        for index in 0..self.now.trace.len() {
            while self.simpler_line(|case| case.trace.get_mut(index))? {}
        }
        Ok(())
    }

    fn simpler_line(
        &mut self,
        line: impl Fn(&mut Recording) -> Option<&mut Line>,
    ) -> Result<bool, J::Error> {
        let simpler = |case: &Recording| -> Vec<Recording> {
            let mut case = case.clone();
            let Some(now) = line(&mut case).map(|line| line.clone()) else {
                return Vec::new();
            };
            let with = |simpler| {
                let mut candidate = case.clone();
                if let Some(line) = line(&mut candidate) {
                    *line = simpler;
                }
                candidate
            };
            shrink::simpler(&now).into_iter().map(with).collect()
        };
        self.any_of(simpler)
    }

    /// Goes on with the first of these that shows it.
    fn any_of(
        &mut self,
        candidates: impl FnOnce(&Recording) -> Vec<Recording>,
    ) -> Result<bool, J::Error> {
        for candidate in candidates(&self.now) {
            if self.try_one(candidate)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
