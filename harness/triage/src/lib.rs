//! Reads a guest's console: oops, KASAN, lockdep, hung task, leaks; titles, frames and signatures.
