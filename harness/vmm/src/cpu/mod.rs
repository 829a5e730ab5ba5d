//! vCPUs: what they are set up with, and the threads they run in.

mod cpuid;
mod exit;
mod kick;
mod setup;
mod state;
mod thread;

pub(crate) use exit::Ended;
pub(crate) use kick::{kick, with_kicks_held};
pub(crate) use setup::{boot_registers, prepare};
pub(crate) use state::CpuState;
pub(crate) use thread::{Bus, Command, Cpu};
