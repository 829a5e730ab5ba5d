//! An arm mounted as for a case, for something else than a trace.

use lookback_wire::control::{Arm, CasePlan};
use nix::unistd::Pid;

use super::{Case, CaseError};
use crate::board::Board;
use crate::devfuse::Daemon;
use crate::exec::Bases;
use crate::port::{Port, PortError};

/// An arm that a program can run on.
#[derive(Debug)]
pub struct Stage {
    /// The arm.
    pub arm: Arm,
    /// Its directories.
    pub bases: Bases,
    /// The process that serves it, if it is one of the agent's.
    pub daemon: Option<Pid>,
}

/// Mount the plan's arms and set them up, have `work` done on the first, and
/// unmount them. The trace is not run. `Err` says why there was nothing to work
/// on.
///
/// # Errors
/// [`PortError`]: the host can't be told any more.
pub fn with_arm<T>(
    plan: &CasePlan,
    board: &'static Board,
    port: &mut Port,
    work: impl FnOnce(&Stage, &mut Port) -> Result<T, PortError>,
) -> Result<Result<T, String>, PortError> {
    board.set_busy(true);
    let mut case = Case::new(plan, board, port);
    let done = match case.prepare() {
        Ok(()) => {
            // A program may do nothing for as long as it likes.
            board.set_busy(false);
            let done = match case.stage() {
                Some(stage) => Ok(work(&stage, case.port)?),
                None => Err("the plan has no arm".to_owned()),
            };
            board.set_busy(true);
            done
        }
        Err(CaseError::Port(e)) => return Err(e),
        Err(e) => Err(e.to_string()),
    };
    case.unmount()?;
    board.set_busy(false);
    Ok(done)
}

impl Case<'_> {
    fn stage(&self) -> Option<Stage> {
        self.arms.list().first().map(|&arm| Stage {
            arm,
            bases: self.arms.bases(arm),
            daemon: self.daemon.as_ref().map(Daemon::pid),
        })
    }
}
