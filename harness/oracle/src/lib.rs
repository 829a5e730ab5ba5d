//! The oracle: what the arms of one case gave back, compared with the
//! reference, less the differences the kernel's own code explains.
//!
//! Nothing here does I/O. The host collects what the guest reports into a
//! [`CaseRun`] and asks [`judge`] for the [`Verdict`].
//!
//! ```
//! use std::collections::BTreeMap;
//! use lookback_oracle::{CaseRun, judge};
//! use lookback_ops::{Line, Op, Outcome, Value};
//! use lookback_wire::control::{Arm, CasePlan};
//!
//! let plan = CasePlan {
//!     id: "example.sync".into(),
//!     arms: vec![Arm::Backed, Arm::Ext4],
//!     trace: vec![Line::new(0, Op::Sync)],
//!     ..CasePlan::default()
//! };
//! let mut run = CaseRun::default();
//! let ok = Outcome { ret: 0, errno: 0, step: String::new(), value: Value::None };
//! let failed = Outcome { ret: -1, errno: 5, ..ok.clone() };
//! run.add_outcomes(Arm::Ext4, false, 0, 0, vec![ok])?;
//! run.add_outcomes(Arm::Backed, false, 0, 0, vec![failed])?;
//!
//! let verdict = judge(&plan, &run);
//! assert_eq!(verdict.operations, 1);
//! assert_eq!(verdict.differences[0].signature(), "sync:errno:0>EIO:trace:backed");
//! # Ok::<(), lookback_oracle::CollectError>(())
//! ```

pub mod difference;
pub mod legitimate;

mod checkpoints;
mod collapse;
mod collect;
mod consistency;
mod digest;
mod judge;
mod outcomes;
mod possible;
mod sink;
#[cfg(test)]
mod testing;
mod times;
mod trees;

pub use collect::{CaseRun, CollectError};
pub use difference::{Attribute, Difference, OpRef, Stage};
pub use digest::digests;
pub use judge::{Verdict, context, judge, reference};
pub use legitimate::{LEGITIMATE, Legitimate};
pub use trees::is_acl;
