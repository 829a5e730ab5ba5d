//! Says which engine `--engine auto` takes here, and why.

use std::time::Instant;

use lookback_engine::{Error, Request, choose};

fn main() -> Result<(), Error> {
    let start = Instant::now();
    let choice = choose(Request::Auto, None)?;
    println!(
        "{} (decided in {:.3} s)",
        choice.why,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
