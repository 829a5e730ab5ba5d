//! Operations on inodes by something else than their path.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use lookback_ops::{Base, FileOp, Path, Value};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2, readlink};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::Mode;
use nix::unistd::{close, linkat};

use super::{At, Done, Failed, OPEN_FILES, World, nothing};

/// MAX_HANDLE_SZ (linux/exportfs.h)
const HANDLE_BYTES: usize = 128;
/// What the kernel puts behind the path of what has no name any more.
const DELETED: &str = " (deleted)";

/// struct file_handle (open_by_handle_at(2)) with room for any handle.
#[repr(C)]
#[derive(Debug, Clone)]
pub(super) struct FileHandle {
    bytes: u32,
    kind: i32,
    handle: [u8; HANDLE_BYTES],
}

impl World {
    pub(super) fn handle(&mut self, op: &FileOp) -> Option<Done> {
        Some(match op {
            FileOp::LinkFd { slot, path } => self.link_fd(*slot, path),
            FileOp::FdPath { slot } => self.fd_path(*slot),
            FileOp::Handle { slot, path } => self.path(path).and_then(|path| {
                self.handles.insert(*slot, handle_of(&path)?);
                Ok(nothing(()))
            }),
            FileOp::OpenHandle { handle, slot } => self.open_handle(*handle, *slot),
            FileOp::Watch { slot, path } => self.watch(*slot, path),
            FileOp::Cached { path } => self.path(path).and_then(|path| cached(&path)),
            FileOp::Exec { path } => self.path(path).and_then(|path| super::program::run(&path)),
            _ => return None,
        })
    }

    fn link_fd(&self, slot: u16, path: &Path) -> Done {
        let from = format!("{OPEN_FILES}/{}", self.open_at(slot)?.as_raw_fd());
        let to = self.path(path)?;
        let flags = AtFlags::AT_SYMLINK_FOLLOW;
        linkat(AT_FDCWD, from.as_str(), AT_FDCWD, to.as_c_str(), flags)
            .at("")
            .map(nothing)
    }

    fn fd_path(&self, slot: u16) -> Done {
        let link = format!("{OPEN_FILES}/{}", self.open_at(slot)?.as_raw_fd());
        let found = readlink(link.as_str()).at("")?;
        let found = found.to_string_lossy();
        let shown = self.bases.relative(&found).unwrap_or(&found);
        Ok((0, Value::Link(without_number(shown))))
    }

    fn open_handle(&mut self, handle: u16, slot: u16) -> Done {
        let mut handle = self.handles.get(&handle).cloned().ok_or(Failed {
            step: "handle",
            errno: Errno::EBADF,
        })?;
        let base = self.path(&Path {
            base: Base::Arm,
            rel: String::new(),
        })?;
        // Not O_PATH: the kernel takes no such descriptor for the mount.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mount = open(base.as_c_str(), flags, Mode::empty()).at("open")?;
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: the kernel reads as much of `handle` as it says it holds.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                mount.as_raw_fd(),
                &raw mut handle,
                flags,
            )
        };
        let fd = i32::try_from(Errno::result(ret).at("")?).unwrap_or(-1);
        // SAFETY: the kernel has just made it, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        self.keep(slot, fd)
    }

    fn watch(&mut self, slot: u16, path: &Path) -> Done {
        let path = self.path(path)?;
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let watch = Inotify::init(flags).at("inotify_init")?;
        let events = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_DONT_FOLLOW;
        watch.add_watch(path.as_c_str(), events).at("")?;
        self.keep(slot, watch.into())
    }

    /// Put `fd` into a slot, after what was there is closed.
    fn keep(&mut self, slot: u16, fd: OwnedFd) -> Done {
        if let Some(old) = self.slots.insert(slot, fd) {
            close(old.into_raw_fd()).at("close")?;
        }
        Ok(nothing(()))
    }
}

fn handle_of(path: &CString) -> Result<FileHandle, Failed> {
    let mut handle = FileHandle {
        bytes: u32::try_from(HANDLE_BYTES).unwrap_or(0),
        kind: 0,
        handle: [0; HANDLE_BYTES],
    };
    let mut mount_id: libc::c_int = 0;
    // SAFETY: the kernel writes at most `bytes` bytes of handle, and an int.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount_id,
            0,
        )
    };
    Errno::result(ret).at("")?;
    Ok(handle)
}

fn cached(path: &CStr) -> Done {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::from_bits_retain(libc::RESOLVE_CACHED));
    let fd = openat2(AT_FDCWD, path, how).at("")?;
    close(fd.into_raw_fd()).at("close").map(nothing)
}

/// A file made without a name is called `#` and its inode number, which is the
/// file system's affair.
fn without_number(path: &str) -> String {
    let named = path.strip_suffix(DELETED).and_then(|path| {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let number = name.strip_prefix('#')?;
        let numeric = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        numeric.then_some(parent)
    });
    match named {
        None => path.to_owned(),
        Some("") => format!("#{DELETED}"),
        Some(parent) => format!("{parent}/#{DELETED}"),
    }
}
