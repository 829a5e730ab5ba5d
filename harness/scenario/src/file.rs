//! A scenario file as it is written.

use lookback_wire::{
    control::{Arm, Phase, Workers},
    rules::LookupRule,
};
use serde::Deserialize;
use toml::Spanned;

use crate::timeout::Timeout;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub name: Spanned<String>,
    pub about: String,
    pub arms: Option<Spanned<Vec<Arm>>>,
    pub phases: Option<Spanned<Vec<Phase>>>,
    pub root_dir: Option<Spanned<bool>>,
    pub no_daemon: Option<Spanned<bool>>,
    #[serde(default)]
    pub unprivileged: Option<Spanned<bool>>,
    #[serde(default)]
    pub balanced: bool,
    #[serde(default)]
    pub register: Vec<Spanned<RegisterTable>>,
    #[serde(default)]
    pub lookup: Vec<Spanned<LookupRule>>,
    #[serde(default)]
    pub server: Option<Spanned<ServerTable>>,
    #[serde(default)]
    pub matrix: MatrixTable,
    #[serde(default)]
    pub case: Vec<CaseTable>,
    pub fsstress: Option<FsstressTable>,
}

/// `[server]`: the answer to LOOKUP of the stacking root.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTable {
    pub negotiate: Option<bool>,
    pub backing: Option<u64>,
    pub nodeid: Option<u64>,
    pub entry_timeout: Option<Timeout>,
    pub attr_timeout: Option<Timeout>,
}

/// `[matrix]`: every case once for each value.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatrixTable {
    pub entry_timeout: Option<Spanned<Vec<Timeout>>>,
}

/// `[[case]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseTable {
    pub name: Spanned<String>,
    pub about: String,
    pub arms: Option<Spanned<Vec<Arm>>>,
    pub phases: Option<Spanned<Vec<Phase>>>,
    pub setup: Option<Spanned<String>>,
    pub trace: Spanned<String>,
    #[serde(default)]
    pub workers: Workers,
    pub every: Option<Spanned<u32>>,
    pub balanced: Option<bool>,
    #[serde(default)]
    pub register: Vec<Spanned<RegisterTable>>,
    #[serde(default)]
    pub lookup: Vec<Spanned<LookupRule>>,
}

/// `[[register]]`, `[[case.register]]`: one more backing id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterTable {
    pub id: u64,
    pub path: String,
}

/// `[fsstress]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FsstressTable {
    pub ops: Spanned<usize>,
    pub procs: Spanned<Vec<u16>>,
    pub mix: Option<Spanned<String>>,
    pub workers: Option<Workers>,
    pub every: Option<Spanned<u32>>,
    pub seed: Option<u64>,
}
