//! Finding a kernel: by name in the cache, or by the path of an image.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::layout::Layout;
use crate::product::{self, Built};
use crate::pvh;
use crate::spec::{Profile, is_name};

/// Why a kernel was not found.
#[derive(Debug, Error)]
pub enum FindError {
    /// The path leads to no file that can be read.
    #[error("cannot read the kernel {}: {error}", path.display())]
    Read {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is something else.
    #[error("{} is neither a vmlinux (x86-64 ELF) nor a bzImage", .0.display())]
    NotAKernel(PathBuf),
    /// The ELF image has no entry for a loader that is no boot loader.
    #[error(
        "{} is a vmlinux without a PVH entry, which no engine boots: build it with CONFIG_PVH, or \
         give its bzImage",
        .0.display()
    )]
    NoPvh(PathBuf),
    /// No kernel of this name and profile.
    #[error(
        "no kernel `{name}` with profile {profile} is built{}; build it with \
         `lookback kernel build --name {name} --profile {profile}`, or give the path of an image",
        known(built)
    )]
    NotBuilt {
        /// The name as given.
        name: String,
        /// The profile asked for.
        profile: Profile,
        /// What there is.
        built: Vec<String>,
    },
}

fn known(built: &[String]) -> String {
    if built.is_empty() {
        String::new()
    } else {
        format!(" (built: {})", built.join(", "))
    }
}

/// The files of a kernel somebody asked for. At least one of the images is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFiles {
    /// The name, or the path as given.
    pub name: String,
    /// Known of kernels from the cache.
    pub profile: Option<Profile>,
    /// What `uname -r` says in it, where the files tell.
    pub release: Option<String>,
    /// The ELF image.
    pub vmlinux: Option<PathBuf>,
    /// The compressed image.
    pub bzimage: Option<PathBuf>,
    /// The whole configuration.
    pub config: Option<PathBuf>,
}

impl From<Built> for KernelFiles {
    fn from(built: Built) -> Self {
        Self {
            name: built.name,
            profile: Some(built.profile),
            release: Some(built.release),
            vmlinux: Some(built.vmlinux),
            bzimage: built.bzimage,
            config: Some(built.config),
        }
    }
}

/// Every kernel in the cache, by name and profile.
#[must_use]
pub fn list(layout: &Layout) -> Vec<Built> {
    let Ok(entries) = fs::read_dir(layout.built()) else {
        return Vec::new();
    };
    let mut built: Vec<Built> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter_map(|dir| product::stamp(&dir).map(|stamp| product::built(&dir, stamp)))
        .collect();
    built.sort_by(|a, b| (&a.name, a.profile).cmp(&(&b.name, b.profile)));
    built
}

/// The kernel of a name in the cache, else the image at a path. A text with a slash, or one that
/// could not be a name, is a path; so `./patched` is a file and `patched` a kernel.
///
/// # Errors
/// Where there is no such kernel, or the file is none.
pub fn find(layout: &Layout, wanted: &str, profile: Profile) -> Result<KernelFiles, FindError> {
    if !is_name(wanted) {
        return image(Path::new(wanted));
    }
    let dir = product::directory(layout, wanted, profile);
    if let Some(stamp) = product::stamp(&dir) {
        return Ok(product::built(&dir, stamp).into());
    }
    if Path::new(wanted).is_file() {
        return image(Path::new(wanted));
    }
    let built = list(layout)
        .into_iter()
        .map(|built| format!("{} ({})", built.name, built.profile));
    Err(FindError::NotBuilt {
        name: wanted.to_owned(),
        profile,
        built: built.collect(),
    })
}

/// What kind of image a file is, by its content.
fn image(path: &Path) -> Result<KernelFiles, FindError> {
    let read = |error| FindError::Read {
        path: path.to_owned(),
        error,
    };
    let absolute = path.canonicalize().map_err(read)?;
    let file = File::open(&absolute).map_err(read)?;
    let mut head = Vec::new();
    (&file).take(0x264).read_to_end(&mut head).map_err(read)?;
    let mut files = KernelFiles {
        name: path.display().to_string(),
        profile: None,
        release: None,
        vmlinux: None,
        bzimage: None,
        config: None,
    };
    // Documentation/arch/x86/boot.rst: the magic at 0x202, the version string's offset, less
    // 0x200, at 0x20e. ELF: 64-bit, e_machine 62 at 18.
    if head.get(0x202..0x206) == Some(b"HdrS") {
        if let Some(&[low, high]) = head.get(0x20e..0x210) {
            let offset = u64::from(u16::from_le_bytes([low, high])) + 0x200;
            files.release = release_at(&file, offset);
        }
        files.bzimage = Some(absolute);
    } else if head.starts_with(b"\x7fELF\x02") && head.get(18..20) == Some(&[62, 0]) {
        if !pvh::has_entry(&file).map_err(read)? {
            return Err(FindError::NoPvh(path.to_owned()));
        }
        files.vmlinux = Some(absolute);
    } else {
        return Err(FindError::NotAKernel(path.to_owned()));
    }
    Ok(files)
}

/// The first word of the version string in a bzImage's setup part.
fn release_at(file: &File, offset: u64) -> Option<String> {
    let mut text = [0; 128];
    let length = file.read_at(&mut text, offset).ok()?;
    let word = text[..length]
        .split(|byte| *byte == b' ' || *byte == 0)
        .next()?;
    (!word.is_empty()).then(|| String::from_utf8_lossy(word).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dir: &Path) -> Layout {
        Layout {
            cache: dir.to_owned(),
            guest_kernel: dir.to_owned(),
        }
    }

    fn find_file(content: &[u8]) -> Result<KernelFiles, FindError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        fs::write(&path, content).unwrap();
        find(&layout(dir.path()), path.to_str().unwrap(), Profile::Fast)
    }

    #[test]
    fn a_bzimage_tells_its_release() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x310].copy_from_slice(b"6.12.1-x (me@pc)");
        let files = find_file(&image).unwrap();
        assert_eq!(files.release.as_deref(), Some("6.12.1-x"));
        assert!(files.bzimage.is_some() && files.vmlinux.is_none());
    }

    #[test]
    fn an_elf_is_a_vmlinux_and_a_text_is_nothing() {
        let mut elf = b"\x7fELF\x02".to_vec();
        elf.resize(64, 0);
        assert!(matches!(find_file(&elf), Err(FindError::NotAKernel(_))));
        elf[18] = 62;
        assert!(matches!(find_file(&elf), Err(FindError::NoPvh(_))));
        let elf = pvh::elf(&pvh::note("Xen", 18, &[0; 4]));
        assert!(find_file(&elf).unwrap().vmlinux.is_some());
        assert!(matches!(
            find_file(b"#!/bin/sh"),
            Err(FindError::NotAKernel(_))
        ));
        assert!(matches!(find_file(b""), Err(FindError::NotAKernel(_))));
    }

    #[test]
    fn a_missing_file_and_a_missing_name_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let error = find(&layout, "/none/vmlinux", Profile::Fast)
            .unwrap_err()
            .to_string();
        assert!(error.contains("/none/vmlinux"), "{error}");
        let error = find(&layout, "mutant", Profile::Debug)
            .unwrap_err()
            .to_string();
        assert!(error.contains("`mutant` with profile debug"), "{error}");
    }
}
