//! What the kernel has logged.

use std::io;

use nix::errno::Errno;

/// `SYSLOG_ACTION_READ_ALL` and `SYSLOG_ACTION_SIZE_BUFFER`, syslog(2).
const READ_ALL: libc::c_int = 3;
const SIZE_BUFFER: libc::c_int = 10;

/// The kernel's log so far, as dmesg(1) shows it, times and all.
///
/// # Errors
/// Those of syslog(2).
pub fn read() -> io::Result<String> {
    // SAFETY: SYSLOG_ACTION_SIZE_BUFFER reads no buffer.
    let size = unsafe { libc::klogctl(SIZE_BUFFER, std::ptr::null_mut(), 0) };
    let size = Errno::result(size)?;
    let mut text = vec![0_u8; usize::try_from(size).unwrap_or(0)];
    // SAFETY: the buffer has `size` bytes.
    let length = unsafe { libc::klogctl(READ_ALL, text.as_mut_ptr().cast(), size) };
    let length = Errno::result(length)?;
    text.truncate(usize::try_from(length).unwrap_or(0));
    Ok(String::from_utf8_lossy(&text).into_owned())
}
