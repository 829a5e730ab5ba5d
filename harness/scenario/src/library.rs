//! A directory of scenario files.

use std::{fs, path::Path};

use crate::{
    error::ScenarioError,
    expand::{Overrides, Plan},
    scenario::Scenario,
};

/// The scenarios of a directory, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Library {
    scenarios: Vec<Scenario>,
}

impl Library {
    /// Reads every `*.toml` of a directory.
    ///
    /// # Errors
    /// If the directory or a file can't be read or there is none, and the
    /// first mistake in one: a broken file stops the run even if it is not
    /// asked for.
    pub fn load(directory: &Path) -> Result<Self, ScenarioError> {
        let read = |source| ScenarioError::Read {
            path: directory.to_owned(),
            source,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(read)? {
            let path = entry.map_err(read)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                files.push(path);
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(ScenarioError::Empty {
                directory: directory.to_owned(),
            });
        }
        let scenarios = files
            .iter()
            .map(|path| {
                let text = fs::read_to_string(path).map_err(|source| ScenarioError::Read {
                    path: path.clone(),
                    source,
                })?;
                Scenario::parse(path, &text)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { scenarios })
    }

    /// The scenarios, sorted by name.
    #[must_use]
    pub fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// The cases of the scenarios named, in the order named; all if none is.
    /// A name is a scenario's, or the beginning of a case's id up to a dot.
    ///
    /// # Errors
    /// A name nothing has.
    pub fn plans(
        &self,
        names: &[impl AsRef<str>],
        overrides: &Overrides,
    ) -> Result<Vec<Plan>, ScenarioError> {
        if names.is_empty() {
            return Ok(self
                .scenarios
                .iter()
                .flat_map(|s| s.expand(overrides))
                .collect());
        }
        let mut plans: Vec<Plan> = Vec::new();
        for name in names {
            for plan in self.named(name.as_ref(), overrides)? {
                if plans.iter().all(|other| other.case.id != plan.case.id) {
                    plans.push(plan);
                }
            }
        }
        Ok(plans)
    }

    fn named(&self, name: &str, overrides: &Overrides) -> Result<Vec<Plan>, ScenarioError> {
        let unknown = |known| ScenarioError::Unknown {
            name: name.to_owned(),
            known,
        };
        let stem = name.split('.').next().unwrap_or_default();
        let Some(scenario) = self.scenarios.iter().find(|scenario| scenario.name == stem) else {
            return Err(unknown(
                self.scenarios.iter().map(|s| s.name.clone()).collect(),
            ));
        };
        let all = scenario.expand(overrides);
        let is_meant = |id: &str| {
            id.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !all.iter().any(|plan| is_meant(&plan.case.id)) {
            return Err(unknown(all.into_iter().map(|plan| plan.case.id).collect()));
        }
        Ok(all
            .into_iter()
            .filter(|plan| is_meant(&plan.case.id))
            .collect())
    }
}
