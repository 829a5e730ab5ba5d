//! `lookback kernel`: build and list guest kernels.

use std::process::ExitCode;

use lookback_kernel::{BASELINE, BuildSpec, Layout, PATCHED};

use crate::{args::KernelBuildArgs, failure::Failure, progress::BuildProgress};

/// Builds a kernel, or finds that nothing has changed.
pub fn build(args: &KernelBuildArgs) -> Result<ExitCode, Failure> {
    let layout = Layout::discover()?;
    let profile = args.profile.into();
    let mut spec = match (args.name.as_str(), &args.extra_patches) {
        (PATCHED, None) => BuildSpec::patched(&layout, profile),
        (BASELINE, None) => BuildSpec::baseline(profile),
        (PATCHED | BASELINE, Some(_)) => {
            return Err(Failure::Usage(format!(
                "the kernel {} is what it always is: give one with --extra-patches a --name of \
                 its own",
                args.name
            )));
        }
        (name, Some(extra)) => {
            let series = vec![layout.patches(), extra.clone()];
            BuildSpec::new(name, profile, series)
        }
        (name, None) => {
            return Err(Failure::Usage(format!(
                "there is no recipe for a kernel `{name}`: {PATCHED}, {BASELINE}, or a name of \
                 your own with --extra-patches"
            )));
        }
    };
    spec.src.clone_from(&args.src);
    let mut progress = BuildProgress::new(&args.name);
    let built = lookback_kernel::build(&layout, &spec, &mut progress);
    progress.finish();
    let built = built?;
    println!(
        "{} ({}): Linux {}, {}",
        built.name,
        built.profile,
        built.release,
        built.bzimage.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Prints what is built.
pub fn list() -> Result<ExitCode, Failure> {
    let layout = Layout::discover()?;
    for built in lookback_kernel::list(&layout) {
        let extension = if built.extension { "extension" } else { "-" };
        println!(
            "{:<12} {:<6} {:<16} {:<10} {}",
            built.name,
            built.profile.to_string(),
            built.release,
            extension,
            built.bzimage.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}
