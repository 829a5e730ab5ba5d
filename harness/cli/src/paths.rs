//! Where this program's own files are.

use std::{
    env,
    path::{self, Path, PathBuf},
};

use crate::{
    args::{OutputArgs, ScenarioDirArgs},
    failure::Failure,
};

/// The checkout around the current directory, else the one this program was
/// compiled in.
pub fn checkout() -> Result<PathBuf, Failure> {
    let layout = lookback_kernel::Layout::discover()?;
    layout
        .guest_kernel
        .parent()
        .map(Path::to_owned)
        .ok_or_else(|| lookback_kernel::LayoutError::NoSeries(layout.guest_kernel.clone()).into())
}

/// Where the scenario files are: where asked for, else those of the checkout.
pub fn scenarios(asked: &ScenarioDirArgs) -> Result<PathBuf, Failure> {
    match &asked.scenario_dir {
        Some(directory) => Ok(directory.clone()),
        None => Ok(checkout()?.join("scenarios")),
    }
}

/// Where runs are kept: where asked for, else `target/lookback` of the checkout.
pub fn output(asked: &OutputArgs) -> Result<PathBuf, Failure> {
    match &asked.output {
        Some(path) => path::absolute(path).map_err(Failure::io("use the directory", path)),
        None => Ok(checkout()?.join("target/lookback")),
    }
}

/// The guest's agent: the one asked for, else the one `make` builds along with
/// this program.
pub fn agent(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = asked {
        return match path.metadata() {
            Ok(_) => Ok(path.to_owned()),
            Err(error) => Err(Failure::Usage(format!(
                "cannot read the guest agent {}: {error}",
                path.display()
            ))),
        };
    }
    let built = Path::new("target/x86_64-unknown-linux-gnu/release/lookback-agent");
    let here = env::current_exe().ok().and_then(|exe| {
        Some(
            exe.parent()?
                .join("../x86_64-unknown-linux-gnu/release/lookback-agent"),
        )
    });
    let path = here
        .filter(|path| path.is_file())
        .map_or_else(|| Ok(checkout()?.join(built)), Ok::<_, Failure>)?;
    if path.is_file() {
        Ok(path)
    } else {
        Err(Failure::Agent(format!(
            "the guest agent {} is not built: `make build`",
            path.display()
        )))
    }
}
