//! Operations on names and attributes.

use std::ffi::CStr;
use std::os::fd::IntoRawFd;

use lookback_ops::{NodeKind, Op, RenameFlags, Value};
use nix::errno::Errno;
use nix::fcntl::{self, AT_FDCWD, AtFlags, OFlag, open, readlink, renameat2};
use nix::sys::stat::{self, FchmodatFlags, Mode, SFlag, UtimensatFlags, makedev};
use nix::sys::time::TimeSpec;
use nix::unistd::{self, Gid, Uid, UnlinkatFlags};

use super::{At, Done, Failed, World, nothing, view};

/// Every bit asked for: the kernel decides what it makes of them.
fn mode(bits: u32) -> Mode {
    Mode::from_bits_retain(bits)
}

impl World {
    /// Operations that make, move or remove names.
    pub(super) fn name(&self, op: &Op) -> Option<Done> {
        Some(match op {
            Op::Creat { path, mode: bits } => self.path(path).and_then(|p| creat(&p, *bits)),
            Op::Mkdir { path, mode: bits } => self
                .path(path)
                .and_then(|p| unistd::mkdir(p.as_c_str(), mode(*bits)).at(""))
                .map(nothing),
            Op::Mknod {
                path,
                kind,
                mode: bits,
            } => self.path(path).and_then(|p| mknod(&p, *kind, *bits)),
            Op::Symlink { target, path } => self
                .path(path)
                .and_then(|p| unistd::symlinkat(target.as_str(), AT_FDCWD, p.as_c_str()).at(""))
                .map(nothing),
            Op::Link { old, new } => self.pair(old, new).and_then(|(old, new)| {
                let done = unistd::linkat(
                    AT_FDCWD,
                    old.as_c_str(),
                    AT_FDCWD,
                    new.as_c_str(),
                    AtFlags::empty(),
                );
                done.at("").map(nothing)
            }),
            Op::Unlink { path } => self.remove(path, UnlinkatFlags::NoRemoveDir),
            Op::Rmdir { path } => self.remove(path, UnlinkatFlags::RemoveDir),
            Op::Rename { old, new, flags } => self.pair(old, new).and_then(|(old, new)| {
                let flags = rename_flags(*flags);
                renameat2(AT_FDCWD, old.as_c_str(), AT_FDCWD, new.as_c_str(), flags)
                    .at("")
                    .map(nothing)
            }),
            Op::Readlink { path } => self.path(path).and_then(|p| {
                let target = readlink(p.as_c_str()).at("")?;
                let len = i64::try_from(target.len()).unwrap_or(i64::MAX);
                Ok((len, Value::Link(target.to_string_lossy().into_owned())))
            }),
            Op::Readdir { path } => self.readdir(path),
            _ => return None,
        })
    }

    /// Operations that read or change attributes.
    pub(super) fn attribute(&self, op: &Op) -> Option<Done> {
        Some(match op {
            Op::Stat { path } => self.path(path).and_then(|p| {
                let stat = stat::stat(p.as_c_str()).at("")?;
                Ok((0, Value::Stat(view(&stat))))
            }),
            Op::Lstat { path } => self.path(path).and_then(|p| {
                let stat = stat::lstat(p.as_c_str()).at("")?;
                Ok((0, Value::Stat(view(&stat))))
            }),
            Op::Chmod { path, mode: bits } => self.path(path).and_then(|p| {
                let follow = FchmodatFlags::FollowSymlink;
                stat::fchmodat(AT_FDCWD, p.as_c_str(), mode(*bits), follow)
                    .at("")
                    .map(nothing)
            }),
            Op::Chown { path, uid, gid } => self.path(path).and_then(|p| {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                unistd::fchownat(
                    AT_FDCWD,
                    p.as_c_str(),
                    uid,
                    gid,
                    AtFlags::AT_SYMLINK_NOFOLLOW,
                )
                .at("")
                .map(nothing)
            }),
            Op::Utimens { path, atime, mtime } => self.path(path).and_then(|p| {
                let time = |(sec, nsec): &(i64, u32)| TimeSpec::new(*sec, i64::from(*nsec));
                let (atime, mtime) = (time(atime), time(mtime));
                let flags = UtimensatFlags::NoFollowSymlink;
                stat::utimensat(AT_FDCWD, p.as_c_str(), &atime, &mtime, flags)
                    .at("")
                    .map(nothing)
            }),
            Op::Truncate { path, size } => self
                .path(path)
                .and_then(|p| unistd::truncate(p.as_c_str(), size.cast_signed()).at(""))
                .map(nothing),
            Op::Access { path, mask } => self.path(path).and_then(|p| access(&p, *mask)),
            _ => return None,
        })
    }

    fn pair(
        &self,
        old: &lookback_ops::Path,
        new: &lookback_ops::Path,
    ) -> Result<(std::ffi::CString, std::ffi::CString), Failed> {
        Ok((self.path(old)?, self.path(new)?))
    }

    fn remove(&self, path: &lookback_ops::Path, flag: UnlinkatFlags) -> Done {
        let path = self.path(path)?;
        unistd::unlinkat(AT_FDCWD, path.as_c_str(), flag)
            .at("")
            .map(nothing)
    }
}

fn creat(path: &CStr, bits: u32) -> Done {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY;
    let fd = open(path, flags, mode(bits)).at("open")?;
    unistd::close(fd.into_raw_fd()).at("close").map(nothing)
}

fn mknod(path: &CStr, kind: NodeKind, bits: u32) -> Done {
    let (kind, device) = match kind {
        NodeKind::Fifo => (SFlag::S_IFIFO, 0),
        NodeKind::Socket => (SFlag::S_IFSOCK, 0),
        NodeKind::Char(major, minor) => (SFlag::S_IFCHR, makedev(major.into(), minor.into())),
        NodeKind::Block(major, minor) => (SFlag::S_IFBLK, makedev(major.into(), minor.into())),
    };
    stat::mknod(path, kind, mode(bits), device)
        .at("")
        .map(nothing)
}

fn rename_flags(flags: RenameFlags) -> fcntl::RenameFlags {
    let mut bits = fcntl::RenameFlags::empty();
    bits.set(fcntl::RenameFlags::RENAME_NOREPLACE, flags.noreplace);
    bits.set(fcntl::RenameFlags::RENAME_EXCHANGE, flags.exchange);
    bits.set(fcntl::RenameFlags::RENAME_WHITEOUT, flags.whiteout);
    bits
}

/// faccessat2(2) itself: the C library's faccessat(3) refuses some masks on its own.
fn access(path: &CStr, mask: u32) -> Done {
    // SAFETY: `path` is a C string that outlives the call.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            mask,
            libc::AT_EACCESS,
        )
    };
    Errno::result(ret).at("").map(|_| (0, Value::None))
}
