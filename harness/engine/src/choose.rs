//! Takes the fastest engine that really works here, and says why.

use std::path::Path;

use crate::error::Error;
use crate::guest::Engine;
use crate::kvm::Kvm;
use crate::probe::{Verdict, probe};
use crate::qemu::{Accel, Qemu};

/// What `--engine` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// KVM where it can run a stock kernel, else translation.
    Auto,
    /// KVM or nothing.
    Kvm,
    /// QEMU without KVM, as an independent peer.
    Qemu,
}

/// An engine and the line that says which and why.
#[derive(Debug)]
pub struct Choice {
    /// The engine.
    pub engine: Box<dyn Engine>,
    /// One line for the user.
    pub why: String,
}

/// Chooses an engine, with `qemu` in place of `qemu-system-x86_64` from `$PATH`
/// if given; fails only if KVM is insisted on and cannot run.
pub fn choose(request: Request, qemu: Option<&Path>) -> Result<Choice, Error> {
    decide(request, qemu, probe)
}

fn decide(
    request: Request,
    qemu: Option<&Path>,
    probe: impl FnOnce() -> Verdict,
) -> Result<Choice, Error> {
    let translation = || -> Box<dyn Engine> {
        Box::new(qemu.map_or_else(
            || Qemu::new(Accel::Tcg),
            |binary| Qemu::with_binary(Accel::Tcg, binary),
        ))
    };
    let (engine, reason): (Box<dyn Engine>, String) = match request {
        Request::Qemu => (translation(), "asked for".to_owned()),
        Request::Auto | Request::Kvm => match probe() {
            verdict @ Verdict::Usable => (Box::new(Kvm), verdict.to_string()),
            verdict if request == Request::Auto => (translation(), verdict.to_string()),
            verdict => return Err(Error::NoKvm(verdict.to_string())),
        },
    };
    let why = format!("engine {}: {reason}", engine.name());
    Ok(Choice { engine, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Request::Auto, Verdict::Usable, "kvm", "runs")]
    #[case(Request::Auto, Verdict::Absent, "qemu+tcg", "no /dev/kvm")]
    #[case(Request::Auto, Verdict::Forbidden, "qemu+tcg", "closed to this user")]
    #[case(Request::Auto, Verdict::Unable("int3 fails".into()), "qemu+tcg", "int3 fails")]
    #[case(Request::Kvm, Verdict::Usable, "kvm", "runs")]
    #[case(Request::Qemu, Verdict::Usable, "qemu+tcg", "asked for")]
    fn takes_kvm_only_where_it_works(
        #[case] request: Request,
        #[case] verdict: Verdict,
        #[case] name: &str,
        #[case] reason: &str,
    ) {
        let choice = decide(request, None, || verdict).unwrap();
        assert_eq!(choice.engine.name(), name);
        assert!(
            choice.why.contains(name) && choice.why.contains(reason),
            "{}",
            choice.why
        );
    }

    #[rstest]
    #[case(Verdict::Absent, "no /dev/kvm")]
    #[case(Verdict::Forbidden, "closed to this user")]
    #[case(Verdict::Unable("int3 fails".into()), "int3 fails")]
    fn refuses_a_kvm_that_cannot(#[case] verdict: Verdict, #[case] reason: &str) {
        let message = decide(Request::Kvm, None, || verdict)
            .unwrap_err()
            .to_string();
        assert!(message.contains(reason), "{message}");
    }
}
