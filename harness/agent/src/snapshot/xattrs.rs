//! Extended attributes of what a tree holds.

use std::ffi::CStr;

use lookback_ops::tree::Xattr;
use nix::errno::Errno;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes offered at first. Nearly every answer fits, and the kernel allocates
/// as many as it is offered.
const USUAL: usize = 1 << 10;
/// The longest answer there is: XATTR_LIST_MAX and XATTR_SIZE_MAX (linux/limits.h).
const LONGEST: usize = 64 << 10;

/// The names `path` itself lists, sorted, with length and digest of each value.
///
/// # Errors
/// Those of llistxattr(2). A value that can't be read is noted in its name's place.
pub fn read(path: &CStr, buffer: &mut Vec<u8>) -> Result<Vec<Xattr>, Errno> {
    let len = answer(buffer, |buffer| {
        // SAFETY: `path` is a C string, `buffer` has the length that is passed.
        unsafe { libc::llistxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    })?;
    if len == 0 {
        return Ok(Vec::new());
    }
    let names = buffer[..len].to_vec();
    let mut found: Vec<Xattr> = names
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .map(|name| Xattr {
            name: name.to_string_lossy().into_owned(),
            value: value(path, name, buffer).map_err(|errno| errno as i32),
        })
        .collect();
    found.sort();
    Ok(found)
}

fn value(path: &CStr, name: &CStr, buffer: &mut Vec<u8>) -> Result<(u64, u64), Errno> {
    let len = answer(buffer, |buffer| {
        // SAFETY: both are C strings, `buffer` has the length that is passed.
        unsafe {
            libc::lgetxattr(
                path.as_ptr(),
                name.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        }
    })?;
    Ok((len as u64, xxh3_64(&buffer[..len])))
}

/// Ask with the usual room, and with all there can be if that was too little.
fn answer(buffer: &mut Vec<u8>, ask: impl Fn(&mut [u8]) -> isize) -> Result<usize, Errno> {
    buffer.resize(USUAL, 0);
    let mut got = Errno::result(ask(buffer));
    if got == Err(Errno::ERANGE) {
        buffer.resize(LONGEST, 0);
        got = Errno::result(ask(buffer));
    }
    got.map(|len| usize::try_from(len).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn set(path: &CStr, name: &CStr, value: &[u8]) {
        // SAFETY: two C strings, and `value` with its own length.
        let ret = unsafe {
            libc::lsetxattr(
                path.as_ptr(),
                name.as_ptr(),
                value.as_ptr().cast(),
                value.len(),
                0,
            )
        };
        assert_eq!(Errno::result(ret), Ok(0));
    }

    #[test]
    fn attributes_are_read_whole_and_sorted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = CString::new(file.path().as_os_str().as_bytes()).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(read(&path, &mut buffer), Ok(vec![]));
        let long = vec![7; 2 * USUAL];
        set(&path, c"user.z", &long);
        set(&path, c"user.a", b"");
        let expected = |name: &str, value: &[u8]| Xattr {
            name: name.into(),
            value: Ok((value.len() as u64, xxh3_64(value))),
        };
        let all = vec![expected("user.a", b""), expected("user.z", &long)];
        assert_eq!(read(&path, &mut buffer), Ok(all));
    }

    #[test]
    fn what_is_not_there_says_so() {
        assert_eq!(
            read(c"/nonexistent/file", &mut Vec::new()),
            Err(Errno::ENOENT)
        );
    }
}
