//! Operations on extended attributes.

use std::ffi::{CStr, CString};

use lookback_ops::{FileOp, Value, XattrFlag};
use nix::errno::Errno;
use xxhash_rust::xxh3::xxh3_64;

use super::{At, Done, Failed, World, nothing};

impl World {
    pub(super) fn xattr(&self, op: &FileOp) -> Option<Done> {
        Some(match op {
            FileOp::SetXattr {
                path,
                name,
                value,
                flag,
            } => self
                .path(path)
                .and_then(|path| set(&path, &attribute(name)?, value, *flag)),
            FileOp::GetXattr { path, name } => self.path(path).and_then(|path| {
                let name = attribute(name)?;
                // SAFETY: both are C strings, and `room` bytes may be written at `to`.
                let value = filled(|to, room| unsafe {
                    libc::lgetxattr(path.as_ptr(), name.as_ptr(), to, room)
                })?;
                let len = value.len() as u64;
                let digest = xxh3_64(&value);
                Ok((len.cast_signed(), Value::Data { len, digest }))
            }),
            FileOp::ListXattr { path } => self.path(path).and_then(|path| {
                // SAFETY: `path` is a C string, and `room` bytes may be written at `to`.
                let listed =
                    filled(|to, room| unsafe { libc::llistxattr(path.as_ptr(), to.cast(), room) })?;
                let mut names: Vec<_> = listed
                    .split(|byte| *byte == 0)
                    .filter(|name| !name.is_empty())
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect();
                names.sort();
                let len = i64::try_from(listed.len()).unwrap_or(i64::MAX);
                Ok((len, Value::Names(names)))
            }),
            FileOp::RemoveXattr { path, name } => self.path(path).and_then(|path| {
                let name = attribute(name)?;
                // SAFETY: both are C strings that outlive the call.
                let ret = unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) };
                Errno::result(ret).at("").map(|_| nothing(()))
            }),
            _ => return None,
        })
    }
}

/// The name as the kernel takes it.
fn attribute(name: &str) -> Result<CString, Failed> {
    CString::new(name).map_err(|_| Failed {
        step: "name",
        errno: Errno::EINVAL,
    })
}

fn set(path: &CStr, name: &CStr, value: &[u8], flag: XattrFlag) -> Done {
    let flag = match flag {
        XattrFlag::Any => 0,
        XattrFlag::Create => libc::XATTR_CREATE,
        XattrFlag::Replace => libc::XATTR_REPLACE,
    };
    // SAFETY: two C strings and `value` with its own length outlive the call.
    let ret = unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            flag,
        )
    };
    Errno::result(ret).at("").map(|_| nothing(()))
}

/// Ask for the length, then for the bytes. The file system answers the two
/// ways apart, so both are steps: what has another length the second time
/// shows as a return value.
fn filled(ask: impl Fn(*mut libc::c_void, usize) -> isize) -> Result<Vec<u8>, Failed> {
    let told = Errno::result(ask(std::ptr::null_mut(), 0)).at("length")?;
    let told = usize::try_from(told).unwrap_or(0);
    if told == 0 {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; told];
    let got = Errno::result(ask(bytes.as_mut_ptr().cast(), told)).at("")?;
    bytes.truncate(usize::try_from(got).unwrap_or(0));
    Ok(bytes)
}
