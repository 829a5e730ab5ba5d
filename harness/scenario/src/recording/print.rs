//! A recording as text.

use std::fmt::{Display, Write};

use lookback_ops::trace;
use lookback_wire::{
    control::{Phase, Registration},
    rules::LookupRule,
};
use toml::Value;
use toml_writer::{ToTomlValue, TomlStringBuilder};

use crate::{answers::Server, error::ScenarioError, recording::Recording};

/// What `%phases` says where trees are not compared at all.
pub(super) const NO_PHASES: &str = "none";

impl Recording {
    /// It as text, which [`Recording::parse`] reads back as the same.
    ///
    /// # Errors
    /// A rule with a number that TOML has none for, above 2^63: no file has
    /// given it.
    pub fn print(&self) -> Result<String, ScenarioError> {
        let default = Self::default();
        let mut text = String::new();
        if !self.title.is_empty() {
            line(&mut text, "title", title(&self.title));
        }
        if let Some(seed) = self.seed {
            line(&mut text, "seed", seed);
        }
        if self.arms != default.arms {
            line(&mut text, "arms", commas(&self.arms));
        }
        if self.phases != default.phases {
            line(&mut text, "phases", phases(&self.phases));
        }
        if self.workers != default.workers {
            line(&mut text, "workers", self.workers);
        }
        if self.every != default.every {
            line(&mut text, "every", self.every);
        }
        for (flag, name) in [
            (self.balanced, "balanced"),
            (self.clear, "clear"),
            (self.root_dir, "root-dir"),
            (self.no_daemon, "no-daemon"),
            (self.unprivileged, "unprivileged"),
        ] {
            if flag {
                text.push_str(&format!("%{name}\n"));
            }
        }
        if self.server != default.server {
            line(&mut text, "server", server(&self.server));
        }
        for Registration { id, path } in &self.register {
            let path = string(path);
            line(
                &mut text,
                "register",
                format_args!("{{ id = {id}, path = {path} }}"),
            );
        }
        for lookup in &self.lookup {
            line(&mut text, "lookup", rule(lookup)?);
        }
        if !self.setup.is_empty() {
            text.push_str("%setup\n");
            text.push_str(&trace::print(&self.setup));
        }
        if !text.is_empty() {
            text.push_str("%trace\n");
        }
        text.push_str(&trace::print(&self.trace));
        Ok(text)
    }
}

fn line(text: &mut String, name: &str, value: impl Display) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "%{name} {value}");
}

/// As it is where it reads back so, else as a string of TOML.
fn title(title: &str) -> String {
    let plain =
        title.trim() == title && !title.starts_with('"') && !title.chars().any(char::is_control);
    if plain {
        title.to_owned()
    } else {
        string(title)
    }
}

/// A string of TOML on one line, whatever is in it.
fn string(text: &str) -> String {
    TomlStringBuilder::new(text).as_basic().to_toml_value()
}

fn commas(items: &[impl ToString]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    words.join(",")
}

fn phases(phases: &[Phase]) -> String {
    match phases {
        [] => NO_PHASES.to_owned(),
        phases => commas(phases),
    }
}

fn server(server: &Server) -> String {
    let default = Server::default();
    let mut keys = Vec::new();
    if server.negotiate != default.negotiate {
        keys.push(format!("negotiate = {}", server.negotiate));
    }
    if server.backing != default.backing {
        keys.push(format!("backing = {}", server.backing));
    }
    if let Some(nodeid) = server.nodeid {
        keys.push(format!("nodeid = {nodeid}"));
    }
    for (key, timeout) in [
        ("entry_timeout", server.entry_timeout),
        ("attr_timeout", server.attr_timeout),
    ] {
        if let Some(timeout) = timeout {
            keys.push(format!("{key} = \"{timeout}\""));
        }
    }
    format!("{{ {} }}", keys.join(", "))
}

/// A rule as an inline table, what it is for in front.
fn rule(rule: &LookupRule) -> Result<String, ScenarioError> {
    let value = Value::try_from(rule).map_err(|error| ScenarioError::Print(error.to_string()))?;
    Ok(inline(&value))
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let first = |key: &str| ["path", "type"].contains(&key);
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_by_key(|(key, _)| !first(key));
            let keys: Vec<_> = keys
                .into_iter()
                .map(|(key, value)| format!("{key} = {}", inline(value)))
                .collect();
            format!("{{ {} }}", keys.join(", "))
        }
        plain => plain.to_string(),
    }
}
