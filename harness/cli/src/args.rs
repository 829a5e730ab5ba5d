//! The command line.

use std::{
    ffi::OsString,
    num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize},
    path::PathBuf,
};

use clap::{Parser, Subcommand, ValueEnum};
use lookback_engine::Request;
use lookback_kernel::Profile;
use lookback_ops::fsstress::Mix;
use lookback_wire::control::{Arm, Phase, Workers};

/// A test bench for the FUSE lookup/backing extension: boots a patched guest
/// kernel, serves it a vhost-user-fs share whose LOOKUP replies name backing
/// files of the guest, and compares every result with plain ext4.
///
/// Exit status of run, fsstress and replay: 0 all hold, 1 a difference, 2 bad
/// arguments or input, 3 the guest kernel crashed, warned or leaked, 4 a hang
/// or timeout, 5 this machine can't run it.
#[derive(Debug, Parser)]
#[command(name = "lookback", version, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios in a guest and compare the arms
    Run(RunArgs),
    /// Run one generated load
    Fsstress(FsstressArgs),
    /// Run trace files
    Replay(ReplayArgs),
    /// Make a case smaller while it still shows what it showed
    Shrink(ShrinkArgs),
    /// Serve a directory over vhost-user-fs, for any front end
    Serve(ServeArgs),
    /// Build and list guest kernels
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// Run a command of this machine's on an arm in a guest, and see that its kernel stays well
    Exec(ExecArgs),
    /// Run a command of this machine's in a guest that has KVM on AMD
    Nested(NestedArgs),
    /// Measure how fast it is
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Bring known defects back one at a time, and see that they are noticed
    Mutants(MutantsArgs),
    /// List the scenarios and their cases
    List,
    /// Show a run's result again
    Report(ReportArgs),
    /// Say what this machine can run, and what it lacks
    Doctor,
}

/// What boots the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// KVM where it can run a stock kernel, else translation
    Auto,
    /// KVM, or end with 5
    Kvm,
    /// QEMU without KVM
    Qemu,
}

impl From<EngineArg> for Request {
    fn from(engine: EngineArg) -> Self {
        match engine {
            EngineArg::Auto => Request::Auto,
            EngineArg::Kvm => Request::Kvm,
            EngineArg::Qemu => Request::Qemu,
        }
    }
}

/// How the guest kernel is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileArg {
    /// Small and fast
    Fast,
    /// KASAN, lockdep, hung task detection and more
    Debug,
    /// KASAN and little else, for long runs
    Kasan,
    /// As fast, and itself a host: has KVM on AMD
    Kvm,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Fast => Profile::Fast,
            ProfileArg::Debug => Profile::Debug,
            ProfileArg::Kasan => Profile::Kasan,
            ProfileArg::Kvm => Profile::Kvm,
        }
    }
}

/// What every guest needs, and where its run is kept.
#[derive(Debug, Clone, clap::Args)]
pub struct ToolArgs {
    /// The guest agent, a static executable [default: the one built along with this program]
    #[arg(long, env = "LOOKBACK_AGENT", value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// Another QEMU, a name in $PATH or a file [default: qemu-system-x86_64]
    #[arg(long, env = "LOOKBACK_QEMU", value_name = "FILE")]
    pub qemu: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What guests run in, and where their runs are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct MachineArgs {
    /// What boots the guest
    #[arg(long, value_enum, default_value = "auto")]
    pub engine: EngineArg,
    #[command(flatten)]
    pub tools: ToolArgs,
}

/// What is booted, and by what.
#[derive(Debug, Clone, clap::Args)]
pub struct BootArgs {
    /// A kernel's name (see `lookback kernel list`), or the path of a vmlinux or bzImage
    #[arg(long, default_value = lookback_kernel::PATCHED, value_name = "NAME|FILE")]
    pub kernel: String,
    /// Which build of a named kernel
    #[arg(long, value_enum, default_value = "fast")]
    pub profile: ProfileArg,
    /// Seconds until the agent must have answered
    #[arg(long, default_value = "180", value_name = "S")]
    pub boot_timeout: NonZeroU64,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What run, fsstress and replay have in common.
#[derive(Debug, Clone, clap::Args)]
pub struct GuestArgs {
    #[command(flatten)]
    pub boot: BootArgs,
    /// Run the cases on this kernel first, and tell only what it does not show
    #[arg(long, value_name = "NAME|FILE")]
    pub against: Option<String>,
    /// Seconds a case may take [default: 300, with the debug profile 1800]
    #[arg(long, value_name = "S")]
    pub timeout: Option<NonZeroU64>,
    /// Run no case in a second guest: the first that takes its guest down is the last
    #[arg(long)]
    pub fail_fast: bool,
    /// Also write the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Where runs are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct OutputArgs {
    /// Where runs are kept [default: target/lookback of the checkout]
    #[arg(long, env = "LOOKBACK_OUTPUT", value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// Where scenarios are.
#[derive(Debug, clap::Args)]
pub struct ScenarioDirArgs {
    /// Directory of the scenario files [default: that of this repository]
    #[arg(long, value_name = "DIR")]
    pub scenario_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Scenarios, or cases as `lookback list` prints them; all scenarios if none is named
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Seed of generated loads
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub scenario_dir: ScenarioDirArgs,
    /// The arms to run on; cases that are left with nothing to compare are skipped
    #[arg(long, value_delimiter = ',', value_name = "ARM,...")]
    pub arms: Option<Vec<Arm>>,
    #[command(flatten)]
    pub guest: GuestArgs,
}

#[derive(Debug, clap::Args)]
pub struct FsstressArgs {
    /// Seed of the load
    #[arg(short, long, default_value_t = lookback_scenario::DEFAULT_SEED, value_name = "N")]
    pub seed: u64,
    /// Operations of all processes together
    #[arg(long, default_value = "10000", value_name = "N")]
    pub ops: NonZeroUsize,
    /// Loads of so many operations, one after the other, with the seeds that follow
    #[arg(long, default_value = "1", value_name = "N")]
    pub rounds: NonZeroU32,
    /// Processes
    #[arg(short, long, default_value = "1", value_name = "P")]
    pub procs: NonZeroU16,
    /// `apart`: at once, each in a directory of its own. `in-turn`: on shared names, one operation at a
    /// time, in the list's order. `free`: on shared names, at once
    #[arg(long, default_value = "apart", value_name = "HOW")]
    pub workers: Workers,
    /// Compare the trees after every N operations, too; 0 for only at the end. Only `in-turn`
    #[arg(long, default_value = "0", value_name = "N")]
    pub every: u32,
    /// Weights by fsstress's names; what is not named keeps its own, `all=0` comes before a short list
    #[arg(long, value_name = "OP=W,...")]
    pub mix: Option<Mix>,
    /// Arms to compare
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "ARM,...",
        default_value = "backed,plain,ext4"
    )]
    pub arms: Vec<Arm>,
    #[command(flatten)]
    pub guest: GuestArgs,
}

#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// Trace files: a run's, or written by hand
    #[arg(required = true, value_name = "TRACE")]
    pub traces: Vec<PathBuf>,
    /// The arms to run on, instead of the file's
    #[arg(long, value_delimiter = ',', value_name = "ARM,...")]
    pub arms: Option<Vec<Arm>>,
    /// The phases to compare the trees in, instead of the file's
    #[arg(long, value_delimiter = ',', value_name = "PHASE,...")]
    pub phases: Option<Vec<Phase>>,
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// Makes a case smaller while it still shows what it showed.
///
/// Reruns it, then without most of its operations, workers, arms, phases, rules and arguments, as
/// long as the same signature returns. Ends with 0 if it did, with 1 if all of it does not show it
/// any more.
#[derive(Debug, clap::Args)]
pub struct ShrinkArgs {
    /// A run's directory: the case of its first finding. Or a trace file
    #[arg(value_name = "RUN|TRACE")]
    pub source: PathBuf,
    /// Where the smallest so far is kept
    #[arg(short, long, value_name = "TRACE")]
    pub out: PathBuf,
    /// What has to return: a finding's signature, or a part of it [default: what explains the others]
    #[arg(long, value_name = "S")]
    pub signature: Option<String>,
    /// Where it is chance whether a run shows it: how many reruns of a candidate have to
    #[arg(long, default_value = "3", value_name = "N")]
    pub hits: NonZeroU32,
    /// Of so many
    #[arg(long, default_value = "10", value_name = "M")]
    pub of: NonZeroU32,
    /// Seconds a candidate may take at most [default: 300, with the debug profile 1800]
    #[arg(long, value_name = "S")]
    pub timeout: Option<NonZeroU64>,
    #[command(flatten)]
    pub boot: BootArgs,
}

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Socket to listen on
    #[arg(long, value_name = "SOCKET")]
    pub socket: PathBuf,
    /// Directory to serve
    #[arg(long, value_name = "DIR")]
    pub shared_dir: PathBuf,
    /// Rules for LOOKUP; an ordinary server without them
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Tag to tell the front end, if it asks
    #[arg(long)]
    pub tag: Option<String>,
    /// Refuse every change
    #[arg(long)]
    pub readonly: bool,
}

#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// Build a guest kernel, or see that nothing has changed
    Build(KernelBuildArgs),
    /// List the kernels that are built
    List,
    /// Check the series: each patch by checkpatch.pl, each prefix by building it
    Series(KernelSeriesArgs),
}

#[derive(Debug, clap::Args)]
pub struct KernelBuildArgs {
    /// `patched` (with this repository's series), `baseline` (without), `disabled` (with it, compiled
    /// out), or a name of your own
    #[arg(long, default_value = lookback_kernel::PATCHED)]
    pub name: String,
    /// How it is built
    #[arg(long, value_enum, default_value = "fast")]
    pub profile: ProfileArg,
    /// Patches on top of this repository's series: a directory's, in the order of their names, or one
    #[arg(long, value_name = "DIR|FILE")]
    pub extra_patches: Option<PathBuf>,
    /// A 6.12 source tree [default: Debian's linux-source-6.12]
    #[arg(long, env = "LINUX_SRC", value_name = "DIR")]
    pub src: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct KernelSeriesArgs {
    /// A 6.12 source tree [default: Debian's linux-source-6.12]
    #[arg(long, env = "LINUX_SRC", value_name = "DIR")]
    pub src: Option<PathBuf>,
}

/// Runs a command of this machine's on an arm in a guest, and sees that its kernel stays well.
///
/// The command starts in the arm's directory. It sees this machine's files read-only, under their
/// own paths, with /tmp and /run of its own. Standard input and signals reach it, and its status is
/// passed on, 128 and the number for a signal; 251 is said for a machine or kernel that can't do
/// it, 252 for a hang or timeout, 253 for a guest whose kernel crashed, warned or leaked, or whose
/// server or disks show that it went wrong.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
    /// The file system it runs on: backed, plain, devfuse or ext4
    #[arg(long, default_value = "backed", value_name = "ARM")]
    pub arm: Arm,
    /// What is answered to LOOKUP on backed and devfuse [default: the arm's directory is backed]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Seconds the command may take
    #[arg(long, default_value = "1800", value_name = "S")]
    pub timeout: NonZeroU64,
    #[command(flatten)]
    pub boot: BootArgs,
}

/// Runs a command of this machine's in a guest that has KVM on AMD.
///
/// The guest is QEMU's, translated, with SVM and nested paging emulated. The command sees this
/// machine's files read-only, under their own paths, with /tmp and /run of its own. Its status is
/// passed on, 128 and the number for a signal; 251 is said for a machine that can't do it, 252 for
/// a timeout, 253 for a guest whose kernel crashed or warned.
#[derive(Debug, clap::Args)]
pub struct NestedArgs {
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
    /// A directory that the command may write to, made if it is missing
    #[arg(long, value_name = "DIR")]
    pub out: Vec<PathBuf>,
    /// The guest's kernel: a name, with profile kvm, or the path of a vmlinux or bzImage
    #[arg(long, default_value = lookback_kernel::BASELINE, value_name = "NAME|FILE")]
    pub kernel: String,
    /// More parameters for the guest's kernel
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub append: String,
    /// Memory of the guest in MiB
    #[arg(long, default_value = "4096", value_name = "MIB")]
    pub memory: NonZeroU32,
    /// CPUs of the guest
    #[arg(long, default_value = "2", value_name = "N")]
    pub cpus: NonZeroU32,
    /// Seconds until the agent must have answered
    #[arg(long, default_value = "180", value_name = "S")]
    pub boot_timeout: NonZeroU64,
    /// Seconds the command may take
    #[arg(long, default_value = "1800", value_name = "S")]
    pub timeout: NonZeroU64,
    #[command(flatten)]
    pub tools: ToolArgs,
}

#[derive(Debug, clap::Args)]
pub struct MutantsArgs {
    /// Mutants, or the beginnings of their names up to a `-`; all if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Directory of the mutants [default: guest-kernel/mutants of this repository]
    #[arg(long, value_name = "DIR")]
    pub mutant_dir: Option<PathBuf>,
    #[command(flatten)]
    pub scenario_dir: ScenarioDirArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// From nothing to an agent that answers: each engine that works here, and snapshots
    Boot(BenchBootArgs),
}

#[derive(Debug, clap::Args)]
pub struct BenchBootArgs {
    /// Guests of each kind
    #[arg(long, default_value = "5", value_name = "N")]
    pub runs: NonZeroU32,
    #[command(flatten)]
    pub boot: BootArgs,
}

#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// A run's directory, or its result as JSON [default: the newest]
    #[arg(value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// Only say where its cases ended otherwise than in this run, and end with 0 if nowhere
    #[arg(long, value_name = "RUN")]
    pub compare: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}
