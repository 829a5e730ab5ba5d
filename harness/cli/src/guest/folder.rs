//! The directory of one run.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::failure::Failure;

/// `target/lookback/runs/ID` and what is in it. Removed again when dropped,
/// unless something in it was worth [`keep`](Folder::keep)ing: a run that never
/// had a guest leaves nothing to look at.
#[derive(Debug)]
pub struct Folder {
    output: PathBuf,
    kept: bool,
    /// The run's id: the time it started and this process.
    pub id: String,
    /// The directory.
    pub path: PathBuf,
}

impl Folder {
    /// Makes the directory of a new run.
    pub fn create(output: &Path, started: &str) -> Result<Self, Failure> {
        let id = format!("{started}-{}", std::process::id());
        let path = output.join("runs").join(&id);
        fs::create_dir_all(&path).map_err(Failure::io("make the run's directory", &path))?;
        Ok(Self {
            output: output.to_owned(),
            kept: false,
            id,
            path,
        })
    }

    /// Leaves the directory where it is.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Where a guest of the run has its files: the first has the directory
    /// itself, the others have one each in it.
    pub fn guest(&self, number: u32) -> Result<PathBuf, Failure> {
        match number {
            1 => Ok(self.path.clone()),
            _ => self.directory(&format!("guest-{number}")),
        }
    }

    /// Makes a directory in it.
    pub fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(Failure::io("make the directory", &path))?;
        Ok(path)
    }

    /// Writes a file of the run.
    pub fn write(&self, directory: &str, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.directory(directory)?.join(name);
        fs::write(&path, text).map_err(Failure::io("write", &path))
    }

    /// Removes a file or directory of the run that is of no use to anyone.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(Failure::io("remove", &path))
    }

    /// Makes `target/lookback/latest` lead here. Only done once the result is
    /// written, so that `latest` always has one.
    pub fn make_latest(&self) -> Result<(), Failure> {
        let link = self.output.join("latest");
        let fresh = self.output.join(format!(".latest-{}", self.id));
        symlink(Path::new("runs").join(&self.id), &fresh)
            .and_then(|()| fs::rename(&fresh, &link))
            .map_err(Failure::io("make the link", &link))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// A point in time as a run's id begins: `20261122T093000Z`.
pub fn stamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time)
        .to_string()
        .replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_stamp_sorts_by_time() {
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_339_800);
        assert_eq!(stamp(SystemTime::UNIX_EPOCH), "19700101T000000Z");
        assert_eq!(stamp(later), "20261122T093000Z");
    }

    #[test]
    fn guests_do_not_share_a_directory() {
        let output = tempfile::tempdir().unwrap();
        let folder = Folder::create(output.path(), "1").unwrap();
        assert_eq!(folder.guest(1).unwrap(), folder.path);
        let second = folder.guest(2).unwrap();
        assert!(second.is_dir() && second.ends_with("guest-2"));
    }

    #[test]
    fn latest_leads_to_the_newest() {
        let output = tempfile::tempdir().unwrap();
        let mut first = Folder::create(output.path(), "1").unwrap();
        first.keep();
        first.make_latest().unwrap();
        let mut second = Folder::create(output.path(), "2").unwrap();
        second.keep();
        second.write("traces", "a.trace", "sync\n").unwrap();
        second.make_latest().unwrap();
        let trace = output.path().join("latest/traces/a.trace");
        assert_eq!(fs::read_to_string(trace).unwrap(), "sync\n");
    }

    #[test]
    fn only_what_is_kept_stays() {
        let output = tempfile::tempdir().unwrap();
        let folder = Folder::create(output.path(), "1").unwrap();
        let path = folder.path.clone();
        folder.write("traces", "a.trace", "sync\n").unwrap();
        drop(folder);
        assert!(!path.exists());
        let mut folder = Folder::create(output.path(), "1").unwrap();
        folder.keep();
        drop(folder);
        assert!(path.exists());
    }
}
