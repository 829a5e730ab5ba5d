//! `lookback bench`: how fast it is, as ratios measured in one run.

mod boot;
mod figures;

pub use boot::boot;
