//! Making a trace smaller while it still shows what it showed.
//!
//! Nothing here runs a trace: whoever asks says, for each candidate, whether it
//! still shows what is looked for. Everything is tried in a fixed order, so
//! that equal answers give equal results, and every step makes the trace
//! smaller, so that there is an end.
//!
//! [`minimize`] removes; the rest proposes: [`slices`] what may belong to a
//! line, [`simpler()`] a line's simpler forms, [`names`] simpler names for all of
//! a trace, [`workers`] fewer workers.

mod minimize;
mod names;
mod simpler;
mod slice;
#[cfg(test)]
mod tests;
mod workers;

pub use minimize::{minimize, shortest_prefix};
pub use names::names;
pub use simpler::{simpler, weight};
pub use slice::slices;
pub use workers::{used, workers};
