//! The configuration: fragments over tinyconfig, and the check that Kconfig kept every line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::digest::Digest;
use crate::layout::Layout;
use crate::spec::Profile;

/// Why there is no configuration to build.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A fragment or a configuration cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The configuration cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A line of a fragment is no Kconfig line.
    #[error("{}:{line}: `{text}` is neither CONFIG_X=value nor `# CONFIG_X is not set`", path.display())]
    Syntax {
        /// The fragment.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// Kconfig did not take what a fragment asks for.
    #[error(
        "{} asks for {symbol}={wanted} but Kconfig made it {got}: {}",
        path.display(),
        if wanted == "n" { "another symbol selects it" } else { "a dependency is not met" }
    )]
    Refused {
        /// The fragment.
        path: PathBuf,
        /// Such as `CONFIG_FUSE_FS`.
        symbol: String,
        /// The value in the fragment; `n` for not set.
        wanted: String,
        /// The value in the result.
        got: String,
    },
    /// The source does not define the symbol.
    #[error("{} asks for {symbol}, which this source does not define", path.display())]
    Unknown {
        /// The fragment.
        path: PathBuf,
        /// Such as `CONFIG_FUSE_FS`.
        symbol: String,
    },
}

/// One symbol a fragment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    value: String,
    fragment: PathBuf,
    /// Whether a source may lack the symbol.
    optional: bool,
}

/// The fragments of a profile, merged.
#[derive(Debug)]
pub(crate) struct Fragments {
    text: String,
    requests: BTreeMap<String, Request>,
}

impl Fragments {
    /// Reads the fragments of a profile. The symbols of `extension.config` come with a series,
    /// so that a source may lack them; without `extension` they are not set.
    pub(crate) fn read(
        layout: &Layout,
        profile: Profile,
        extension: bool,
    ) -> Result<Self, ConfigError> {
        let mut merged = Self {
            text: String::new(),
            requests: BTreeMap::new(),
        };
        for (name, optional) in [
            ("base".to_owned(), false),
            ("extension".to_owned(), true),
            (profile.to_string(), false),
        ] {
            let path = layout
                .guest_kernel
                .join("config")
                .join(format!("{name}.config"));
            let mut text = read(&path)?;
            if optional && !extension {
                text = unset(&text);
            }
            for (index, line) in text.lines().enumerate() {
                match parse(line) {
                    Line::Symbol(symbol, value) => {
                        let request = Request {
                            value,
                            fragment: path.clone(),
                            optional,
                        };
                        merged.requests.insert(symbol, request);
                    }
                    Line::Nothing => {}
                    Line::Wrong => {
                        let (line, text) = (index + 1, line.to_owned());
                        return Err(ConfigError::Syntax { path, line, text });
                    }
                }
            }
            merged.text.push_str(&text);
            merged.text.push('\n');
        }
        Ok(merged)
    }

    pub(crate) fn digest(&self, digest: &mut Digest) {
        digest.field(&self.text);
    }

    /// Puts the fragments behind what is in the configuration; Kconfig takes the last value.
    pub(crate) fn append_to(&self, config: &Path) -> Result<(), ConfigError> {
        let mut text = read(config)?;
        text.push('\n');
        text.push_str(&self.text);
        let path = config.to_owned();
        fs::write(config, text).map_err(|error| ConfigError::Write { path, error })
    }

    /// Compares the configuration Kconfig made with what was asked for. Returns the optional
    /// symbols this source does not have.
    pub(crate) fn verify(&self, config: &Path, src: &Path) -> Result<Vec<String>, ConfigError> {
        let made: BTreeMap<String, String> = read(config)?
            .lines()
            .filter_map(|line| match parse(line) {
                Line::Symbol(symbol, value) => Some((symbol, value)),
                Line::Nothing | Line::Wrong => None,
            })
            .collect();
        let differs = |(symbol, request): &(&String, &Request)| {
            let got = made.get(*symbol).map_or("n", String::as_str);
            got != request.value
        };
        let different: Vec<_> = self.requests.iter().filter(differs).collect();
        if different.is_empty() {
            return Ok(Vec::new());
        }
        let defined = symbols(src)?;
        let mut absent = Vec::new();
        for (symbol, request) in different {
            let path = request.fragment.clone();
            if !defined.contains(symbol.trim_start_matches("CONFIG_")) {
                if request.optional {
                    absent.push(symbol.clone());
                    continue;
                }
                return Err(ConfigError::Unknown {
                    path,
                    symbol: symbol.clone(),
                });
            }
            return Err(ConfigError::Refused {
                path,
                symbol: symbol.clone(),
                wanted: request.value.clone(),
                got: made.get(symbol).map_or("n", String::as_str).to_owned(),
            });
        }
        Ok(absent)
    }
}

enum Line {
    Symbol(String, String),
    Nothing,
    Wrong,
}

fn parse(line: &str) -> Line {
    let line = line.trim();
    let is_symbol = |name: &str| {
        name.strip_prefix("CONFIG_").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
        })
    };
    if let Some(comment) = line.strip_prefix('#') {
        let unset = comment
            .trim()
            .strip_suffix(" is not set")
            .filter(|name| is_symbol(name));
        return match unset {
            Some(symbol) => Line::Symbol(symbol.to_owned(), "n".to_owned()),
            None => Line::Nothing,
        };
    }
    match line.split_once('=') {
        _ if line.is_empty() => Line::Nothing,
        Some((symbol, value)) if is_symbol(symbol) && !value.is_empty() => {
            Line::Symbol(symbol.to_owned(), value.to_owned())
        }
        _ => Line::Wrong,
    }
}

/// A fragment with its symbols not set.
fn unset(fragment: &str) -> String {
    fragment
        .lines()
        .map(|line| match parse(line) {
            Line::Symbol(symbol, _) => format!("# {symbol} is not set\n"),
            Line::Nothing | Line::Wrong => format!("{line}\n"),
        })
        .collect()
}

/// Every symbol the Kconfig files of a tree define, other architectures' aside.
fn symbols(src: &Path) -> Result<BTreeSet<String>, ConfigError> {
    let mut symbols = BTreeSet::new();
    let mut dirs = vec![src.to_owned()];
    let arch = src.join("arch");
    while let Some(dir) = dirs.pop() {
        let fail = |error| ConfigError::Read {
            path: dir.clone(),
            error,
        };
        for entry in fs::read_dir(&dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if entry.file_type().map_err(fail)?.is_dir() {
                if dir != arch || name == "x86" {
                    dirs.push(entry.path());
                }
            } else if name.to_string_lossy().starts_with("Kconfig") {
                symbols.extend(definitions(&read(&entry.path())?).map(str::to_owned));
            }
        }
    }
    Ok(symbols)
}

fn definitions(kconfig: &str) -> impl Iterator<Item = &str> {
    kconfig.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let keyword = words.next()?;
        matches!(keyword, "config" | "menuconfig").then(|| words.next())?
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let text = fs::read(path).map_err(|error| ConfigError::Read {
        path: path.to_owned(),
        error,
    })?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn verify(made: &str) -> Result<Vec<String>, ConfigError> {
        verify_extension(made, true)
    }

    fn verify_extension(made: &str, extension: bool) -> Result<Vec<String>, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout {
            cache: dir.path().join("cache"),
            guest_kernel: dir.path().to_owned(),
        };
        let config = dir.path().join("config");
        fs::create_dir(&config).unwrap();
        fs::write(config.join("base.config"), "CONFIG_EXT4_FS=y\n\n# Why.\n").unwrap();
        fs::write(config.join("extension.config"), "CONFIG_FUSE_BACKING=y\n").unwrap();
        fs::write(
            config.join("fast.config"),
            "# CONFIG_KASAN is not set\nCONFIG_NR=8\n",
        )
        .unwrap();
        let src = dir.path().join("src");
        fs::create_dir_all(src.join("fs")).unwrap();
        fs::write(
            src.join("fs/Kconfig"),
            "menuconfig EXT4_FS\n\tbool\nconfig KASAN\nconfig NR\n\tint\n",
        )
        .unwrap();
        let result = dir.path().join("result");
        fs::write(&result, made).unwrap();
        Fragments::read(&layout, Profile::Fast, extension)
            .unwrap()
            .verify(&result, &src)
    }

    #[rstest]
    #[case("CONFIG_EXT4_FS=y\nCONFIG_FUSE_BACKING=y\nCONFIG_NR=8\n", &[])]
    #[case("CONFIG_EXT4_FS=y\nCONFIG_NR=8\n# CONFIG_KASAN is not set\n", &["CONFIG_FUSE_BACKING"])]
    fn kept(#[case] made: &str, #[case] absent: &[&str]) {
        assert_eq!(verify(made).unwrap(), absent);
    }

    #[rstest]
    #[case(
        "CONFIG_FUSE_BACKING=y\nCONFIG_NR=8\n",
        "CONFIG_EXT4_FS=y but Kconfig made it n"
    )]
    #[case("CONFIG_EXT4_FS=y\nCONFIG_NR=2\n", "CONFIG_NR=8 but Kconfig made it 2")]
    #[case(
        "CONFIG_EXT4_FS=y\nCONFIG_NR=8\nCONFIG_KASAN=y\n",
        "CONFIG_KASAN=n but Kconfig made it y"
    )]
    fn refused(#[case] made: &str, #[case] message: &str) {
        let text = verify(made).unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
    }

    #[rstest]
    #[case("", true)]
    #[case("# CONFIG_FUSE_BACKING is not set\n", true)]
    #[case("CONFIG_FUSE_BACKING=y\n", false)]
    fn an_extension_that_is_off(#[case] made: &str, #[case] good: bool) {
        let made = format!("CONFIG_EXT4_FS=y\nCONFIG_NR=8\n{made}");
        let absent = verify_extension(&made, false);
        assert_eq!(absent.is_ok_and(|absent| absent.is_empty()), good, "{made}");
    }

    #[rstest]
    #[case("CONFIG_X=y", true)]
    #[case("# CONFIG_X is not set", true)]
    #[case("# a comment", true)]
    #[case("", true)]
    #[case("CONFIG_X", false)]
    #[case("X=y", false)]
    #[case("CONFIG_X=", false)]
    fn lines(#[case] line: &str, #[case] good: bool) {
        assert_eq!(!matches!(parse(line), Line::Wrong), good);
    }

    #[test]
    fn the_repositorys_fragments_read() {
        let guest_kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-kernel");
        let layout = Layout {
            cache: PathBuf::new(),
            guest_kernel,
        };
        for profile in Profile::ALL {
            let fragments = Fragments::read(&layout, profile, true).unwrap();
            assert_eq!(fragments.requests["CONFIG_VIRTIO_FS"].value, "y");
        }
    }
}
