//! The machine on the host's KVM, also on one that could not run a stock
//! kernel: guests of a few instructions against memory, ports, MMIO,
//! ioeventfd, irqfd and the devices' configuration space.
//!
//! Where there is no /dev/kvm the tests are listed as ignored.

// Helpers outside of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod guest;
mod machine;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let absent = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .err();
    if let Some(error) = &absent {
        eprintln!("ignored: /dev/kvm: {error}");
    }
    let trial = |(name, test): (&'static str, fn())| {
        let run = move || -> Result<(), Failed> {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(absent.is_some())
    };
    let trials = machine::TESTS.iter().copied().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit();
}
