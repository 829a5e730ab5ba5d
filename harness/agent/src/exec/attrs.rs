//! Operations on what chattr(1), statfs(2) and ioctl(2) tell.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use lookback_ops::tree::Extent;
use lookback_ops::{FileOp, Ioctl, Value, attrs};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statfs::statfs;

use super::{At, Done, Failed, World, nothing};

/// Bytes of a page, more than any ioctl asked here takes.
const PAGE: usize = 4096;
/// FIEMAP_FLAG_SYNC (linux/fiemap.h)
const FIEMAP_SYNC: u32 = 1;
/// FIEMAP_EXTENT_LAST
const EXTENT_LAST: u32 = 1;
/// FIEMAP_EXTENT_UNWRITTEN
const EXTENT_UNWRITTEN: u32 = 0x800;
/// Extents asked for at a time.
const EXTENTS: usize = 64;
/// FSLABEL_MAX (linux/fs.h)
const LABEL: usize = 256;

/// struct fsxattr (linux/fs.h)
#[repr(C)]
#[derive(Debug, Default)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    projid: u32,
    cowextsize: u32,
    pad: [u8; 8],
}

/// struct fstrim_range (linux/fs.h)
#[repr(C)]
#[derive(Debug)]
struct TrimRange {
    start: u64,
    len: u64,
    minlen: u64,
}

/// struct fiemap_extent (linux/fiemap.h)
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// struct fiemap (linux/fiemap.h) without its extents.
#[repr(C)]
#[derive(Debug, Default)]
struct FiemapHead {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
}

/// One call's worth.
#[repr(C)]
#[derive(Debug)]
struct Fiemap {
    head: FiemapHead,
    extents: [Piece; EXTENTS],
}

mod call {
    use super::{FiemapHead, FsXattr, LABEL, TrimRange};

    nix::ioctl_read!(get_flags, b'f', 1, libc::c_long);
    nix::ioctl_write_ptr!(set_flags, b'f', 2, libc::c_long);
    nix::ioctl_read!(get_version, b'v', 1, libc::c_long);
    nix::ioctl_read!(get_xattr, b'X', 31, FsXattr);
    nix::ioctl_read!(get_label, 0x94, 49, [u8; LABEL]);
    nix::ioctl_readwrite!(fiemap, b'f', 11, FiemapHead);
    nix::ioctl_readwrite!(fitrim, b'X', 121, TrimRange);
    nix::ioctl_read_bad!(block_size, nix::request_code_none!(0x00, 2), libc::c_int);
    // In nobody's range (Documentation/userspace-api/ioctl/ioctl-number.rst).
    nix::ioctl_none!(unknown, 0xef, 0xfe);
}

impl World {
    pub(super) fn attrs(&self, op: &FileOp) -> Option<Done> {
        let read_only = OFlag::O_RDONLY;
        Some(match op {
            FileOp::Chattr { path, flags } => {
                self.with_open(path, read_only, |fd| set_flags(fd, *flags))
            }
            FileOp::Lsattr { path } => self.with_open(path, read_only, |fd| {
                let letters = attrs::letters(inode_flags(fd).at("getflags")?);
                Ok((0, Value::Text(letters)))
            }),
            FileOp::Ioctl { path, what } => self.with_open(path, read_only, |fd| ioctl(fd, *what)),
            FileOp::Statfs { path } => self.path(path).and_then(|path| {
                let told = statfs(path.as_c_str()).at("")?;
                let text = format!(
                    "bsize={} frsize={} namelen={}",
                    told.block_size(),
                    // nix has no accessor for f_frsize.
                    fragment_size(&path)?,
                    told.maximum_name_length()
                );
                Ok((0, Value::Text(text)))
            }),
            _ => return None,
        })
    }
}

fn fragment_size(path: &std::ffi::CStr) -> Result<u64, Failed> {
    nix::sys::statvfs::statvfs(path)
        .at("statvfs")
        .map(|told| told.fragment_size())
}

/// FS_IOC_GETFLAGS. The kernel moves an int, whatever the number says.
///
/// # Errors
/// Those of the ioctl.
pub fn inode_flags(fd: impl AsFd) -> nix::Result<u32> {
    let mut told: libc::c_long = 0;
    // SAFETY: the kernel writes no more than a long to `told`.
    unsafe { call::get_flags(fd.as_fd().as_raw_fd(), &raw mut told) }?;
    Ok(u32::try_from(told & 0xffff_ffff).unwrap_or(0))
}

/// Take away the attributes that keep a file from being removed.
///
/// # Errors
/// Those of FS_IOC_GETFLAGS and FS_IOC_SETFLAGS.
pub fn make_removable(file: &File) -> nix::Result<()> {
    let mut told: libc::c_long = 0;
    // SAFETY: the kernel writes no more than a long to `told`.
    unsafe { call::get_flags(file.as_raw_fd(), &raw mut told) }?;
    let kept = told & !attrs::bits("ia").map_or(0, libc::c_long::from);
    // SAFETY: the kernel reads no more than a long from `kept`.
    unsafe { call::set_flags(file.as_raw_fd(), &raw const kept) }.map(drop)
}

fn set_flags(fd: &OwnedFd, wanted: u32) -> Done {
    let kept = inode_flags(fd).at("getflags")? & !attrs::settable();
    let all = libc::c_long::from(kept | wanted);
    // SAFETY: the kernel reads no more than a long from `all`.
    unsafe { call::set_flags(fd.as_raw_fd(), &raw const all) }
        .at("setflags")
        .map(|_| nothing(()))
}

fn ioctl(file: &OwnedFd, what: Ioctl) -> Done {
    let fd = file.as_raw_fd();
    match what {
        Ioctl::GetVersion => {
            let mut version = 0;
            // SAFETY: the kernel writes no more than a long to `version`.
            unsafe { call::get_version(fd, &raw mut version) }
                .at("ioctl")
                .map(|ret| (ret.into(), Value::None))
        }
        Ioctl::FsGetXattr => {
            let mut told = FsXattr::default();
            // SAFETY: `told` has the layout the number names.
            unsafe { call::get_xattr(fd, &raw mut told) }.at("ioctl")?;
            let text = format!(
                "xflags={:#x} extsize={} projid={} cowextsize={}",
                told.xflags, told.extsize, told.projid, told.cowextsize
            );
            Ok((0, Value::Text(text)))
        }
        Ioctl::GetFsLabel => {
            let mut label = [0; LABEL];
            // SAFETY: `label` has the length the number names.
            unsafe { call::get_label(fd, &raw mut label) }.at("ioctl")?;
            let text = label.split(|byte| *byte == 0).next().unwrap_or_default();
            Ok((0, Value::Text(String::from_utf8_lossy(text).into_owned())))
        }
        Ioctl::GetBlockSize => {
            let mut size = 0;
            // SAFETY: the kernel writes an int to `size`.
            unsafe { call::block_size(fd, &raw mut size) }.at("ioctl")?;
            Ok((size.into(), Value::None))
        }
        Ioctl::Fiemap => {
            let (found, _) = extents(file).at("ioctl")?;
            let shown: Vec<_> = found.iter().map(Extent::to_string).collect();
            Ok((0, Value::Text(shown.join(" "))))
        }
        Ioctl::Fitrim => {
            let mut range = TrimRange {
                start: 0,
                len: u64::MAX,
                minlen: 0,
            };
            // SAFETY: `range` has the layout the number names.
            unsafe { call::fitrim(fd, &raw mut range) }
                .at("ioctl")
                .map(|ret| (ret.into(), Value::None))
        }
        Ioctl::Unknown => {
            // SAFETY: no kernel knows the number, and it says it takes no argument.
            unsafe { call::unknown(fd) }
                .at("ioctl")
                .map(|ret| (ret.into(), Value::None))
        }
        Ioctl::Number(number) => {
            let mut page = [0_u8; PAGE];
            // SAFETY: the size in an ioctl's number has 14 bits, of which the
            // file systems under test use less than a page.
            let ret = unsafe { libc::ioctl(fd, number.into(), page.as_mut_ptr()) };
            Errno::result(ret)
                .at("ioctl")
                .map(|ret| (ret.into(), Value::None))
        }
    }
}

/// Where the file has blocks, all of it written back first, and in how many
/// pieces those lie on disk.
///
/// # Errors
/// Those of the ioctl.
pub fn extents(fd: impl AsFd) -> nix::Result<(Vec<Extent>, u32)> {
    let mut found: Vec<Extent> = Vec::new();
    let mut pieces = 0;
    let mut start = 0;
    loop {
        let mut map = Fiemap {
            head: FiemapHead {
                start,
                length: u64::MAX - start,
                flags: FIEMAP_SYNC,
                count: u32::try_from(EXTENTS).unwrap_or(0),
                ..FiemapHead::default()
            },
            extents: [Piece::default(); EXTENTS],
        };
        // SAFETY: `count` extents follow the head, as it says.
        unsafe { call::fiemap(fd.as_fd().as_raw_fd(), (&raw mut map).cast()) }?;
        pieces += map.head.mapped;
        let mapped = usize::try_from(map.head.mapped).unwrap_or(0).min(EXTENTS);
        for piece in &map.extents[..mapped] {
            let next = Extent {
                offset: piece.logical,
                length: piece.length,
                unwritten: piece.flags & EXTENT_UNWRITTEN != 0,
            };
            start = piece.logical.saturating_add(piece.length);
            match found.last_mut() {
                Some(last)
                    if last.offset + last.length == next.offset
                        && last.unwritten == next.unwritten =>
                {
                    last.length += next.length;
                }
                _ => found.push(next),
            }
        }
        let last = map.extents[..mapped].last();
        if last.is_none_or(|piece| piece.flags & EXTENT_LAST != 0) {
            return Ok((found, pieces));
        }
    }
}
