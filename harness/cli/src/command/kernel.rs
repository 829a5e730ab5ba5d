//! `lookback kernel`: build and list guest kernels.

use std::{
    path::{self, Path, PathBuf},
    process::ExitCode,
};

use lookback_kernel::{
    BASELINE, BuildSpec, Built, CheckError, DISABLED, Layout, PATCHED, check_series,
};

use crate::{
    args::{KernelBuildArgs, KernelSeriesArgs},
    failure::Failure,
    progress::BuildProgress,
};

/// Builds a kernel, or finds that nothing has changed.
pub fn build(args: &KernelBuildArgs) -> Result<ExitCode, Failure> {
    let layout = Layout::discover()?;
    let profile = args.profile.into();
    let mut spec = match (
        BuildSpec::named(&layout, &args.name, profile),
        &args.extra_patches,
    ) {
        (Some(spec), None) => spec,
        (Some(_), Some(_)) => {
            return Err(Failure::Usage(format!(
                "the kernel {} is what it always is: give one with --extra-patches a --name of \
                 its own",
                args.name
            )));
        }
        (None, Some(extra)) => {
            let series = vec![layout.patches(), remembered(extra)?];
            BuildSpec::new(&args.name, profile, series)
        }
        (None, None) => {
            return Err(Failure::Usage(format!(
                "there is no recipe for a kernel `{}`: {PATCHED}, {BASELINE}, {DISABLED}, or a \
                 name of your own with --extra-patches",
                args.name
            )));
        }
    };
    spec.src = args.src.as_deref().map(remembered).transpose()?;
    let mut progress = BuildProgress::new(&args.name);
    let built = lookback_kernel::build(&layout, &spec, &mut progress);
    progress.finish();
    let built = built?;
    println!(
        "{} ({}): Linux {}, {}",
        built.name,
        built.profile,
        built.release,
        image(&built).display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Checks the series patch by patch; ends with 1 at the first that is not ready.
pub fn series(args: &KernelSeriesArgs) -> Result<ExitCode, Failure> {
    let layout = Layout::discover()?;
    let (mut patches, mut builds) = (0, 0);
    let mut progress = BuildProgress::quiet("series");
    let checked = check_series(
        &layout,
        args.src.as_deref(),
        None,
        &mut progress,
        &mut |patch| {
            patches += 1;
            builds += patch.builds;
            println!(
                "{}: {}; {} builds, {:.1} s",
                patch.name,
                patch.style.trim_start_matches("total: "),
                patch.builds,
                patch.took.as_secs_f64()
            );
        },
    );
    progress.finish();
    match checked {
        Ok(()) => {
            println!(
                "{patches} patches: 0 errors, 0 warnings, 0 checks; {builds} builds of fs/fuse"
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(CheckError::Build(error)) => Err(error.into()),
        Err(error) if error.is_verdict() => {
            eprintln!("lookback: {error}");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(Failure::CheckSeries(error)),
    }
}

/// A path as the cache keeps it: a later `run` brings the kernel up to date from wherever that is
/// started.
fn remembered(path: &Path) -> Result<PathBuf, Failure> {
    path::absolute(path).map_err(Failure::io("use", path))
}

/// Prints what is built.
pub fn list() -> Result<ExitCode, Failure> {
    let layout = Layout::discover()?;
    for built in lookback_kernel::list(&layout) {
        let extension = if built.extension { "extension" } else { "-" };
        println!(
            "{:<27} {:<6} {:<36} {:<10} {}",
            built.name,
            built.profile.to_string(),
            built.release,
            extension,
            image(&built).display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// What a person would copy elsewhere.
fn image(built: &Built) -> &Path {
    built.bzimage.as_ref().unwrap_or(&built.vmlinux)
}
