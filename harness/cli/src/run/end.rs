//! The end of a guest, and what is kept of it.

use std::path::{Path, PathBuf};

use lookback_image::{Ext4Pair, e2fsck};
use lookback_report::{Console, Finding, Fsck, FsckStatus, Kind, Problem, RunResult};
use lookback_wire::control::{DISK_EXT4, DISK_LOWER};

use crate::{
    failure::Failure,
    guest::{folder::Folder, session::Session},
    run::rig,
};

/// Guests that something happened to whose images are kept, so that a run with
/// many of them does not fill the disk.
const KEPT: usize = 3;

/// How a guest ended.
#[derive(Debug)]
pub struct End {
    /// What its kernel still complained about.
    pub findings: Vec<Finding>,
    /// Why it did not end as it should, if so.
    pub problem: Option<Problem>,
    /// The checks of its images.
    pub fsck: Vec<Fsck>,
}

impl End {
    /// Ends a guest, if it is `alive`, and checks what it leaves behind.
    pub fn of(session: Session, alive: bool, images: &Ext4Pair) -> Self {
        let (mut findings, mut problem) = (Vec::new(), None);
        if alive {
            let (complaints, why) = session.power_off();
            findings = complaints.into_iter().map(Finding::of_kernel).collect();
            problem = why;
        } else {
            drop(session);
        }
        let clean = alive && problem.is_none();
        let images = [(DISK_LOWER, &images.lower), (DISK_EXT4, &images.ext4)];
        let fsck = images.map(|(name, image)| {
            let (status, output) = if clean {
                check(image)
            } else {
                let reason = "the guest did not unmount it".to_owned();
                (FsckStatus::Skipped { reason }, String::new())
            };
            Fsck {
                image: name.to_owned(),
                guest: None,
                status,
                output,
            }
        });
        Self {
            findings,
            problem,
            fsck: fsck.into(),
        }
    }

    /// Adds it to the result, as that of this guest. A run whose `last` guest
    /// ends badly ends badly; of one before it that is something found.
    pub fn tell(self, result: &mut RunResult, guest: u32, last: bool) {
        let on_console = |finding| Console {
            finding,
            case: None,
            guest: Some(guest),
        };
        result
            .console
            .extend(self.findings.into_iter().map(on_console));
        match self.problem {
            Some(problem @ (Problem::Crash(_) | Problem::Hang(_))) if !last => {
                result.console.push(on_console(of_problem(problem)));
            }
            Some(problem) => {
                result.problem.get_or_insert(problem);
            }
            None => {}
        }
        let checks = self.fsck.into_iter().map(|fsck| Fsck {
            guest: Some(guest),
            ..fsck
        });
        result.fsck.extend(checks);
    }
}

/// Why a guest did not end as it should.
pub fn of_problem(problem: Problem) -> Finding {
    match problem {
        Problem::Hang(what) => Finding::new(Kind::Hang, "guest:end", what),
        Problem::Crash(what) | Problem::Environment(what) => {
            Finding::new(Kind::Crash, "guest:end", what)
        }
    }
}

fn check(image: &Path) -> (FsckStatus, String) {
    match e2fsck(image) {
        Ok(report) if report.clean => (FsckStatus::Clean, report.text),
        Ok(report) => (FsckStatus::Errors, report.text),
        Err(error) => {
            let reason = error.to_string();
            (FsckStatus::NotRun { reason }, String::new())
        }
    }
}

/// The directories of guests whose images are kept.
#[derive(Debug, Default)]
pub struct Evidence {
    kept: Vec<PathBuf>,
}

impl Evidence {
    /// Keeps what an ended guest was made of if it is evidence, and removes it
    /// if not.
    pub fn take(
        &mut self,
        result: &RunResult,
        guest: u32,
        directory: PathBuf,
    ) -> Result<(), Failure> {
        if self.kept.len() < KEPT && is_evidence(result, guest) {
            self.kept.push(directory);
            return Ok(());
        }
        rig::remove_bulk(&directory)
    }

    /// Of whom something is kept.
    pub fn kept(&self) -> impl Iterator<Item = &Path> {
        self.kept.iter().map(PathBuf::as_path)
    }
}

/// Whether a guest, which is the last so far, showed what its images may tell
/// more of. A difference has its trace.
fn is_evidence(result: &RunResult, guest: u32) -> bool {
    let this = Some(guest);
    let cases = result.cases.iter().filter(|case| case.guest == this);
    let console = result.console.iter().filter(|it| it.guest == this);
    let mut findings = cases
        .flat_map(|case| &case.findings)
        .chain(console.map(|it| &it.finding));
    let errors = |fsck: &Fsck| fsck.guest == this && fsck.status == FsckStatus::Errors;
    findings.any(|finding| finding.kind != Kind::Difference)
        || result.fsck.iter().any(errors)
        || result.problem.is_some()
}

/// Leaves the result in the run's directory, and `latest` leading to it. Of the
/// guests in `bulky` what the next run makes anew is removed.
pub fn keep<'a>(
    result: &RunResult,
    folder: &Folder,
    bulky: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    lookback_report::write_junit(&folder.path.join("junit.xml"), result)?;
    lookback_report::write(&folder.path.join("result.json"), result)?;
    bulky.into_iter().try_for_each(rig::remove_bulk)?;
    folder.make_latest()
}

#[cfg(test)]
mod tests;
