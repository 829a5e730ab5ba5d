//! `op::MountOp` as text.

use std::fmt::{self, Display, Formatter};

use crate::op::MountOp;

impl Display for MountOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            MountOp::Bind {
                path,
                on,
                read_only,
            } => {
                let mode = if *read_only { " ro" } else { "" };
                write!(f, "bind {path} {on}{mode}")
            }
            MountOp::Register { id, path } => write!(f, "register {id} {path}"),
            MountOp::Unregister { id } => write!(f, "unregister {id}"),
            MountOp::RootDir { paths } => {
                f.write_str("rootdir")?;
                paths.iter().try_for_each(|path| write!(f, " {path}"))
            }
            MountOp::Abort => f.write_str("abort"),
        }
    }
}
