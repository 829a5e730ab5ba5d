//! Runs the real `lookback` where it can do no harm, and sees what it leaves.

// Each test program takes what it needs of this.
#![allow(dead_code)]
#![allow(clippy::unwrap_used)]

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{PipeReader, Read, pipe},
    os::{
        fd::{AsFd, AsRawFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};

/// How long anything here may take on a busy machine, in milliseconds.
const LIMIT: u16 = 60_000;

/// Stands in for QEMU: runs the shell text that its kernel's file begins with.
pub const FAKE_QEMU: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/fake-qemu");

/// Directories of one test, instead of the checkout's and the user's.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let sandbox = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["cache", "sockets"] {
            fs::create_dir(sandbox.path(name)).unwrap();
        }
        sandbox
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and the directories above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// An image by its magic numbers, and a script for the stand-in: a bzImage's
    /// `HdrS` is at 0x202.
    pub fn kernel(&self, script: &str) -> PathBuf {
        let mut image = format!("{script}\nexit 0\n#").into_bytes();
        assert!(image.len() < 0x202, "the script is too long");
        image.resize(0x202, b' ');
        image.extend_from_slice(b"HdrS");
        image.resize(0x400, b' ');
        self.write("kernel", image)
    }

    /// A static program by its ELF header: x86-64, no program headers.
    pub fn agent(&self) -> PathBuf {
        let mut elf = [0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        self.write("agent", elf)
    }

    /// `lookback`, or a program that runs it, with nothing of the user's own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LOOKBACK_") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("LINUX_SRC")
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_RUNTIME_DIR", self.path("sockets"))
            .env("LOOKBACK_OUTPUT", self.path("output"))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }

    pub fn lookback(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_lookback"))
    }

    /// `lookback run` of a guest whose machine is the script.
    pub fn run(&self, script: &str) -> Command {
        let mut command = self.lookback();
        command
            .args(["run", "lookup.file", "--engine", "qemu", "--qemu"])
            .arg(FAKE_QEMU)
            .arg("--kernel")
            .arg(self.kernel(script))
            .arg("--agent")
            .arg(self.agent());
        command
    }

    pub fn start(&self, mut command: Command) -> Running {
        let (leash, held) = pipe().unwrap();
        let held_number = held.as_raw_fd();
        let output = |name| File::create(self.path(name)).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"));
        // SAFETY: between fork and exec only fcntl(2) is called, on a
        // descriptor that is open until `spawn` has returned.
        unsafe {
            command.pre_exec(move || {
                if libc::fcntl(held_number, libc::F_SETFD, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(held);
        Running {
            child,
            leash,
            stdout: self.path("stdout"),
            stderr: self.path("stderr"),
        }
    }

    /// What the command ends with, itself and all it started.
    pub fn end(&self, command: Command) -> Ended {
        self.start(command).end()
    }

    /// The directories under `output/runs`.
    pub fn runs(&self) -> Vec<PathBuf> {
        entries(&self.path("output/runs"))
    }

    /// Fails if a run, a link to one, or a socket is left.
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.runs(), Vec::<PathBuf>::new(), "runs");
        assert!(!self.path("output/latest").is_symlink(), "latest");
        assert_eq!(
            entries(&self.path("sockets")),
            Vec::<PathBuf>::new(),
            "sockets"
        );
    }

    /// A FIFO for a script to say that it has come so far.
    pub fn milestone(&self, name: &str) -> Milestone {
        let path = self.path(name);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        // Read and write, so that neither side waits for the other to open it.
        Milestone(File::options().read(true).write(true).open(path).unwrap())
    }
}

/// What is in a directory; nothing if it is not there.
pub fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    found.sort();
    found
}

pub struct Milestone(File);

impl Milestone {
    /// Waits for the line that a script writes.
    pub fn reached(&mut self) -> String {
        assert!(readable(&self.0), "the script never came there");
        let mut line = [0; 64];
        let length = self.0.read(&mut line).unwrap();
        String::from_utf8_lossy(&line[..length]).trim().to_owned()
    }
}

fn readable(file: impl AsFd) -> bool {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(LIMIT)).unwrap() == 1
}

/// A running `lookback`.
pub struct Running {
    child: Child,
    /// Its other end is inherited by every process of the run, so that it
    /// closes with the last of them.
    leash: PipeReader,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it and all it started are gone.
    pub fn end(mut self) -> Ended {
        let all_gone = readable(&self.leash);
        let lookback_gone = !self.is_alive();
        if !all_gone {
            self.child.kill().unwrap();
        }
        let ended = Ended {
            status: self.child.wait().unwrap(),
            stdout: fs::read_to_string(&self.stdout).unwrap(),
            stderr: fs::read_to_string(&self.stderr).unwrap(),
        };
        assert!(
            all_gone,
            "a process is left (lookback itself: {}): {ended:?}",
            !lookback_gone
        );
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `end` there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a `lookback` ended.
#[derive(Debug)]
pub struct Ended {
    status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The status as a shell gives it.
    pub fn code(&self) -> i32 {
        let signal = || self.status.signal().map(|signal| 128 + signal);
        self.status.code().or_else(signal).unwrap()
    }

    /// Fails unless it ended with `code` and one line that has all of `words`.
    pub fn assert_one_line(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code(), code, "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("lookback: "), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {self:?}");
        }
    }
}
