//! What crosses a boundary: the FUSE extension structures, the server's rules
//! and replies, and the host-guest control protocol. No I/O.

pub mod control;
pub mod exec;
pub mod frame;
pub mod fuse;
pub mod reply;
pub mod rules;
