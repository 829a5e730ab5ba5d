//! Running a file as a program.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};

use lookback_ops::Value;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, execve, fork, pipe2};

use super::{At, Done};

/// Exit status of a child that never became the program.
const NOT_RUN: i32 = 127;

/// execve(2) in a child; the return value is the program's exit status, or 128
/// and the signal that ended it.
pub(super) fn run(path: &CStr) -> Done {
    // Closed by a successful execve(2), so that its end says it was one.
    let (mut told, tell) = pipe2(OFlag::O_CLOEXEC)
        .map(|(a, b)| (File::from(a), File::from(b)))
        .at("pipe")?;
    // SAFETY: a worker has one thread.
    match unsafe { fork() }.at("fork")? {
        ForkResult::Child => {
            let environment: [&CStr; 0] = [];
            let Err(errno) = execve(path, &[path], &environment);
            let mut tell = &tell;
            // Nothing is left to do for one whose parent does not listen.
            let _ = tell.write_all(&(errno as i32).to_le_bytes());
            // SAFETY: _exit(2) has no preconditions.
            unsafe { libc::_exit(NOT_RUN) }
        }
        ForkResult::Parent { child } => {
            drop(tell);
            let mut errno = [0; 4];
            let refused = told.read_exact(&mut errno).is_ok();
            let status = waitpid(child, None).at("waitpid")?;
            if refused {
                return Err(Errno::from_raw(i32::from_le_bytes(errno))).at("");
            }
            let status = match status {
                WaitStatus::Exited(_, status) => status,
                WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
                _ => -1,
            };
            Ok((status.into(), Value::None))
        }
    }
}
