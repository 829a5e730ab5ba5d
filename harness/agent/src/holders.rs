//! Who keeps a file system busy.

use std::fs;
use std::path::{Path, PathBuf};

/// Processes with something open, or standing, at or below `mount_point`, one
/// phrase each; empty where it is no process.
pub fn holders(mount_point: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let dir = process.path();
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let name = fs::read_to_string(dir.join("comm")).unwrap_or_default();
        let mut held = |what: &str, link: &Path| {
            if let Ok(to) = fs::read_link(link)
                && to.starts_with(mount_point)
            {
                found.push(format!(
                    "pid {pid} ({}) {what} {}",
                    name.trim(),
                    to.display()
                ));
            }
        };
        held("is in", &dir.join("cwd"));
        held("has its root at", &dir.join("root"));
        for fd in fs::read_dir(dir.join("fd")).into_iter().flatten().flatten() {
            held("has open", &fd.path());
        }
        for map in fs::read_dir(dir.join("map_files"))
            .into_iter()
            .flatten()
            .flatten()
        {
            held("has mapped", &map.path());
        }
    }
    found
}

/// Mount points at or below `root`, in the order of mounting, from the text of
/// /proc/self/mountinfo (proc_pid_mountinfo(5)).
pub fn mounts_below(mountinfo: &str, root: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .map(|point| PathBuf::from(unescape(point)))
        .filter(|point| point.starts_with(root))
        .collect()
}

/// Resolve the kernel's `\040`-style escapes.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_below_a_point_only() {
        let info = "22 1 0:21 / / rw - rootfs rootfs rw\n\
                    30 22 0:30 / /mnt/a rw - tmpfs t rw\n\
                    31 30 0:31 / /mnt/a/b\\040c rw - tmpfs t rw\n\
                    32 22 0:32 / /mnt/ab rw - tmpfs t rw\n";
        let found = mounts_below(info, Path::new("/mnt/a"));
        assert_eq!(
            found,
            [PathBuf::from("/mnt/a"), PathBuf::from("/mnt/a/b c")]
        );
    }

    #[test]
    fn an_open_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let _file = fs::File::create(dir.path().join("f")).unwrap();
        let found = holders(&dir.path().canonicalize().unwrap());
        let own = format!("pid {} ", std::process::id());
        assert!(
            found
                .iter()
                .any(|h| h.starts_with(&own) && h.contains("has open")),
            "{found:?}"
        );
    }
}
