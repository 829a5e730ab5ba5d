//! A finding as a page to hand over: `finding.md` of its folder.

use std::fmt::Write;

use lookback_oracle::{Difference, Stage};
use lookback_wire::control::Phase;

use crate::model::{Finding, Kernel, Kind};

/// Lines of a console or of operations that are quoted.
const QUOTED: usize = 60;

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// The case it was found in.
    pub case: &'a str,
    /// What the case proves, in a line.
    pub title: &'a str,
    /// The seed, if the case's operations were generated.
    pub seed: Option<u64>,
    /// How many operations the case has.
    pub operations: usize,
    /// Version of lookback.
    pub lookback: &'a str,
    /// What booted the guest.
    pub engine: &'a str,
    /// What it booted.
    pub kernel: &'a Kernel,
    /// The files beside the page, each with what it is.
    pub files: &'a [(&'a str, &'a str)],
    /// What to type, and what it is for.
    pub commands: &'a [(String, &'a str)],
}

impl Page<'_> {
    /// The page, in Markdown.
    #[must_use]
    pub fn render(&self) -> String {
        let finding = self.finding;
        let mut out = format!("# {}\n\n", one_line(&finding.title));
        out.push_str("| | |\n|---|---|\n");
        let mut row = |what: &str, text: &str| {
            let _ = writeln!(out, "| {what} | {} |", cell(text));
        };
        row("kind", kind(finding.kind));
        row("signature", &format!("`{}`", finding.signature));
        if let Some(difference) = &finding.difference {
            for (what, text) in of_difference(difference) {
                row(what, &text);
            }
        }
        row("case", &format!("`{}`: {}", self.case, self.title));
        row("operations", &self.operations.to_string());
        if let Some(seed) = self.seed {
            row("seed", &seed.to_string());
        }
        let Kernel {
            name,
            release,
            profile,
        } = self.kernel;
        row(
            "kernel",
            &format!("{name}, Linux {release}, profile {profile}"),
        );
        row("engine", self.engine);
        row("lookback", self.lookback);

        if !finding.text.is_empty() {
            let what = match finding.kind {
                Kind::Difference => "The operations that led to it",
                Kind::Crash | Kind::Leak | Kind::Hang => "The console",
            };
            let _ = write!(out, "\n## {what}\n\n```text\n");
            for line in finding.text.iter().take(QUOTED) {
                let _ = writeln!(out, "{line}");
            }
            out.push_str("```\n");
            if finding.text.len() > QUOTED {
                let _ = writeln!(out, "\n{} more lines.", finding.text.len() - QUOTED);
            }
        }
        out.push_str("\n## To see it again\n");
        for (command, what) in self.commands {
            let _ = write!(out, "\n{what}:\n\n```sh\n{command}\n```\n");
        }
        out.push_str("\n## Files\n\n| file | what is in it |\n|---|---|\n");
        for (file, what) in self.files {
            let _ = writeln!(out, "| `{file}` | {} |", cell(what));
        }
        out
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Difference => "difference",
        Kind::Crash => "crash or warning of the guest's kernel",
        Kind::Leak => "something was not given back",
        Kind::Hang => "hang",
    }
}

fn of_difference(difference: &Difference) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("arm", difference.arm.to_string()),
        ("phase", stage(difference.stage)),
    ];
    if let Some(op) = &difference.op {
        rows.push((
            "operation",
            format!(
                "`{}` (worker {}, its line {})",
                op.text,
                op.worker,
                op.index + 1
            ),
        ));
    }
    if let Some(path) = &difference.path {
        let path = if path.is_empty() { "." } else { path };
        rows.push(("path", format!("`{path}`")));
    }
    rows.push(("what differs", difference.attribute.to_string()));
    let reference = if difference.reference == difference.arm {
        "it should be".to_owned()
    } else {
        format!("{} says", difference.reference)
    };
    rows.push(("expected", format!("{reference} `{}`", difference.expected)));
    rows.push(("seen", format!("`{}`", difference.actual)));
    rows
}

/// The stage, and where to look for what shows first in it.
fn stage(stage: Stage) -> String {
    let hint = match stage {
        Stage::Setup => "before anything is mounted over the lower ext4",
        Stage::Trace => "an operation of the trace",
        Stage::After(_) => {
            "the tree between two operations, all that is open kept open: they lie before it"
        }
        Stage::Tree(Phase::Warm) => {
            "the tree with the caches as the operations left them: a cache is wrong"
        }
        Stage::Tree(Phase::Dropped) => "the tree after drop_caches: what was read again is wrong",
        Stage::Tree(Phase::Expired) => {
            "the tree after all timeouts have passed: revalidation is wrong"
        }
        Stage::Tree(Phase::Remounted) => "the tree after umount and mount",
        Stage::Tree(Phase::Lower) => "the backing ext4 without FUSE: it is wrong on disk",
        Stage::Tree(Phase::Fsck) => "e2fsck",
    };
    format!("{stage}: {hint}")
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// Text as a table's cell has it.
fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookback_oracle::{Attribute, OpRef};
    use lookback_wire::control::Arm;

    fn page_of(finding: &Finding) -> String {
        let kernel = Kernel {
            name: "patched".into(),
            release: "6.12.1".into(),
            profile: "fast".into(),
        };
        let page = Page {
            finding,
            case: "fsstress.p4",
            title: "a load",
            seed: Some(7),
            operations: 3,
            lookback: "0.1.0",
            engine: "qemu+tcg",
            kernel: &kernel,
            files: &[("case.trace", "the operations | all")],
            commands: &[("lookback replay case.trace".into(), "Run it")],
        };
        page.render()
    }

    #[test]
    fn a_difference_says_what_and_where() {
        let difference = Difference {
            case: "fsstress.p4".into(),
            stage: Stage::Tree(Phase::Lower),
            also: vec![],
            arm: Arm::Backed,
            reference: Arm::Ext4,
            op: None,
            path: Some(String::new()),
            attribute: Attribute::Nlink,
            expected: "2".into(),
            actual: "3".into(),
        };
        let text = page_of(&Finding::of_difference(difference, vec![]));
        for row in [
            "| signature | `tree:nlink:lower:backed` |",
            "| phase | lower: the backing ext4 without FUSE: it is wrong on disk |",
            "| path | `.` |",
            "| expected | ext4 says `2` |",
            "| seen | `3` |",
            "| seed | 7 |",
            "| kernel | patched, Linux 6.12.1, profile fast |",
            "| `case.trace` | the operations \\| all |",
            "```sh\nlookback replay case.trace\n```",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
        assert!(!text.contains("The operations that led"));
    }

    #[test]
    fn an_operation_is_quoted_with_what_led_to_it() {
        let op = OpRef {
            worker: 1,
            index: 4,
            name: "rename".into(),
            text: "rename a b".into(),
        };
        let difference = Difference {
            case: "c".into(),
            stage: Stage::Trace,
            also: vec![],
            arm: Arm::Backed,
            reference: Arm::Backed,
            op: Some(op),
            path: None,
            attribute: Attribute::Expected,
            expected: "EIO".into(),
            actual: "0".into(),
        };
        let text = page_of(&Finding::of_difference(difference, vec!["creat a".into()]));
        assert!(text.contains("| operation | `rename a b` (worker 1, its line 5) |"));
        assert!(text.contains("| expected | it should be `EIO` |"));
        assert!(text.contains("## The operations that led to it\n\n```text\ncreat a\n```"));
    }

    #[test]
    fn a_long_console_is_cut_and_says_so() {
        let mut finding = Finding::new(Kind::Crash, "BUG: x in y", "BUG: x\nin y");
        finding.text = (0..QUOTED + 3).map(|n| format!("line {n}")).collect();
        let text = page_of(&finding);
        assert!(text.starts_with("# BUG: x in y\n"));
        assert!(text.contains("## The console"));
        assert!(text.contains("\n3 more lines.\n") && !text.contains(&format!("line {QUOTED}")));
    }
}
