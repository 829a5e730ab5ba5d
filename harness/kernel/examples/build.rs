//! Builds the kernel `patched`, `baseline` or `disabled`: `build NAME PROFILE [SOURCE]`.

use std::error::Error;
use std::io::Write as _;

use lookback_kernel::{BASELINE, BuildSpec, DISABLED, Layout, PATCHED, Phase, Progress, build};

struct Screen;

impl Progress for Screen {
    fn phase(&mut self, phase: Phase) {
        println!("{phase}");
    }

    fn step(&mut self, done: u64, expected: Option<u64>) {
        match expected {
            Some(expected) => print!("\r{done} of about {expected}\x1b[K"),
            None => print!("\r{done}\x1b[K"),
        }
        let _ = std::io::stdout().flush();
    }

    fn note(&mut self, text: &str) {
        println!("\r{text}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(profile)) = (args.next(), args.next()) else {
        return Err("usage: build NAME PROFILE [SOURCE]".into());
    };
    let layout = Layout::discover()?;
    let profile = profile.parse()?;
    let mut spec = BuildSpec::named(&layout, &name, profile)
        .ok_or_else(|| format!("there are {PATCHED}, {BASELINE} and {DISABLED}, not `{name}`"))?;
    spec.src = args.next().map(Into::into);
    let built = build(&layout, &spec, &mut Screen)?;
    println!("\r{} is {}", built.vmlinux.display(), built.release);
    Ok(())
}
