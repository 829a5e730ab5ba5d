//! `MountOp` as calls.

use lookback_ops::MountOp;

use super::Calls;
use crate::error::Unable;

impl Calls {
    pub(super) fn mount(&mut self, op: &MountOp) -> Result<String, Unable> {
        match op {
            MountOp::Bind {
                path,
                on,
                read_only,
            } => Ok(format!(
                "do_bind({}, {}, {})",
                self.path(path)?,
                self.path(on)?,
                u8::from(*read_only)
            )),
            MountOp::Register { .. } | MountOp::Unregister { .. } => Err(Unable::Register),
            MountOp::RootDir { .. } => Err(Unable::RootDir),
            MountOp::Abort => Err(Unable::Abort),
        }
    }
}
