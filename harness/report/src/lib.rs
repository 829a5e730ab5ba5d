//! The run's result as terminal text, JUnit and JSON.
//!
//! ```
//! use lookback_report::{CaseResult, Kernel, RunResult, Status};
//!
//! let mut run = RunResult::new(
//!     "20240101-000000",
//!     "qemu (tcg)",
//!     Kernel { name: "patched".into(), release: "6.12.1".into(), profile: "fast".into() },
//!     1,
//! );
//! assert_eq!(run.exit_code(), 5, "nothing ran");
//! run.cases.push(CaseResult::new("lookup", "lookup.file", "a regular file", Status::Passed));
//! assert_eq!(run.exit_code(), 0);
//! ```

mod against;
mod compare;
mod exit;
pub mod handover;
pub mod junit;
mod model;
mod store;
pub mod terminal;
#[cfg(test)]
mod testing;
mod xml;

pub use against::Against;
pub use compare::compare;
pub use model::{
    CaseResult, Console, FORMAT, Finding, Fsck, FsckStatus, Kernel, Kind, Problem, RunResult,
    Status,
};
pub use store::{ReportError, read, write, write_junit, write_text};
