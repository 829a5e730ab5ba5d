use super::*;
use crate::{
    model::{Console, Fsck},
    testing,
};

#[test]
fn a_failed_run() {
    let mut run = testing::failed();
    run.run = "1".into();
    run.cases[0].operations = 40;
    run.cases[0].excused.insert("plain-blksize".into(), 3);
    run.boot_ms = Some(2345);
    run.total_ms = 61_999;
    run.finish();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        render(&run, Style::default()),
        format!(
            "lookback {version} · run 1 · qemu (tcg) · kernel patched 6.12.48 (fast) · seed 7\n\
             scenario  cases   passed   failed  crashed     hung  skipped  not run  operations\n\
             rename        3        1        1        0        0        1        0          40\n\
             skipped: rename.x: no\n\
             \n\
             difference in rename.into-itself\n\
             \x20 backed: trace: rename d d/e (worker 0, operation 4): errno: 0, ext4 says EINVAL\n\
             \x20   mkdir d 0755\n\
             \x20   rename d d/e\n\
             \x20 files: traces/rename.into-itself.trace\n\
             \x20 signature: rename:errno:EINVAL>0:trace:backed\n\
             \n\
             legitimate differences: plain-blksize 3\n\
             there are differences · 40 operations compared in 61.9 s, boot 2.3 s\n"
        )
    );
}

#[test]
fn no_colour_unless_asked() {
    let run = testing::failed();
    assert!(!render(&run, Style { color: false }).contains('\x1b'));
    assert!(render(&run, Style { color: true }).contains("\x1b[1;31m"));
}

#[test]
fn a_finding_takes_its_lines_and_no_more() {
    let mut run = testing::run(&[Status::Passed]);
    let mut finding = Finding::new(Kind::Crash, "oops", "BUG: unable to handle page fault");
    finding.text = (0..500).map(|n| format!("frame {n}")).collect();
    run.console.push(Console {
        finding,
        case: None,
        guest: None,
    });
    let before = render(&testing::run(&[Status::Passed]), Style::default())
        .lines()
        .count();
    let text = render(&run, Style::default());
    // Two empty lines are around it.
    assert_eq!(text.lines().count() - before - 2, MAX_LINES);
    assert!(text.contains("frame 0\n") && text.contains("lines left out"));
}

#[test]
fn what_a_guest_writes_does_not_steer_the_terminal() {
    let mut run = testing::run(&[Status::Passed]);
    run.cases[0].add(Finding::new(
        Kind::Difference,
        "s",
        "\x1b]0;title\x07\nsecond",
    ));
    let text = render(&run, Style::default());
    assert!(text.contains("\\u{1b}]0;title\\u{7}\\nsecond"), "{text}");
}

#[test]
fn one_signature_is_shown_once() {
    let mut run = testing::run(&[Status::Passed]);
    for n in 0..30 {
        run.cases[0].add(Finding::new(
            Kind::Difference,
            "same",
            format!("number {n}"),
        ));
    }
    let text = render(&run, Style::default());
    assert!(text.contains("number 0") && !text.contains("number 1\n"));
    assert!(text.contains("and 29 more like it"));
}

#[test]
fn a_finding_s_folder_is_named() {
    let mut run = testing::failed();
    run.cases[1].findings[0].folder = Some("findings/rename.into-itself-1".into());
    let text = render(&run, Style::default());
    assert!(text.contains("\n  to hand over: findings/rename.into-itself-1\n"));
}

#[test]
fn a_run_held_against_another_says_what_is_known_and_gone() {
    let mut run = testing::failed();
    let other = testing::failed();
    run.leave_out_known(&other);
    let text = render(&run, Style::default());
    assert!(text.contains("  not run    known  operations\n"));
    assert!(text.contains("1 findings are known from it, 0 signatures are gone\n"));
    assert!(!text.contains("rename d d/e"), "{text}");

    let mut run = testing::run(&[Status::Passed, Status::Passed]);
    run.cases[1].id = "rename.into-itself".into();
    run.leave_out_known(&other);
    let text = render(&run, Style::default());
    assert!(text.contains("    gone: rename.into-itself: rename:errno:EINVAL>0:trace:backed\n"));
}

#[test]
fn of_several_guests_each_thing_says_which() {
    let mut run = testing::failed();
    run.guests = 3;
    run.cases[1].guest = Some(2);
    let skipped = || FsckStatus::Skipped {
        reason: "the guest did not unmount it".into(),
    };
    for (guest, status) in [
        (1, skipped()),
        (2, FsckStatus::Clean),
        (3, FsckStatus::Clean),
        (3, FsckStatus::Errors),
    ] {
        run.fsck.push(Fsck {
            image: "lower".into(),
            guest: Some(guest),
            status,
            output: "bad\n".into(),
        });
    }
    run.finish();
    let text = render(&run, Style::default());
    assert!(text.contains("\ndifference in rename.into-itself (guest 2)\n"));
    let checks = "e2fsck lower: not run: the guest did not unmount it (guest 1)\n\
                  e2fsck lower: clean (guests 2, 3)\n\
                  e2fsck lower: errors (guest 3)\n    bad\n";
    assert!(text.contains(checks), "{text}");
    assert!(text.ends_with(", 3 guests\n"), "{text}");
}
