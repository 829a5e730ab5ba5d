//! The guest's first root file system: the agent, and the directories it mounts on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cpio::Writer;
use crate::elf::{self, Linkage};

/// Why there is no initramfs.
#[derive(Debug, Error)]
pub enum InitramfsError {
    /// The agent cannot be read.
    #[error("cannot read the guest agent {}: {error}", path.display())]
    Agent {
        /// The agent.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is no program for the guest.
    #[error("{} is not an x86-64 program", .0.display())]
    NotAProgram(PathBuf),
    /// The agent would not start: the guest has no loader.
    #[error(
        "the guest agent {} is linked dynamically and the guest has no {loader}: \
         build it with -C target-feature=+crt-static",
        path.display()
    )]
    Dynamic {
        /// The agent.
        path: PathBuf,
        /// The loader it asks for.
        loader: String,
    },
    /// The archive cannot be written.
    #[error("cannot write the initramfs {}: {error}", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// What an agent finds beside itself.
const DIRECTORIES: [(&str, u32); 8] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("mnt", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
];

/// Writes an initramfs whose `/init` is `agent`, a static program, to `out`. Equal agents give
/// equal bytes; `out` appears whole or not at all.
///
/// # Errors
/// Where the agent is missing or would not start in a guest, or `out` cannot be written.
pub fn initramfs(agent: &Path, out: &Path) -> Result<(), InitramfsError> {
    let program = fs::read(agent).map_err(|error| InitramfsError::Agent {
        path: agent.to_owned(),
        error,
    })?;
    match elf::linkage(&program) {
        Linkage::Static => {}
        Linkage::Dynamic(loader) => {
            return Err(InitramfsError::Dynamic {
                path: agent.to_owned(),
                loader,
            });
        }
        Linkage::NotX86_64 => return Err(InitramfsError::NotAProgram(agent.to_owned())),
    }
    write(&program, out).map_err(|error| InitramfsError::Write {
        path: out.to_owned(),
        error,
    })
}

fn write(program: &[u8], out: &Path) -> io::Result<()> {
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty());
    let file = tempfile::NamedTempFile::new_in(dir.unwrap_or_else(|| Path::new(".")))?;
    let mut archive = Writer::new(io::BufWriter::new(file));
    for (name, mode) in DIRECTORIES {
        archive.directory(name, mode)?;
    }
    // The kernel opens it for init before anything could mount devtmpfs.
    archive.character_device("dev/console", 0o600, (5, 1))?;
    archive.file("init", 0o755, program)?;
    let file = archive
        .finish()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.persist(out)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(dir: &Path) -> PathBuf {
        let mut program = vec![0; 64];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[18] = 62;
        let path = dir.join("agent");
        fs::write(&path, program).unwrap();
        path
    }

    #[test]
    fn equal_agents_give_equal_archives() {
        let dir = tempfile::tempdir().unwrap();
        let agent = agent(dir.path());
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        initramfs(&agent, &one).unwrap();
        initramfs(&agent, &two).unwrap();
        let bytes = fs::read(one).unwrap();
        assert_eq!(bytes, fs::read(two).unwrap());
        let names = ["dev\0", "dev/console\0", "init\0", "tmp\0", "TRAILER!!!\0"];
        for name in names {
            assert!(
                bytes
                    .windows(name.len())
                    .any(|part| part == name.as_bytes()),
                "{name}"
            );
        }
    }

    #[test]
    fn an_agent_that_cannot_start_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let own = std::env::current_exe().unwrap();
        let error = initramfs(&own, &out).unwrap_err();
        assert!(matches!(error, InitramfsError::Dynamic { .. }), "{error}");
        let script = dir.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        let error = initramfs(&script, &out).unwrap_err();
        assert!(matches!(error, InitramfsError::NotAProgram(_)), "{error}");
        let error = initramfs(&dir.path().join("none"), &out).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
        assert!(!out.exists());
    }

    #[test]
    fn an_unwritable_place_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = initramfs(&agent(dir.path()), &dir.path().join("a/b")).unwrap_err();
        assert!(error.to_string().contains("a/b"), "{error}");
    }
}
