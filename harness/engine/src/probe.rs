//! Can this host's KVM run a stock kernel?

use std::fmt;
use std::fs::OpenOptions;
use std::io;

/// Where KVM lives.
const DEVICE: &str = "/dev/kvm";

/// What [`probe`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A guest ran as a stock kernel would.
    Usable,
    /// There is no KVM here.
    Absent,
    /// There is one, closed to this user.
    Forbidden,
    /// There is one and it cannot run a stock kernel: why.
    Unable(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Usable => write!(f, "{DEVICE} runs a stock kernel's instructions"),
            Verdict::Absent => write!(f, "this machine has no {DEVICE}"),
            Verdict::Forbidden => {
                write!(
                    f,
                    "{DEVICE} is closed to this user (is it in the group kvm?)"
                )
            }
            Verdict::Unable(why) => write!(f, "{DEVICE} cannot run a stock kernel: {why}"),
        }
    }
}

/// Asks the host's KVM.
pub fn probe() -> Verdict {
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => Verdict::Unable("not yet tried".to_owned()),
        Err(error) => from_open(&error),
    }
}

fn from_open(error: &io::Error) -> Verdict {
    match error.kind() {
        io::ErrorKind::NotFound => Verdict::Absent,
        io::ErrorKind::PermissionDenied => Verdict::Forbidden,
        _ => Verdict::Unable(error.to_string()),
    }
}
