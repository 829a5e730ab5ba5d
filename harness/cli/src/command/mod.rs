//! The commands that boot no guest themselves.

pub mod doctor;
pub mod kernel;
pub mod list;
pub mod mutants;
pub mod report;
pub mod serve;
