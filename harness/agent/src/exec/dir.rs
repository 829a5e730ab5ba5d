//! Reading a directory to its end.

use std::ffi::CStr;
use std::os::fd::AsFd;

use lookback_ops::outcome::Entry;
use lookback_ops::{Path, Value};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstatat};

use super::{At, Done, World};

/// A name as the kernel listed it.
#[derive(Debug)]
pub struct Listed {
    /// The name.
    pub name: std::ffi::CString,
    /// d_type (DT_*).
    pub d_type: u8,
    /// d_ino
    pub d_ino: u64,
}

/// Open a directory for reading.
///
/// # Errors
/// Those of open(2).
pub fn open_dir(path: &CStr) -> nix::Result<Dir> {
    Dir::open(
        path,
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

/// Every entry but `.` and `..`, sorted by name.
///
/// # Errors
/// Those of getdents64(2).
pub fn list(dir: &mut Dir) -> nix::Result<Vec<Listed>> {
    let mut found = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let d_type = entry.file_type().map_or(libc::DT_UNKNOWN, d_type);
            found.push(Listed {
                name: name.to_owned(),
                d_type,
                d_ino: entry.ino(),
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn d_type(kind: Type) -> u8 {
    match kind {
        Type::Fifo => libc::DT_FIFO,
        Type::CharacterDevice => libc::DT_CHR,
        Type::Directory => libc::DT_DIR,
        Type::BlockDevice => libc::DT_BLK,
        Type::File => libc::DT_REG,
        Type::Symlink => libc::DT_LNK,
        Type::Socket => libc::DT_SOCK,
    }
}

impl World {
    pub(super) fn readdir(&self, path: &Path) -> Done {
        let mut dir = open_dir(&self.path(path)?).at("open")?;
        let listed = list(&mut dir).at("getdents")?;
        let entry = |item: Listed| {
            let stat = fstatat(
                dir.as_fd(),
                item.name.as_c_str(),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            );
            // An allocation that failed says nothing about the entry.
            if stat == Err(Errno::ENOMEM) {
                return Err(Errno::ENOMEM).at("fstatat");
            }
            Ok(Entry {
                name: item.name.to_string_lossy().into_owned(),
                d_type: item.d_type,
                ino_agrees: stat.is_ok_and(|stat| stat.st_ino == item.d_ino),
            })
        };
        let entries = listed.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok((0, Value::Entries(entries)))
    }
}
