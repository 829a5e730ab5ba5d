//! Programs, compiled and run on a directory of this machine.
//!
//! That they find what the agent finds is the agent's to test. Here is what it
//! takes to say that something differs, and to say so.

#![allow(clippy::unwrap_used)]

mod attributes;
mod compiled;
mod machine;
mod made;
mod outcomes;
mod times;
mod trees;
mod workers;
