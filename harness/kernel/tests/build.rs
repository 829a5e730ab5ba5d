//! Builds of a kernel of three files.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod bench;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lookback_kernel::{
    BuildSpec, Built, Layout, Phase, Profile, Progress, Silent, build, ensure, find, list,
};
use rstest::rstest;

use bench::{Bench, CHANGE_X};

fn compiled(built: &Built) -> Vec<String> {
    let log = fs::read_to_string(&built.log).unwrap();
    let mut files: Vec<String> = log
        .lines()
        .filter_map(|line| line.strip_prefix("  CC      "))
        .map(str::to_owned)
        .collect();
    files.sort();
    files
}

fn content(built: &Built) -> String {
    fs::read_to_string(&built.vmlinux).unwrap()
}

#[derive(Default)]
struct Record {
    phases: Vec<Phase>,
    notes: Vec<String>,
    steps: Vec<(u64, Option<u64>)>,
}

impl Progress for Record {
    fn phase(&mut self, phase: Phase) {
        self.phases.push(phase);
    }
    fn step(&mut self, done: u64, expected: Option<u64>) {
        self.steps.push((done, expected));
    }
    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
}

#[rstest]
fn kernels_share_what_their_series_leave_alone(#[values(true, false)] archive: bool) {
    let bench = Bench::new();
    let src = if archive {
        bench.archive()
    } else {
        bench.path("linux")
    };
    let make = |name: &str| build(&bench.layout, &bench.spec(name, &src), &mut Silent).unwrap();

    let patched = make("patched");
    assert_eq!(content(&patched), "patched x\ny\nmain\n");
    assert_eq!(patched.release, "6.12.1-patched");
    assert_eq!(patched.patches, ["0001-x.patch", "0002-symbol.patch"]);
    assert!(patched.extension);
    assert_eq!(compiled(&patched).len(), 3);

    let baseline = make("baseline");
    assert_eq!(content(&baseline), "x\ny\nmain\n");
    assert_eq!(compiled(&baseline), ["fs/x.c"]);
    assert_eq!(baseline.absent, ["CONFIG_FUSE_BACKING"]);
    assert!(!baseline.extension);

    // The other kernel's build took nothing from this one.
    assert_eq!(content(&patched), "patched x\ny\nmain\n");
    assert_eq!(make("patched"), patched);
    let names: Vec<String> = list(&bench.layout)
        .into_iter()
        .map(|built| built.name)
        .collect();
    assert_eq!(names, ["baseline", "patched"]);
    assert_eq!(
        fs::read_to_string(bench.path("linux/fs/x.c")).unwrap(),
        "x\n"
    );
}

#[test]
fn nothing_is_built_twice() {
    let bench = Bench::new();
    let spec = bench.spec("patched", &bench.path("linux"));
    let mut first = Record::default();
    build(&bench.layout, &spec, &mut first).unwrap();
    assert_eq!(
        first.phases,
        [
            Phase::Patch,
            Phase::Configure,
            Phase::Compile,
            Phase::Publish
        ]
    );
    assert_eq!(first.steps.len(), 3);
    assert!(first.steps[0].1.is_some());
    let mut second = Record::default();
    build(&bench.layout, &spec, &mut second).unwrap();
    assert!(second.phases.is_empty());
}

#[test]
fn an_edited_patch_rebuilds_its_file_alone() {
    let bench = Bench::new();
    bench.build("patched").unwrap();
    bench.write(
        "guest-kernel/patches/0001-x.patch",
        &CHANGE_X.replace("patched", "better"),
    );
    let mut spec = bench.spec("patched", &bench.path("linux"));
    let mut record = Record::default();
    let built = build(&bench.layout, &spec, &mut record).unwrap();
    assert_eq!(compiled(&built), ["fs/x.c"]);
    assert_eq!(content(&built), "better x\ny\nmain\n");
    assert_eq!(
        record.phases,
        [Phase::Patch, Phase::Compile, Phase::Publish]
    );

    // An edited fragment and an edited Kconfig make the configuration anew.
    for (file, text) in [
        (
            "guest-kernel/config/base.config",
            "# Why.\nCONFIG_EXT4_FS=y\n",
        ),
        ("linux/Kconfig", "config EXT4_FS\n\n"),
    ] {
        bench.write(file, text);
        spec.patches = Vec::new();
        let mut record = Record::default();
        build(&bench.layout, &spec, &mut record).unwrap();
        assert!(record.phases.contains(&Phase::Configure), "{file}");
    }
}

#[test]
fn an_edited_tree_is_built_again() {
    let bench = Bench::new();
    bench.build("baseline").unwrap();
    bench.write("linux/fs/y.c", "why\n");
    let built = bench.build("baseline").unwrap();
    assert_eq!(compiled(&built), ["fs/y.c"]);
    assert_eq!(content(&built), "x\nwhy\nmain\n");
}

#[test]
fn a_patch_that_does_not_apply_leaves_the_kernel_of_before() {
    let bench = Bench::new();
    let before = bench.build("patched").unwrap();
    bench.write("guest-kernel/patches/0003-late.patch", CHANGE_X);
    let error = bench.build("patched").unwrap_err().to_string();
    assert!(
        error.contains("0003-late.patch does not apply to Linux 6.12.1"),
        "{error}"
    );
    assert!(error.contains("+patched x"), "{error}");
    assert_eq!(content(&before), "patched x\ny\nmain\n");
    assert!(bench.build("baseline").is_ok());
}

#[test]
fn a_failed_compilation_names_the_log_and_the_error() {
    let bench = Bench::new();
    bench.write("linux/fs/y.c", "BROKEN\n");
    let error = bench.build("patched").unwrap_err().to_string();
    assert!(error.contains("fs/y.c:1:1: error: broken"), "{error}");
    let log = error
        .split("the log is ")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .unwrap();
    assert!(fs::read_to_string(log).unwrap().contains("error: broken"));
    assert!(list(&bench.layout).is_empty());
    assert!(find(&bench.layout, "patched", Profile::Fast).is_err());
    bench.write("linux/fs/y.c", "y\n");
    assert_eq!(
        content(&bench.build("patched").unwrap()),
        "patched x\ny\nmain\n"
    );
}

#[test]
fn a_symbol_kconfig_drops_stops_the_build() {
    let bench = Bench::new();
    bench.write("linux/refuse", "");
    let error = bench.build("patched").unwrap_err().to_string();
    assert!(
        error.contains("CONFIG_EXT4_FS=y but Kconfig made it n"),
        "{error}"
    );
}

#[test]
fn ensure_brings_a_recorded_kernel_up_to_date() {
    let bench = Bench::new();
    let mut spec = bench.spec("mutant", &bench.path("linux"));
    bench.write(
        "extra/1.patch",
        "--- a/fs/y.c\n+++ b/fs/y.c\n@@ -1 +1 @@\n-y\n+mutant y\n",
    );
    spec.patches.push(bench.path("extra"));
    build(&bench.layout, &spec, &mut Silent).unwrap();
    bench.write("linux/init/main.c", "new main\n");
    let files = ensure(&bench.layout, "mutant", Profile::Fast, &mut Silent).unwrap();
    let text = fs::read_to_string(files.vmlinux.unwrap()).unwrap();
    assert_eq!(text, "patched x\nmutant y\nnew main\n");
    let error = ensure(&bench.layout, "other", Profile::Fast, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("mutant (fast)"), "{error}");
}

#[test]
fn the_extension_is_compiled_out() {
    let bench = Bench::new();
    let mut spec = BuildSpec::disabled(&bench.layout, Profile::Fast);
    spec.src = Some(bench.path("linux"));
    let built = build(&bench.layout, &spec, &mut Silent).unwrap();
    assert_eq!(content(&built), "patched x\ny\nmain\n");
    let config = fs::read_to_string(&built.config).unwrap();
    assert!(
        config.contains("# CONFIG_FUSE_BACKING is not set"),
        "{config}"
    );
    assert!(!built.extension);
    assert_eq!(built.absent, [""; 0]);
    assert!(bench.build("patched").unwrap().extension);
    // Found again by its stamp.
    assert!(!list(&bench.layout)[0].extension);
}

#[test]
fn a_kernel_without_a_bzimage_is_one_until_a_bzimage_is_wanted() {
    let bench = Bench::new();
    let mut spec = bench.spec("mutant", &bench.path("linux"));
    spec.bzimage = false;
    let built = build(&bench.layout, &spec, &mut Silent).unwrap();
    assert_eq!(built.bzimage, None);
    let mut record = Record::default();
    assert_eq!(build(&bench.layout, &spec, &mut record).unwrap(), built);
    let files = ensure(&bench.layout, "mutant", Profile::Fast, &mut record).unwrap();
    assert_eq!((files.bzimage, record.phases.len()), (None, 0));
    spec.bzimage = true;
    let built = build(&bench.layout, &spec, &mut Silent).unwrap();
    assert!(built.bzimage.unwrap().is_file());
}

/// Not a test of its own: the process that `a_killed_build_is_repaired` kills.
#[test]
#[ignore = "run by a_killed_build_is_repaired"]
fn build_until_killed() {
    let root = PathBuf::from(std::env::var_os("LOOKBACK_TEST_ROOT").unwrap());
    let layout = Layout {
        cache: root.join("cache"),
        guest_kernel: root.join("guest-kernel"),
    };
    let mut spec = BuildSpec::patched(&layout, Profile::Fast);
    spec.src = Some(root.join("linux"));
    build(&layout, &spec, &mut Silent).unwrap();
}

#[test]
fn a_killed_build_is_repaired() {
    let bench = Bench::new();
    bench.write("linux/fs/y.c", "SLOW\n");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "build_until_killed", "--ignored"])
        .env("LOOKBACK_TEST_ROOT", bench.dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let compiler = wait_for_compiler(&bench.layout.cache.join("work"));
    victim.kill().unwrap();
    assert_eq!(victim.wait().unwrap().signal(), Some(9));

    // The lock is the compiler's too: that the next build gets it proves the compiler gone.
    bench.write("linux/fs/y.c", "y\n");
    let built = bench.build("patched").unwrap();
    assert!(!is_running(&compiler));
    assert_eq!(content(&built), "patched x\ny\nmain\n");
}

/// A zombie nobody reaps yet has closed its files and runs no more.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

/// The process id the slow compilation leaves in its output tree.
fn wait_for_compiler(work: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let trees = fs::read_dir(work)
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        for tree in trees {
            if let Ok(text) = fs::read_to_string(tree.path().join("obj/slow"))
                && text.ends_with('\n')
            {
                return text.trim().to_owned();
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the compilation did not begin");
}
