//! Recordings as text and back, and what a mistake gets.

use std::path::Path;

use lookback_ops::{Line, Op, fsstress, trace};
use lookback_wire::{
    control::{Arm, Phase, Registration, Workers},
    rules::{Bytes, EntryRule, EntryType, Errno, Kind, LookupRule, Mode},
};
use proptest::{collection::vec, option, prelude::*, sample::subsequence};
use rstest::rstest;

use super::Recording;
use crate::{Library, Overrides, Server, Timeout, expiry};

fn parse(text: &str) -> Recording {
    Recording::parse(Path::new("x.trace"), text).unwrap()
}

#[test]
fn operations_alone_are_a_case() {
    let recording = parse("# as ever\ncreat a\np1: stat a -> ok\n");
    let trace = trace::parse("creat a\np1: stat a -> ok").unwrap();
    assert_eq!(
        recording,
        Recording {
            trace,
            ..Recording::default()
        }
    );
    assert_eq!(
        recording.print().unwrap(),
        "creat a 0644\np1: stat a -> ok\n"
    );
}

#[test]
fn a_file_by_hand() {
    let text = r##"
# found on a Monday
%title the id is #3 in its lower half
%seed 7 # of the load
  %arms backed
%phases warm,lower
%workers in-turn
%every 10
%balanced
%server { entry_timeout = "50ms", nodeid = 0 } # in TOML
%register { id = 2, path = "d/f" }
%lookup { path = "trap", entries = [{ type = "backing", id = 2, fd = 4294967296 }] }
%lookup { path = "fifo", kind = "fifo" }
%setup
mkdir d
creat d/f
%trace
stat @root/trap -> EIO
"##;
    let recording = parse(text);
    assert_eq!(
        recording,
        Recording {
            title: "the id is #3 in its lower half".into(),
            seed: Some(7),
            arms: vec![Arm::Backed],
            phases: vec![Phase::Warm, Phase::Lower],
            workers: Workers::InTurn,
            every: 10,
            balanced: true,
            server: Server {
                entry_timeout: Some(Timeout::from_ms(50)),
                nodeid: Some(0),
                ..Server::default()
            },
            register: vec![Registration {
                id: 2,
                path: "d/f".into()
            }],
            lookup: vec![
                LookupRule {
                    path: "trap".into(),
                    entries: Some(vec![EntryRule {
                        entry_type: EntryType(lookback_wire::fuse::ENTRY_BACKING),
                        id: Some(2),
                        fd: Some(1 << 32),
                        unused: None,
                        unused2: None,
                    }]),
                    ..LookupRule::default()
                },
                LookupRule {
                    path: "fifo".into(),
                    kind: Some(Kind::Fifo),
                    ..LookupRule::default()
                }
            ],
            setup: trace::parse("mkdir d\ncreat d/f").unwrap(),
            trace: trace::parse("stat @root/trap -> EIO").unwrap(),
            ..Recording::default()
        }
    );
    assert_eq!(parse(&recording.print().unwrap()), recording);
}

#[rstest]
#[case("%frob\nsync", "1:1: expected a directive (%title ")]
#[case("sync\n  %frob 3", "2:3: expected a directive (%title ")]
#[case("%\nsync", "1:1: expected a directive (%title ")]
#[case("%seed\nsync", "1:6: expected a number, found the end of the line")]
#[case("%seed x\nsync", "1:7: expected a number, found `x`")]
#[case("%seed -1\nsync", "1:7: expected a number, found `-1`")]
#[case("%seed 1 2\nsync", "1:9: expected the end of the line, found `2`")]
#[case(
    "%seed 1\n%seed 1\nsync",
    "2:1: expected each directive but %register and %lookup once, found `%seed`"
)]
#[case("%arms\nsync", "1:6: expected an arm, found the end of the line")]
#[case(
    "%arms backed,ext3\nsync",
    "1:14: expected an arm, found `ext3`: no arm is called \"ext3\": backed, plain, devfuse or ext4"
)]
#[case(
    "%arms backed, ext4\nsync",
    "1:15: expected the end of the line, found `ext4`"
)]
#[case(
    "%arms ext4,ext4\nsync",
    "1:12: expected each once, found `ext4` again"
)]
#[case(
    "%phases warm,hot\nsync",
    "1:14: expected a phase, or `none`, found `hot`: no phase is called \"hot\": warm, dropped, "
)]
#[case(
    "%workers alone\nsync",
    "1:10: expected in-turn, apart or free, found `alone`"
)]
#[case(
    "%every often\nsync",
    "1:8: expected a number of operations, found `often`"
)]
#[case(
    "%balanced yes\nsync",
    "1:11: expected the end of the line, found `yes`"
)]
#[case("%title \"open\nsync", "1:13: invalid basic string, expected `\"`")]
#[case(
    "%server\nsync",
    "1:8: expected a table, `{ KEY = VALUE, ... }`, found the end of the line"
)]
#[case(
    "%server { entry_timout = 0 }\nsync",
    "1:11: unknown field `entry_timout`, expected one of `negotiate`"
)]
#[case(
    "%server { entry_timeout = \"soon\" }\nsync",
    "1:27: invalid value: string \"soon\", expected a time"
)]
#[case(
    "%server { backing = 0 }\nsync",
    "1:9: lookup rule \"stack\": backing id 0 is not between 1"
)]
#[case(
    "%server entry_timeout = 0\nsync",
    "1:9: expected a table, `{ KEY = VALUE, ... }`, found `entry_timeout`"
)]
#[case(
    "%register { id = 1, path = \"\" }\nsync",
    "1:11: id 1 is the case's directory's"
)]
#[case("%register { id = 2 }\nsync", "1:11: missing field `path`")]
#[case(
    "%register { id = 2, path = \"\" }\n%register { id = 2, path = \"d\" }\nsync",
    "2:11: id 2 is registered twice"
)]
#[case(
    "%lookup { path = \"a/../b\" }\nsync",
    "1:9: lookup rule \"a/../b\": a path is relative"
)]
#[case(
    "%lookup { path = \"é\" } %arms\nsync",
    "1:24: unexpected key or value, expected newline, `#`"
)]
#[case(
    "%lookup { path = \"a\" }\n%lookup { path = \"a\" }\nsync",
    "2:9: lookup rule \"a\": a rule before it answers"
)]
#[case(
    "%lookup { path = \"a\", errno = 2 }\nsync",
    "1:31: invalid value: integer `2`, expected the name of an error"
)]
#[case(
    "%setup now\nsync\n%trace\nsync",
    "1:8: expected the end of the line, found `now`"
)]
#[case(
    "sync\n%setup\nsync",
    "2:1: expected %setup before the operations, found it behind some"
)]
#[case(
    "sync\n%trace\nsync",
    "2:1: expected %trace before the operations, found it behind some"
)]
#[case(
    "%trace\nsync\n%setup\nsync",
    "3:1: expected %setup before the operations"
)]
#[case(
    "%setup\np1: sync\n%trace\nsync",
    "2:1: expected a line without a worker: a setup has one, found `p1: sync`"
)]
#[case("%setup\nsync\n", "3:1: expected an operation, found the end")]
#[case("", "1:1: expected an operation, found the end")]
#[case("# nothing", "1:10: expected an operation, found the end")]
#[case(
    "%seed 1\n\nsync\nrename a # b\n",
    "4:10: expected a path, found the end of the line"
)]
#[case("%setup\nfrob\n%trace\nsync", "2:1: expected an operation (creat ")]
#[case(
    "stat @root/x",
    "1:1: expected a path that is on every arm of the case (there is no @root/ on plain)"
)]
#[case(
    "%root-dir\nstat @outside/x",
    "2:1: expected a path of the share, all of which is backed: with %root-dir"
)]
#[case(
    "%root-dir\n%server { backing = 2 }\nsync",
    "1:1: with %root-dir nothing is looked up"
)]
#[case("%no-daemon\nsync", "1:1: %no-daemon needs %root-dir")]
#[case("%root-dir\n%no-daemon\nsync", "2:1: %no-daemon is the arm devfuse's")]
#[case(
    "%arms devfuse,backed\n%unprivileged\nsync",
    "2:1: %unprivileged is the arm devfuse's"
)]
fn mistakes(#[case] text: &str, #[case] says: &str) {
    let error = Recording::parse(Path::new("dir/x.trace"), text).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with(&format!("dir/x.trace:{says}")), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn other_arms_are_checked_like_the_files_own() {
    let path = Path::new("x.trace");
    let text = "%arms backed\nstat @root/x";
    let arms = [Arm::Backed, Arm::Ext4];
    let error = Recording::parse_for(path, text, Some(&arms)).unwrap_err();
    assert!(error.to_string().contains("no @root/ on ext4"), "{error}");
    let recording = Recording::parse_for(path, "sync", Some(&arms)).unwrap();
    assert_eq!(recording.arms, arms);
}

#[test]
fn every_case_of_the_library_can_be_recorded() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let overrides = Overrides {
        ops: Some(100),
        ..Overrides::default()
    };
    let plans = Library::load(&directory)
        .unwrap()
        .plans(&[] as &[&str], &overrides);
    for plan in plans.unwrap() {
        let id = plan.case.id.as_str();
        let recording = Recording::of(&plan);
        assert_eq!(recording.plan(id), plan, "{id}");
        let text = recording.print().unwrap();
        let file = format!("{id}.trace");
        let read = Recording::parse(Path::new(&file), &text);
        assert_eq!(read.unwrap(), recording, "{text}");
    }
}

fn timeout() -> impl Strategy<Value = Option<Timeout>> {
    option::of((0..1_u64 << 40).prop_map(Timeout::from_ms))
}

fn server() -> impl Strategy<Value = Server> {
    let nodeid = option::of(prop_oneof![Just(0), 1_u64 << 32..1 << 40]);
    (any::<bool>(), 1_u64..1 << 31, nodeid, timeout(), timeout()).prop_map(
        |(negotiate, backing, nodeid, entry_timeout, attr_timeout)| Server {
            negotiate,
            backing,
            nodeid,
            entry_timeout,
            attr_timeout,
        },
    )
}

/// Any text that is a path's component.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{1,8}",
        1 => any::<String>().prop_map(|text| text.replace(['/', '\0'], "-")),
    ]
    .prop_filter("a name", |name| {
        !matches!(name.as_str(), "" | "." | ".." | "stack" | "outside")
    })
}

fn answer() -> impl Strategy<Value = LookupRule> {
    let entry = (
        any::<u32>(),
        option::of(0_u64..1 << 40),
        option::of(any::<u32>()),
    )
        .prop_map(|(entry_type, id, unused)| EntryRule {
            entry_type: EntryType(entry_type),
            id,
            fd: None,
            unused,
            unused2: None,
        });
    prop_oneof![
        Just(LookupRule::default()),
        vec(entry, 0..3).prop_map(|entries| LookupRule {
            entries: Some(entries),
            ..LookupRule::default()
        }),
        vec(any::<u8>(), 0..9).prop_map(|bytes| LookupRule {
            raw: Some(Bytes(bytes)),
            ..LookupRule::default()
        }),
        (1..4096_i32, 0..0o10_000_u32).prop_map(|(errno, mode)| LookupRule {
            errno: Some(Errno(errno)),
            write: Some(Errno(22)),
            mode: Some(Mode(mode)),
            ..LookupRule::default()
        }),
    ]
}

prop_compose! {
    fn recordings()(
        title in prop_oneof!["[ -~]{0,20}", any::<String>()],
        seed in option::of(any::<u64>()),
        arms in subsequence(vec![Arm::Backed, Arm::Plain, Arm::Ext4], 1..=3),
        phases in subsequence(vec![Phase::Warm, Phase::Dropped, Phase::Expired, Phase::Remounted], 0..=4),
        workers in prop_oneof![Just(Workers::InTurn), Just(Workers::Apart), Just(Workers::Free)],
        every in any::<u32>(),
        [balanced, clear] in any::<[bool; 2]>(),
        server in server(),
        answers in vec((name(), answer()), 0..3),
        register in option::of(name()),
        setup in 0_usize..5,
        ops in 1_usize..20,
        load in any::<u64>(),
    ) -> Recording {
        let lookup = answers
            .into_iter()
            .enumerate()
            .map(|(index, (name, rule))| LookupRule { path: format!("{index}{name}"), ..rule })
            .collect::<Vec<_>>();
        let register = register
            .into_iter()
            .filter(|_| server.backing != 77)
            .map(|path| Registration { id: 77, path })
            .collect();
        let mix = fsstress::Mix::default();
        let own = fsstress::Names::Own;
        let mut phases = phases;
        let rules = server.rules(&lookup).lookup;
        if expiry::check(&phases, &arms, &rules).is_err() {
            phases.retain(|phase| *phase != Phase::Expired);
        }
        let every = if workers == Workers::InTurn { every } else { 0 };
        Recording {
            title, seed, arms, phases, workers, every, balanced, clear, server, register, lookup,
            root_dir: false,
            no_daemon: false,
            unprivileged: false,
            setup: (0..setup).map(|_| Line::new(0, Op::Sync)).collect(),
            trace: fsstress::generate(load, ops, 2, own, &mix),
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(recording in recordings()) {
        let text = recording.print().unwrap();
        let read = Recording::parse(Path::new("x.trace"), &text);
        prop_assert_eq!(read.map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?, recording);
    }

    #[test]
    fn a_plan_has_all_of_it(recording in recordings()) {
        prop_assert_eq!(Recording::of(&recording.plan("a.b")), recording);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(%[a-z]{3,8}( \\PC{0,10})?\n|sync\n|\\PC{0,12}\n){0,5}") {
        if let Ok(recording) = Recording::parse(Path::new("x.trace"), &text) {
            prop_assert_eq!(parse(&recording.print().unwrap()), recording);
        }
    }
}
