//! This machine's files in a guest, and a command of its that runs there.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    time::Duration,
};

use lookback_engine::{Share, SocketDir};
use lookback_fs_backend::{Backend, BackendConfig, BackendHandle};
use lookback_wire::exec::{ExecPlan, ExecStatus, Mount, MountKind, Stream};

use crate::failure::{Failure, UNABLE};

/// The tag of the share that is this machine's `/`.
const ROOT: &str = "host";
/// How long the guest may trust what it knows of this machine's files: a
/// translated guest asks slowly, and they hardly change under it.
const TRUST: Duration = Duration::from_secs(3600);
/// Directories that programs write to. What is in /tmp stays visible, as a
/// program or its data may be; what is in /run belongs to this machine's daemons.
const OWN: [(&str, MountKind); 2] = [("/tmp", MountKind::Overlay), ("/run", MountKind::Tmpfs)];
/// Variables that name places which are not the same there.
const LEFT_OUT: [&str; 3] = ["XDG_RUNTIME_DIR", "TMPDIR", "LOOKBACK_OUTPUT"];

/// Serves this machine's `/`, read-only.
pub fn serve_root(sockets: &SocketDir) -> Result<BackendHandle, Failure> {
    serve(sockets, ROOT, Path::new("/"), true)
}

/// Serves a directory of this machine's under a tag.
pub fn serve(
    sockets: &SocketDir,
    tag: &str,
    directory: &Path,
    readonly: bool,
) -> Result<BackendHandle, Failure> {
    let mut config = BackendConfig::new(sockets.socket(tag), directory);
    config.tag = Some(tag.to_owned());
    config.readonly = readonly;
    if readonly {
        (config.entry_timeout, config.attr_timeout) = (TRUST, TRUST);
    }
    Ok(Backend::spawn(config)?)
}

/// What a guest's device connects to for the share of `/`.
pub fn root_share(server: &BackendHandle) -> Share {
    share(ROOT, server)
}

/// What a guest's device connects to for the share with this tag.
pub fn share(tag: &str, server: &BackendHandle) -> Share {
    Share {
        tag: tag.to_owned(),
        socket: server.socket().to_owned(),
    }
}

/// The tag of a directory that the command may write to.
pub fn tag(index: usize) -> String {
    format!("out{index}")
}

/// The command with this process's environment and directory, on this machine's
/// `/`. It may write to the directories `out`, shared under their [`tag`]s.
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
        root: Some(ROOT.to_owned()),
        mounts: own.into_iter().chain(out).collect(),
        ..ExecPlan::default()
    })
}

/// Prints what the command printed where it printed it.
pub fn print(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Out => pass(io::stdout(), bytes),
        Stream::Err => pass(io::stderr(), bytes),
    }
}

fn pass(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// What this process ends with for how the command ended, nothing else being
/// wrong. What the status does not tell is said.
pub fn own_status(ended: &ExecStatus) -> u8 {
    let (status, why) = match ended {
        ExecStatus::Code(code) => return *code,
        ExecStatus::Signal(signal) => return signal.saturating_add(128),
        ExecStatus::NotFound(why) => (127, why),
        ExecStatus::NotExecutable(why) => (126, why),
        ExecStatus::Unable(why) => (UNABLE, why),
    };
    eprintln!("lookback: {why}");
    status
}
