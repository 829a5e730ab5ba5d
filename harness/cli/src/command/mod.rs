//! The commands but `run` and `fsstress`.

pub mod bench;
pub mod doctor;
pub mod exec;
pub mod kernel;
pub mod list;
pub mod mutants;
pub mod nested;
pub mod replay;
pub mod report;
pub mod serve;
pub mod shrink;
