//! Words as an operation that runs another one.

use super::super::args::{Args, Fault, Word};
use crate::op::Op;

/// The wrapper `word` names, if it is one. `repeat` may hold `eachalloc`, and
/// nothing else holds a wrapper.
pub(super) fn op(word: &Word, args: &mut Args) -> Result<Option<Op>, Fault> {
    let is_next = |args: &Args, text: &str| {
        let bare = args.peek().filter(|word| word.quoted.is_none());
        bare.is_some_and(|word| word.bare == text)
    };
    Ok(Some(match word.bare.as_str() {
        "repeat" => {
            let times = args.number("how often, 1 to 4294967295")?;
            if times == 0 {
                return Err(word.fault("a number of runs that is not 0"));
            }
            if is_next(args, "repeat") {
                return Err(args.next("")?.fault("an operation that is no `repeat`"));
            }
            Op::Repeat {
                times,
                op: Box::new(super::op(args)?),
            }
        }
        "eachalloc" => {
            let cold = is_next(args, "cold");
            if cold {
                args.next("")?;
            }
            if is_next(args, "repeat") || is_next(args, "eachalloc") {
                return Err(args.next("")?.fault("an operation that is no wrapper"));
            }
            Op::EachAlloc {
                cold,
                op: Box::new(super::op(args)?),
            }
        }
        _ => return Ok(None),
    }))
}
