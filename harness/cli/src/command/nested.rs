//! `lookback nested`: a command of this machine's in a guest that has KVM.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use lookback_engine::{Accel, GuestSpec, Qemu, SocketDir};
use lookback_fs_backend::BackendHandle;
use lookback_image::initramfs;
use lookback_kernel::{Layout, Profile};
use lookback_report::Problem;
use lookback_triage::Finding;
use lookback_wire::control::PORT;

use crate::{
    args::NestedArgs,
    failure::{Failure, GUEST_CRASHED, GUEST_HUNG, UNABLE},
    guest::{
        exec::ExecReturn,
        folder::{self, Folder},
        host, image, interrupt,
        session::{Gone, Session},
    },
    paths,
    progress::BuildProgress,
};

/// What the kernel says once KVM can run guests here (arch/x86/kvm/svm/svm.c).
const NESTED_PAGING: &str = "kvm_amd: Nested Paging enabled";
/// How long an agent that runs nothing may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// Runs the command and ends as it did.
pub fn nested(args: &NestedArgs) -> Result<ExitCode, Failure> {
    Ok(run(args).unwrap_or_else(|failure| {
        eprintln!("lookback: {failure}");
        failure.passing_exit_code()
    }))
}

/// What a guest is made of, in the order it is taken apart.
struct Outer {
    spec: GuestSpec,
    folder: Folder,
    _servers: Vec<BackendHandle>,
    // Removed when dropped, after everything that has a socket in it.
    _sockets: SocketDir,
}

fn run(args: &NestedArgs) -> Result<ExitCode, Failure> {
    let out = args
        .out
        .iter()
        .map(|path| writable(path))
        .collect::<Result<Vec<_>, _>>()?;
    let plan = host::plan(&args.command, &out)?;
    let mut outer = prepare(args, &out)?;
    let engine = match &args.tools.qemu {
        Some(binary) => Qemu::with_binary(Accel::TcgSvm, binary),
        None => Qemu::new(Accel::TcgSvm),
    };
    let limit = Duration::from_secs(args.boot_timeout.get());
    let booted = Session::boot(&engine, &outer.spec, limit);
    if matches!(booted, Ok(_) | Err(Failure::NoAgent { .. })) {
        outer.folder.keep();
        outer.folder.remove("initramfs.cpio")?;
    }
    let mut session = booted?;
    let log = session.kernel_log(ANSWER)?;
    let said = kvm_lines(&log);
    let release = session.ready.release.clone();
    eprintln!("outer guest: Linux {release}; {}", said.join("; "));
    if !said.iter().any(|line| line == NESTED_PAGING) {
        return Err(Failure::NoNestedKvm {
            release,
            said: said.join("; "),
        });
    }
    let mut findings = std::mem::take(&mut session.boot_findings);
    let limit = Duration::from_secs(args.timeout.get());
    let back = session.exec(plan, limit, None, &mut host::print);
    let mut problem = None;
    if back.ended.is_ok() {
        let (last, why) = session.power_off();
        findings.extend(last);
        problem = why;
    } else {
        drop(session);
    }
    findings.extend(back.case.findings.iter().cloned());
    let log = outer.folder.path.join("console.log");
    for finding in &findings {
        eprintln!(
            "lookback: outer guest: {}; {}",
            finding.title,
            log.display()
        );
    }
    Ok(ExitCode::from(status(&back, &findings, problem, limit)))
}

/// Says what went wrong besides the command itself, and what all of it comes to.
fn status(
    back: &ExecReturn,
    findings: &[Finding],
    problem: Option<Problem>,
    limit: Duration,
) -> u8 {
    let mut unable = false;
    let mut say = |what: &str| {
        eprintln!("lookback: outer guest: {what}");
        unable = true;
    };
    let troubles = back.case.troubles.iter().map(|(what, _)| what);
    troubles.chain(&back.case.broken).for_each(|what| say(what));
    if let Some(error) = &back.lost {
        say(&format!("its output can't be passed on: {error}"));
    }
    let hung = match problem {
        Some(Problem::Hang(what)) => {
            say(&what);
            true
        }
        Some(Problem::Crash(what) | Problem::Environment(what)) => {
            say(&what);
            false
        }
        None => false,
    };
    let own = match &back.ended {
        Ok(ended) => host::own_status(ended),
        Err(Gone::TimedOut) => {
            eprintln!(
                "lookback: the command had not ended after {} s",
                limit.as_secs()
            );
            GUEST_HUNG
        }
        Err(Gone::Died(why)) => {
            eprintln!("lookback: the command did not come to its end: {why}");
            GUEST_CRASHED
        }
    };
    match own {
        _ if !findings.is_empty() => GUEST_CRASHED,
        GUEST_HUNG | GUEST_CRASHED => own,
        _ if hung => GUEST_HUNG,
        _ if unable => UNABLE,
        own => own,
    }
}

/// A directory of this machine's that the command may write to, without
/// symbolic links.
fn writable(path: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(path)
        .and_then(|()| fs::canonicalize(path))
        .map_err(Failure::io("make the directory", path))
}

fn prepare(args: &NestedArgs, out: &[PathBuf]) -> Result<Outer, Failure> {
    let layout = Layout::discover()?;
    let agent = paths::agent(args.tools.agent.as_deref())?;
    let mut progress = BuildProgress::new(&args.kernel);
    let kernel = lookback_kernel::ensure(&layout, &args.kernel, Profile::Kvm, &mut progress);
    progress.finish();
    let kernel = kernel?;
    let folder = Folder::create(
        &paths::output(&args.tools.output)?,
        &folder::stamp(SystemTime::now()),
    )?;
    let initramfs_path = folder.path.join("initramfs.cpio");
    initramfs(&agent, &initramfs_path)?;
    let sockets = SocketDir::new()?;
    interrupt::remove_on_signal(&[sockets.path()])
        .map_err(Failure::io("catch signals to clean up", sockets.path()))?;
    let mut servers = vec![host::serve_root(&sockets)?];
    let mut shares = vec![host::root_share(&servers[0])];
    for (index, path) in out.iter().enumerate() {
        let tag = host::tag(index);
        let server = host::serve(&sockets, &tag, path, false)?;
        shares.push(host::share(&tag, &server));
        servers.push(server);
    }
    let spec = GuestSpec {
        kernel: image(&kernel),
        initramfs: initramfs_path,
        cmdline: args.append.clone(),
        memory_mib: args.memory.get(),
        cpus: args.cpus.get(),
        run_dir: folder.path.clone(),
        control_port: PORT.to_owned(),
        shares,
        ..GuestSpec::default()
    };
    Ok(Outer {
        spec,
        folder,
        _servers: servers,
        _sockets: sockets,
    })
}

/// The lines of the kernel's log about KVM, without their times.
fn kvm_lines(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| Some(line.split_once("] ")?.1.trim()))
        .filter(|line| line.starts_with("kvm"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_quoted_without_its_times() {
        let log = "<6>[    0.9] kvm_amd: Nested Paging enabled\n<6>[ 1.0] x\nkvm: no\n";
        assert_eq!(kvm_lines(log), ["kvm_amd: Nested Paging enabled"]);
    }
}
