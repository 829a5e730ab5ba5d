//! Two ext4 images that differ in nothing a program could see.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::tool::{self, ToolError};

/// Why there are no images.
#[derive(Debug, Error)]
pub enum Ext4Error {
    /// The recipe cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The recipe.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The recipe is no recipe.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The recipe.
        path: PathBuf,
        /// Where and what.
        error: Box<toml::de::Error>,
    },
    /// A value of the recipe makes no sense.
    #[error("the ext4 recipe's `{field}` is wrong: {message}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it should be.
        message: String,
    },
    /// mkfs.ext4 is missing or does not start.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The image file cannot be made.
    #[error("cannot write the image {}: {error}", path.display())]
    Write {
        /// The image.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// mkfs.ext4 refused.
    #[error("mkfs.ext4 cannot make {}: {text}", path.display())]
    Mkfs {
        /// The image.
        path: PathBuf,
        /// What it said, on one line.
        text: String,
    },
}

/// What both images have in common: the recipe in `images/ext4.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ext4Spec {
    /// Size of the file system in MiB. The file is sparse.
    pub size_mib: u64,
    /// Block size in bytes: 1024, 2048 or 4096.
    pub block_size: u32,
    /// Inode size in bytes.
    pub inode_size: u32,
    /// Number of inodes.
    pub inodes: u32,
    /// Size of the journal in MiB.
    pub journal_mib: u32,
    /// Blocks only root may use, in percent.
    pub reserved_percent: u8,
    /// All features, by mke2fs's names.
    pub features: Vec<String>,
    /// The UUID, from which checksums are seeded.
    pub uuid: String,
    /// The seed of the directory hash, as a UUID.
    pub hash_seed: String,
}

impl Ext4Spec {
    /// Reads a recipe.
    ///
    /// # Errors
    /// Where the file cannot be read, is no TOML, or has an impossible value.
    pub fn read(path: &Path) -> Result<Self, Ext4Error> {
        let text = fs::read_to_string(path).map_err(|error| Ext4Error::Read {
            path: path.to_owned(),
            error,
        })?;
        let spec: Self = toml::from_str(&text).map_err(|error| Ext4Error::Syntax {
            path: path.to_owned(),
            error: Box::new(error),
        })?;
        spec.check()?;
        Ok(spec)
    }

    /// What mke2fs would take for something else, or complain about in other words.
    fn check(&self) -> Result<(), Ext4Error> {
        let wrong = |field, message: &str| {
            Err(Ext4Error::Value {
                field,
                message: message.to_owned(),
            })
        };
        if !(8..=1 << 24).contains(&self.size_mib) {
            return wrong("size_mib", "8 to 16777216 MiB");
        }
        // Block sizes above the page size need a guest kernel newer than the oldest we support.
        if ![1024, 2048, 4096].contains(&self.block_size) {
            return wrong("block_size", "1024, 2048 or 4096 bytes");
        }
        let plain = |name: &String| {
            !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
        };
        if self.features.is_empty() || !self.features.iter().all(plain) {
            return wrong(
                "features",
                "names of features such as `extent`, none with a `^`",
            );
        }
        for (field, value) in [("uuid", &self.uuid), ("hash_seed", &self.hash_seed)] {
            if !is_uuid(value) {
                return wrong(field, "a UUID such as 00112233-4455-6677-8899-aabbccddeeff");
            }
        }
        Ok(())
    }
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|c| c == b'-' || c.is_ascii_hexdigit())
}

/// The images of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4Pair {
    /// What lies below the arm `backed`.
    pub lower: PathBuf,
    /// The arm `ext4`.
    pub ext4: PathBuf,
}

/// Makes `lower.img` and `ext4.img` in `dir`, alike in everything but the label. Images that are
/// there are replaced.
///
/// # Errors
/// Where mkfs.ext4 is missing or refuses, or an image cannot be written.
pub fn ext4_pair(dir: &Path, spec: &Ext4Spec) -> Result<Ext4Pair, Ext4Error> {
    spec.check()?;
    let pair = Ext4Pair {
        lower: dir.join("lower.img"),
        ext4: dir.join("ext4.img"),
    };
    make(&pair.lower, "lower", spec)?;
    make(&pair.ext4, "ext4", spec)?;
    Ok(pair)
}

fn make(path: &Path, label: &str, spec: &Ext4Spec) -> Result<(), Ext4Error> {
    let write = |error| Ext4Error::Write {
        path: path.to_owned(),
        error,
    };
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let file = tempfile::NamedTempFile::new_in(dir).map_err(write)?;
    file.as_file().set_len(spec.size_mib << 20).map_err(write)?;
    let mut command = tool::command("mkfs.ext4")?;
    command
        .args(["-q", "-F"])
        .args(["-b", &spec.block_size.to_string()])
        .args(["-I", &spec.inode_size.to_string()])
        .args(["-N", &spec.inodes.to_string()])
        .args(["-J", &format!("size={}", spec.journal_mib)])
        .args(["-m", &spec.reserved_percent.to_string()])
        .args(["-O", &format!("none,{}", spec.features.join(","))])
        .args(["-U", &spec.uuid])
        .args(["-L", label])
        .arg("-E")
        // Nothing is left for the guest's kernel to initialise in the background, at a time of
        // its own on each image.
        .arg(format!(
            "hash_seed={},lazy_itable_init=0,lazy_journal_init=0",
            spec.hash_seed
        ))
        .arg(file.path())
        // Neither the host's defaults nor its clock get in.
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("E2FSPROGS_FAKE_TIME", "946684800");
    let (code, text) = tool::output(command)?;
    if code != Some(0) {
        return Err(Ext4Error::Mkfs {
            path: path.to_owned(),
            text: complaint(&text),
        });
    }
    file.persist(path).map_err(|error| write(error.error))?;
    Ok(())
}

/// What mkfs said of itself, on one line. Its remarks about a mke2fs.conf, which
/// is kept from it on purpose, are left out where there is something else.
fn complaint(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let own: Vec<&str> = lines()
        .filter_map(|line| line.strip_prefix("mkfs.ext4: "))
        .collect();
    if own.is_empty() {
        lines().collect::<Vec<_>>().join(" ")
    } else {
        own.join(", ")
    }
}
