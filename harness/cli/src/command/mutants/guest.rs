//! Guests of mutants: each a `lookback` of its own, so that whatever a mutant does to its guest,
//! the next one gets a fresh start.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lookback_kernel::Profile;
use lookback_report::{ReportError, RunResult};

use crate::{
    args::{EngineArg, MutantsArgs},
    command::mutants::verdict::{Catch, How, catches},
    failure::Failure,
    run::rig,
};

/// The load that every mutant is run under besides its scenarios: fixed, so that what it finds is a
/// property of the mutant.
const FSSTRESS: [&str; 8] = [
    "--seed",
    "7",
    "--ops",
    "3000",
    "--procs",
    "2",
    "--arms",
    "backed,ext4",
];

/// Seconds a guest may take to come up; two of them share the machine with a compiler.
const BOOT_SECONDS: &str = "120";

/// What a guest is to do.
#[derive(Debug, Clone, Copy)]
pub enum Load<'a> {
    /// Run scenarios.
    Scenarios(&'a [String]),
    /// Run the fixed load.
    Fsstress,
}

/// A kernel of the cache, and how long its cases may take.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its name in the cache.
    pub kernel: &'a str,
    /// Its profile.
    pub profile: Profile,
    /// Seconds a case may take.
    pub seconds: u64,
}

/// How a guest's run ended.
#[derive(Debug)]
pub enum Ran {
    /// With a result: what was found, and the exit code.
    Judged(Vec<Catch>, u8),
    /// Without one: bad input or environment, by its exit code, in words.
    NotJudged(u8, String),
}

/// Where and with what guests are run.
#[derive(Debug)]
pub struct Guests {
    program: PathBuf,
    /// Options of every run.
    common: Vec<OsString>,
    /// Options of runs of scenarios.
    scenario_dir: PathBuf,
    directory: PathBuf,
}

impl Guests {
    /// Guests whose runs are kept in `directory`.
    pub fn new(
        args: &MutantsArgs,
        scenario_dir: PathBuf,
        directory: PathBuf,
    ) -> Result<Self, Failure> {
        let program =
            env::current_exe().map_err(Failure::io("find the program", Path::new("/proc/self")))?;
        let engine = match args.machine.engine {
            EngineArg::Auto => "auto",
            EngineArg::Kvm => "kvm",
            EngineArg::Qemu => "qemu",
        };
        let mut common: Vec<OsString> = vec![
            "--engine".into(),
            engine.into(),
            "--boot-timeout".into(),
            BOOT_SECONDS.into(),
        ];
        for (option, value) in [
            ("--agent", &args.machine.tools.agent),
            ("--qemu", &args.machine.tools.qemu),
        ] {
            if let Some(value) = value {
                common.extend([option.into(), value.into()]);
            }
        }
        Ok(Self {
            program,
            common,
            scenario_dir,
            directory,
        })
    }

    /// Runs one guest to its end and tells what was found.
    pub fn run(&self, subject: Subject<'_>, load: Load<'_>) -> Result<Ran, Failure> {
        let what = match load {
            Load::Scenarios(_) => "scenarios",
            Load::Fsstress => "fsstress",
        };
        let output = self
            .directory
            .join(format!("{}.{}", subject.kernel, subject.profile))
            .join(what);
        if output.exists() {
            fs::remove_dir_all(&output).map_err(Failure::io("remove", &output))?;
        }
        fs::create_dir_all(&output).map_err(Failure::io("make the directory", &output))?;
        let log = output.join("log");
        let file = File::create(&log).map_err(Failure::io("write", &log))?;
        let also = file.try_clone().map_err(Failure::io("write", &log))?;

        let mut command = Command::new(&self.program);
        match load {
            Load::Scenarios(names) => {
                command.arg("run").args(names);
                command.arg("--scenario-dir").arg(&self.scenario_dir)
            }
            Load::Fsstress => command.arg("fsstress").args(FSSTRESS),
        };
        command
            .args(&self.common)
            // What a mutant's first crash leaves to say is not worth another guest.
            .arg("--fail-fast")
            .args(["--kernel", subject.kernel])
            .args(["--profile", &subject.profile.to_string()])
            .args(["--timeout", &subject.seconds.to_string()])
            .arg("--output")
            .arg(&output)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(also);
        // A killed `lookback mutants` leaves no guest behind: SIGTERM has the run clear up.
        // SAFETY: between fork and exec one prctl is called, which is async-signal-safe and takes
        // integers.
        unsafe {
            command.pre_exec(
                || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                },
            );
        }
        let status = command
            .status()
            .map_err(Failure::io("run", &self.program))?;
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX);
        let ran = judge(&output, code, &log)?;
        remove_bulk(&output)?;
        Ok(ran)
    }
}

fn judge(output: &Path, code: u8, log: &Path) -> Result<Ran, Failure> {
    match lookback_report::read(&output.join("latest")) {
        Ok(result) if result.exit_code == code => Ok(of_result(&result, log)),
        Ok(result) => Ok(Ran::NotJudged(
            code,
            format!(
                "the run ended with {code}, its result says {}; see {}",
                result.exit_code,
                log.display()
            ),
        )),
        Err(ReportError::Read { .. }) => Ok(without_result(code, log)),
        Err(error) => Err(error.into()),
    }
}

fn of_result(result: &RunResult, log: &Path) -> Ran {
    let catches = catches(result);
    match result.exit_code {
        code @ (0 | 1 | 3 | 4) => Ran::Judged(catches, code),
        code => Ran::NotJudged(code, format!("not all could be run; see {}", log.display())),
    }
}

/// A kernel that does not get as far as the agent has no result, but is caught.
fn without_result(code: u8, log: &Path) -> Ran {
    let text = fs::read_to_string(log).unwrap_or_default();
    let said = text
        .lines()
        .find_map(|line| line.strip_prefix("lookback: "))
        .unwrap_or("it said nothing");
    let how = match code {
        3 => How::Oops,
        4 => How::Hang,
        _ => return Ran::NotJudged(code, format!("{said}; see {}", log.display())),
    };
    let catch = Catch {
        how,
        by: "boot".into(),
        title: said.to_owned(),
    };
    Ran::Judged(vec![catch], code)
}

/// Of a mutant's run the result, the console and the traces are evidence enough.
fn remove_bulk(output: &Path) -> Result<(), Failure> {
    match fs::canonicalize(output.join("latest")) {
        Ok(run) => rig::remove_bulk(&run),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use lookback_report::{CaseResult, Finding, Kernel, Kind, Status};
    use rstest::rstest;

    use super::*;

    /// A run's directory as `lookback run` leaves it.
    fn run(status: Status, finding: Option<Finding>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel {
            name: "m".into(),
            release: "6.12".into(),
            profile: "fast".into(),
        };
        let mut result = RunResult::new("1", "qemu", kernel, 1);
        let mut case = CaseResult::new("s", "s.a", "a", status);
        finding.into_iter().for_each(|finding| case.add(finding));
        result.cases.push(case);
        result.finish();
        let run = dir.path().join("runs/1");
        lookback_report::write(&run.join("result.json"), &result).unwrap();
        std::os::unix::fs::symlink("runs/1", dir.path().join("latest")).unwrap();
        dir
    }

    fn judged(dir: &tempfile::TempDir, code: u8) -> Ran {
        judge(dir.path(), code, Path::new("log")).unwrap()
    }

    #[test]
    fn a_result_is_judged_by_what_it_found() {
        let passed = run(Status::Passed, None);
        assert!(matches!(judged(&passed, 0), Ran::Judged(found, 0) if found.is_empty()));
        let leak = run(Status::Passed, Some(Finding::new(Kind::Leak, "s", "t")));
        assert!(matches!(judged(&leak, 3), Ran::Judged(found, 3) if found[0].how == How::Leak));
    }

    #[test]
    fn what_did_not_run_is_not_judged() {
        let reason = || "x".to_owned();
        let skipped = run(Status::Skipped { reason: reason() }, None);
        assert!(matches!(judged(&skipped, 5), Ran::NotJudged(5, _)));
        // Its program ended in another way than it wrote down.
        let passed = run(Status::Passed, None);
        assert!(matches!(judged(&passed, 143), Ran::NotJudged(143, _)));
    }

    #[rstest]
    #[case(3, Some(How::Oops))]
    #[case(4, Some(How::Hang))]
    #[case(5, None)]
    #[case(2, None)]
    #[case(143, None)]
    fn a_guest_that_does_not_come_up(#[case] code: u8, #[case] how: Option<How>) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::write(&log, "engine qemu\nlookback: the guest ended\nand so on\n").unwrap();
        match (judge(dir.path(), code, &log).unwrap(), how) {
            (Ran::Judged(catches, same), Some(how)) => {
                assert_eq!(same, code);
                assert_eq!((catches[0].how, catches[0].by.as_str()), (how, "boot"));
                assert_eq!(catches[0].title, "the guest ended");
            }
            (Ran::NotJudged(same, why), None) => {
                assert_eq!(same, code);
                assert!(why.starts_with("the guest ended; see "), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_evidence_stays() {
        let dir = run(Status::Passed, None);
        let at = |name: &str| dir.path().join("latest").join(name);
        fs::write(at("console.log"), "").unwrap();
        fs::write(at("lower.img"), "").unwrap();
        fs::create_dir(at("share-backed")).unwrap();
        remove_bulk(dir.path()).unwrap();
        assert!(at("console.log").exists() && at("result.json").exists());
        assert!(!at("lower.img").exists() && !at("share-backed").exists());
    }
}
