//! Builds the kernel `patched` or `baseline`: `build NAME PROFILE [SOURCE]`.

use std::error::Error;
use std::io::Write as _;

use lookback_kernel::{BASELINE, BuildSpec, Layout, PATCHED, Phase, Progress, build};

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
    let mut spec = match name.as_str() {
        PATCHED => BuildSpec::patched(&layout, profile),
        BASELINE => BuildSpec::baseline(profile),
        other => return Err(format!("there are {PATCHED} and {BASELINE}, not `{other}`").into()),
    };
    spec.src = args.next().map(Into::into);
    let built = build(&layout, &spec, &mut Screen)?;
    println!("\r{} is {}", built.bzimage.display(), built.release);
    Ok(())
}
