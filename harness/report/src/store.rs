//! Results on disk: whole or not at all.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    junit,
    model::{FORMAT, RunResult},
};

/// A result that can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Writing failed; nothing was left behind.
    #[error("can't write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading failed.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no result.
    #[error("{} is not the result of a run: {source}", path.display())]
    NoResult {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file is another lookback's.
    #[error(
        "{} has result format {found}, this lookback reads format {FORMAT}; \
         read it with the version that wrote it",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Writes a run as JSON.
///
/// # Errors
/// If the file or its directory can't be made or written.
pub fn write(path: &Path, run: &RunResult) -> Result<(), ReportError> {
    let mut text = serde_json::to_vec_pretty(run).map_err(|error| ReportError::Write {
        path: path.to_owned(),
        source: error.into(),
    })?;
    text.push(b'\n');
    atomically(path, &text)
}

/// Writes a run as JUnit XML.
///
/// # Errors
/// If the file or its directory can't be made or written.
pub fn write_junit(path: &Path, run: &RunResult) -> Result<(), ReportError> {
    let text = junit::render(run).map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })?;
    atomically(path, &text)
}

/// Writes a text of any other kind.
///
/// # Errors
/// If the file or its directory can't be made or written.
pub fn write_text(path: &Path, text: &str) -> Result<(), ReportError> {
    atomically(path, text.as_bytes())
}

/// Reads a run: a result.json, or the directory that holds it.
///
/// # Errors
/// If the file can't be read, is no result, or is of another format.
pub fn read(path: &Path) -> Result<RunResult, ReportError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = if path.is_dir() {
        path.join("result.json")
    } else {
        path.to_owned()
    };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(ReportError::Read { path, source }),
    };
    let result = serde_json::from_slice::<Format>(&text).and_then(|Format { format: found }| {
        if found == FORMAT {
            serde_json::from_slice(&text).map(Ok)
        } else {
            Ok(Err(found))
        }
    });
    match result {
        Ok(Ok(run)) => Ok(run),
        Ok(Err(found)) => Err(ReportError::Format { path, found }),
        Err(source) => Err(ReportError::NoResult { path, source }),
    }
}

/// A file that is renamed into place once it is complete, so that no reader
/// and no full disk ever leaves half of one under the name.
fn atomically(path: &Path, text: &[u8]) -> Result<(), ReportError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut builder = tempfile::Builder::new();
        let mut file = builder.permissions(readable()).tempfile_in(directory)?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Results are for others to read, CI's artifact collectors among them; the
/// umask still applies.
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o666)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::failed;

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runs/1/result.json");
        write(&path, &failed()).unwrap();
        assert_eq!(read(&path).unwrap(), failed());
        assert_eq!(read(path.parent().unwrap()).unwrap(), failed());
        let names: Vec<_> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["result.json"]);
    }

    #[test]
    fn only_a_whole_result_takes_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        symlink("/dev/full", &path).unwrap();
        write(&path, &failed()).unwrap();
        assert!(
            !path.is_symlink(),
            "the name is replaced, not written through"
        );

        let blocked = path.join("result.json");
        let error = write(&blocked, &failed()).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("can't write {}: ", blocked.display())),
            "{error}"
        );
        assert_eq!(read(&path).unwrap(), failed());
    }

    #[rstest::rstest]
    #[case("", "is not the result of a run: EOF")]
    #[case("{}", "missing field `format`")]
    #[case("{\"format\": 1}", "missing field `run`")]
    #[case(
        "{\"format\": 99, \"all\": \"new\"}",
        "has result format 99, this lookback reads format 1"
    )]
    fn mistakes(#[case] text: &str, #[case] says: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        fs::write(&path, text).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains(says) && error.contains("result.json"),
            "{error}"
        );
    }

    #[test]
    fn half_a_result_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        write(&path, &failed()).unwrap();
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert!(matches!(read(&path), Err(ReportError::NoResult { .. })));
        assert!(matches!(
            read(&directory.path().join("x")),
            Err(ReportError::Read { .. })
        ));
    }
}
