//! What a machine must have for a trace.

use lookback_ops::{FileOp, Line, Op, Outcome, Value};

/// O_TMPFILE (open(2))
const O_TMPFILE: u32 = 0o20_200_000;
/// Without these a file's owner is refused what root is not.
const OWNER_RW: u32 = 0o600;
/// Set-id and sticky bits, which the kernel takes from others than root.
const SPECIAL: u32 = 0o7000;

/// Whether only root gets from `lines` what root got.
pub fn root(lines: &[&Line], expected: &[Option<Outcome>]) -> bool {
    let told_owner = |outcome: &Outcome| matches!(outcome.value, Value::Stat(_));
    lines.iter().any(|line| privileged(line.op.innermost()))
        || expected.iter().flatten().any(told_owner)
}

/// Whether a file is made that has no name.
pub fn tmpfile(lines: &[&Line]) -> bool {
    lines.iter().any(
        |line| matches!(line.op.innermost(), Op::Open { flags, .. } if flags & O_TMPFILE == O_TMPFILE),
    )
}

/// Whether an attribute of a user's is set.
pub fn xattr(lines: &[&Line]) -> bool {
    let user = |op: &Op| matches!(op, Op::File(FileOp::SetXattr { name, .. }) if name.starts_with("user."));
    lines.iter().any(|line| user(line.op.innermost()))
}

fn privileged(op: &Op) -> bool {
    let mode = |mode: u32| mode & OWNER_RW != OWNER_RW || mode & SPECIAL != 0;
    match op {
        Op::Creat { mode: bits, .. } | Op::Mkdir { mode: bits, .. } | Op::Chmod { mode: bits, .. } => {
            mode(*bits)
        }
        Op::Mknod { .. }
        | Op::Chown { .. }
        | Op::Access { .. }
        | Op::DropCaches
        | Op::MountTmpfs { .. }
        | Op::Umount { .. }
        | Op::Creds { .. }
        | Op::Mount(_)
        | Op::EachAlloc { .. } => true,
        Op::Umask { mask } => mask & 0o700 != 0,
        Op::File(op) => match op {
            FileOp::SetXattr { name, .. }
            | FileOp::GetXattr { name, .. }
            | FileOp::RemoveXattr { name, .. } => !name.starts_with("user."),
            // trusted.* is listed to root alone.
            FileOp::ListXattr { .. }
            | FileOp::Chattr { .. }
            | FileOp::Ioctl { .. }
            | FileOp::LinkFd { .. }
            | FileOp::OpenHandle { .. }
            | FileOp::Exec { .. } => true,
            FileOp::Fallocate { .. }
            | FileOp::CopyRange { .. }
            | FileOp::CloneRange { .. }
            | FileOp::DedupeRange { .. }
            | FileOp::Splice { .. }
            | FileOp::Lsattr { .. }
            | FileOp::Statfs { .. }
            | FileOp::FdPath { .. }
            | FileOp::Handle { .. }
            | FileOp::Watch { .. }
            | FileOp::Cached { .. } => false,
        },
        Op::Open { flags, mode: bits, .. } => flags & 0o100 != 0 && mode(*bits),
        Op::Symlink { .. }
        | Op::Link { .. }
        | Op::Unlink { .. }
        | Op::Rmdir { .. }
        | Op::Rename { .. }
        | Op::Stat { .. }
        | Op::Lstat { .. }
        | Op::Utimens { .. }
        | Op::Truncate { .. }
        | Op::Readlink { .. }
        | Op::Readdir { .. }
        | Op::Write { .. }
        | Op::Read { .. }
        | Op::MmapWrite { .. }
        | Op::MmapRead { .. }
        | Op::Fsync { .. }
        | Op::Fdatasync { .. }
        | Op::Close { .. }
        | Op::Pwrite { .. }
        | Op::Pread { .. }
        | Op::Ftruncate { .. }
        | Op::Fstat { .. }
        | Op::Fsyncfd { .. }
        | Op::Lseek { .. }
        | Op::Sync
        | Op::Wait { .. }
        | Op::Io(_)
        | Op::Lock(_)
        | Op::Map(_)
        // What they run is asked for itself.
        | Op::Repeat { .. } => false,
    }
}

/// Whether it changes the process it is done in.
pub fn marks_process(op: &Op) -> bool {
    match op.innermost() {
        Op::Open { .. } | Op::Creds { .. } | Op::Umask { .. } | Op::Map(_) => true,
        Op::File(op) => matches!(
            op,
            FileOp::OpenHandle { .. } | FileOp::Watch { .. } | FileOp::Handle { .. }
        ),
        _ => false,
    }
}
