//! What the agent is asked to run, and what the kernel says of KVM.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use lookback_wire::exec::{ExecPlan, Mount, MountKind};

use crate::{command::nested::HOST, failure::Failure};

/// Directories that programs write to. What is in /tmp stays visible, as a
/// program or its data may be; what is in /run belongs to this machine's daemons.
const OWN: [(&str, MountKind); 2] = [("/tmp", MountKind::Overlay), ("/run", MountKind::Tmpfs)];
/// Variables that name places which are not the same there.
const LEFT_OUT: [&str; 3] = ["XDG_RUNTIME_DIR", "TMPDIR", "LOOKBACK_OUTPUT"];

/// The command with this process's environment and directory.
pub fn plan(command: &[OsString], out: &[PathBuf]) -> Result<ExecPlan, Failure> {
    let bytes = |text: &OsStr| text.as_bytes().to_vec();
    let cwd = env::current_dir().map_err(Failure::io("find the directory", Path::new(".")))?;
    let variables = env::vars_os().filter(|(name, _)| !LEFT_OUT.iter().any(|left| name == left));
    let own = OWN.map(|(at, what)| Mount {
        at: at.into(),
        what,
    });
    let out = out.iter().enumerate().map(|(index, path)| Mount {
        at: bytes(path.as_os_str()),
        what: MountKind::Share(tag(index)),
    });
    Ok(ExecPlan {
        argv: command.iter().map(|argument| bytes(argument)).collect(),
        env: variables
            .map(|(name, value)| (name.into_vec(), value.into_vec()))
            .collect(),
        cwd: bytes(cwd.as_os_str()),
        root: Some(HOST.to_owned()),
        mounts: own.into_iter().chain(out).collect(),
    })
}

/// The tag of a directory that the command may write to.
pub fn tag(index: usize) -> String {
    format!("out{index}")
}

/// The lines of the kernel's log about KVM, without their times.
pub fn kvm_lines(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| Some(line.split_once("] ")?.1.trim()))
        .filter(|line| line.starts_with("kvm"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_quoted_without_its_times() {
        let log = "<6>[    0.9] kvm_amd: Nested Paging enabled\n<6>[ 1.0] x\nkvm: no\n";
        assert_eq!(kvm_lines(log), ["kvm_amd: Nested Paging enabled"]);
    }
}
