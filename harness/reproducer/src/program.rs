//! The whole program.

use std::collections::BTreeSet;
use std::fmt::Write;

use lookback_ops::{Base, Line};
use lookback_wire::control::Workers;

use crate::calls::Calls;
use crate::error::{Error, Unable};
use crate::expect::{Expectations, required};
use crate::literal::comment;
use crate::when::Clock;
use crate::{Input, needs, parts, tree};

/// What the head of every program says of its use.
const USAGE: &str = " * cc -Wall -Wextra -O2 -o reproducer reproducer.c
 * ./reproducer [DIRECTORY]
 *
 * DIRECTORY is an empty one on the file system under test; the current one if
 * none is given. If that file system has another one below it, LOOKBACK_LOWER
 * is the same directory there. The exit status is 0 if all is as expected, 1
 * if something differs, 2 for a bad usage, 77 if it can't be shown here.
";

/// A C program that does `input`'s operations.
///
/// # Errors
/// [`Error`]: an operation is the bench's alone, or the input does not fit together.
pub fn c_program(input: &Input<'_>) -> Result<String, Error> {
    let (lines, outcomes) = (input.trace.len(), input.expected.len());
    if outcomes != 0 && outcomes != lines {
        return Err(Error::Expected { lines, outcomes });
    }
    let mut calls = Calls::default();
    let body = Body::new(input, Clock::of(input)?, &mut calls)?;
    let code = format!("{}{}", calls.functions.join("\n"), body.text(input)?);
    let parts = parts::used(&code);
    let mut out = head(input);
    out.push_str("#define _GNU_SOURCE\n");
    for header in &parts.headers {
        let _ = writeln!(out, "#include {header}");
    }
    out.push('\n');
    let outside = if body.has_outside() {
        "outside_dir"
    } else {
        "NULL"
    };
    for (name, value) in [
        ("SLOTS", calls.slots.to_string()),
        ("HANDLES", calls.handles.to_string()),
        ("MAPS", calls.mappings.to_string()),
        ("LINES", lines.to_string()),
        ("WORKERS", body.workers.len().to_string()),
        ("OUTSIDE_DIR", outside.to_owned()),
    ] {
        if parts.text.contains(name) {
            let _ = writeln!(out, "#define {name} {value}");
        }
    }
    out.push_str(&parts.text);
    out.push_str(&code);
    Ok(out)
}

fn head(input: &Input<'_>) -> String {
    let mut out = format!(
        "// SPDX-License-Identifier: Apache-2.0 OR MIT\n/*\n * {}\n",
        comment(input.title)
    );
    for line in input.about {
        let _ = writeln!(out, "{}", format!(" * {}", comment(line)).trim_end());
    }
    let _ = write!(out, " *\n{USAGE} */\n");
    out
}

/// The operations as statements.
struct Body<'a> {
    lines: Vec<&'a Line>,
    setup: Vec<String>,
    /// One for each line of the trace.
    trace: Vec<String>,
    /// Numbers of the workers, sorted.
    workers: Vec<u16>,
    clock: Clock,
}

impl<'a> Body<'a> {
    fn new(input: &Input<'a>, clock: Clock, calls: &mut Calls) -> Result<Body<'a>, Error> {
        let call = |calls: &mut Calls, line: &Line| {
            calls
                .call(&line.op)
                .map_err(|why: Unable| Error::Operation {
                    line: line.to_string(),
                    why,
                })
        };
        calls.setup = true;
        let setup = input
            .setup
            .iter()
            .map(|line| {
                let statement = required(line, &call(calls, line)?);
                Ok(if clock.by_line {
                    format!("tick();\n\t{statement}")
                } else {
                    statement
                })
            })
            .collect::<Result<_, Error>>()?;
        calls.setup = false;
        let lines: Vec<&Line> = input.setup.iter().chain(input.trace).collect();
        let expectations = Expectations::new(lines.iter().copied(), input.own_affairs);
        let mut trace = Vec::new();
        for (index, line) in input.trace.iter().enumerate() {
            // Of what interleaves by chance nothing can be expected.
            let known = input.workers != Workers::Free;
            let expected = input.expected.get(index).and_then(Option::as_ref);
            let expected = expected.filter(|_| known);
            let call = call(calls, line)?;
            let number = index + 1;
            let begun = clock.by_line.then(|| format!("begin_line({number});"));
            let done = expectations.statement(number, line, expected, &call)?;
            let times = input.times.iter().filter(|time| time.index == index);
            let times = times.filter_map(|time| {
                expectations.time(number, line, expected, (time.stamp, time.when))
            });
            let all: Vec<_> = begun.into_iter().chain([done]).chain(times).collect();
            trace.push(all.join("\n\t"));
        }
        let workers: BTreeSet<u16> = input.trace.iter().map(|line| line.worker).collect();
        Ok(Body {
            lines,
            setup,
            trace,
            workers: workers.into_iter().collect(),
            clock,
        })
    }

    fn has_outside(&self) -> bool {
        self.lines
            .iter()
            .flat_map(|line| line.op.paths())
            .any(|path| path.base == Base::Outside)
    }

    /// Everything after the parts.
    fn text(&self, input: &Input<'_>) -> Result<String, Error> {
        let mut out = String::new();
        let marks = |lines: &[Line]| lines.iter().any(|line| needs::marks_process(&line.op));
        let setup_apart = marks(input.setup);
        if setup_apart {
            out.push_str("static void setup(void)\n{\n");
            push(&mut out, &self.setup);
            out.push_str("}\n\n");
        }
        // What a worker leaves open or changes in itself goes with it before
        // the tree is looked at.
        let forked = self.workers.len() > 1 || (!input.trees.is_empty() && marks(input.trace));
        if forked {
            for worker in 0..self.workers.len() {
                self.worker(&mut out, input, worker);
            }
        }
        out.push_str("int main(int argc, char **argv)\n{\n");
        if forked {
            let names: Vec<_> = self.workers.iter().map(|w| format!("worker_{w}")).collect();
            let _ = write!(
                out,
                "\tstatic void (*const work[WORKERS])(void) = {{ {} }};\n\n",
                names.join(", ")
            );
        }
        out.push_str("\tbegin(argc, argv);\n");
        push(&mut out, &self.needs(input));
        if setup_apart {
            out.push_str("\tapart(setup);\n");
        } else if !self.setup.is_empty() {
            out.push_str("\n\t/* Before anything is mounted */\n");
            push(&mut out, &self.setup);
        }
        out.push('\n');
        if forked {
            if let Some(first) = self.first_turn(input) {
                let _ = write!(out, "\tmake_turns();\n\tpass_turn({first});\n");
            }
            out.push_str("\trun_workers(work);\n");
        } else {
            push(&mut out, &self.trace);
        }
        if !input.trees.is_empty() {
            out.push('\n');
            if self.clock.by_line {
                out.push_str("\tbegin_line(LINES + 1);\n");
            }
            push(&mut out, &tree::statements(input.trees)?);
        }
        out.push('\n');
        if self.has_outside() {
            out.push_str("\tleave_outside();\n");
        }
        let known = !input.trees.is_empty()
            || !input.times.is_empty()
            || self
                .trace
                .iter()
                .any(|statement| !statement.starts_with("ran("));
        let otherwise = if known {
            "all as expected"
        } else {
            "no difference: if the bug is there, the kernel log says so"
        };
        let _ = write!(out, "\treturn finish(\"{otherwise}\");\n}}\n");
        Ok(out)
    }

    /// Statements that end the program where it can show nothing.
    fn needs(&self, input: &Input<'_>) -> Vec<String> {
        let mut all = Vec::new();
        let mut add = |needed: bool, name: &str| {
            if needed {
                all.push(format!("{name}();"));
            }
        };
        let roots = |check: &tree::TreeCheck| match &check.must {
            tree::Must::HaveUid(_) | tree::Must::HaveGid(_) | tree::Must::HaveXattrs(_) => true,
            // trusted.* is hidden from others than root.
            tree::Must::HaveXattr(name, _) => !name.starts_with("user."),
            _ => false,
        };
        let root = needs::root(&self.lines, input.expected)
            || tree::drops_caches(input.trees)
            || input.trees.iter().any(roots);
        add(root, "need_root");
        add(needs::tmpfile(&self.lines), "need_tmpfile");
        add(needs::xattr(&self.lines), "need_xattr");
        add(self.clock.reads, "need_relatime");
        add(self.clock.by_line, "need_fine_times");
        add(self.has_outside(), "find_outside");
        add(self.clock.by_line, "begin_lines");
        all
    }

    /// The index of the worker that begins, if they take turns.
    fn first_turn(&self, input: &Input<'_>) -> Option<usize> {
        let take_turns = input.workers == Workers::InTurn && self.workers.len() > 1;
        let first = input.trace.first().filter(|_| take_turns)?;
        self.workers.binary_search(&first.worker).ok()
    }

    fn worker(&self, out: &mut String, input: &Input<'_>, worker: usize) {
        let number = self.workers[worker];
        let _ = write!(out, "static void worker_{number}(void)\n{{\n");
        let take_turns = self.first_turn(input).is_some();
        let at = |index: usize| input.trace.get(index).map(|line| line.worker);
        for (index, statement) in self.trace.iter().enumerate() {
            if at(index) != Some(number) {
                continue;
            }
            let before = index.checked_sub(1).and_then(at);
            if take_turns && before != Some(number) {
                let _ = writeln!(out, "\tawait_turn({worker});");
            }
            let _ = writeln!(out, "\t{statement}");
            if take_turns
                && let Some(next) = at(index + 1).filter(|next| *next != number)
                && let Ok(next) = self.workers.binary_search(&next)
            {
                let _ = writeln!(out, "\tpass_turn({next});");
            }
        }
        out.push_str("}\n\n");
    }
}

fn push(out: &mut String, statements: &[String]) {
    for statement in statements {
        let _ = writeln!(out, "\t{statement}");
    }
}
