//! The commands that boot no guest.

pub mod doctor;
pub mod kernel;
pub mod list;
pub mod report;
pub mod serve;
