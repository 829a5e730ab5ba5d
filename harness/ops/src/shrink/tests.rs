//! The shrinker, asked with predicates that run nothing.

use std::{cell::Cell, collections::BTreeSet, convert::Infallible};

use proptest::{collection::btree_set, prelude::*};
use rstest::rstest;

use super::*;
use crate::{
    fsstress::{Mix, Names, generate},
    op::Line,
    trace::{parse, print},
};

fn one(text: &str) -> Line {
    parse(text).unwrap().remove(0)
}

fn ok<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// The items that are needed together, and how often it was asked.
fn minimized(len: usize, needed: &BTreeSet<usize>) -> (Vec<usize>, usize) {
    let asked = Cell::new(0);
    let items: Vec<usize> = (0..len).collect();
    let left = ok(minimize(&items, |rest| {
        asked.set(asked.get() + 1);
        Ok(needed.iter().all(|item| rest.contains(item)))
    }));
    (left, asked.get())
}

#[test]
fn ten_thousand_lines_take_few_runs() {
    let needed = BTreeSet::from([3, 777, 778, 5000, 9999]);
    let (left, asked) = minimized(10_000, &needed);
    assert_eq!(left, needed.into_iter().collect::<Vec<_>>());
    assert!(asked <= 2 * 5 * 14 + 25, "{asked}");
}

#[test]
fn an_answer_that_never_comes_ends_it() {
    let mut asked = 0;
    let result = minimize(&[1, 2, 3, 4], |_| {
        asked += 1;
        Err("no guest")
    });
    assert_eq!((result, asked), (Err("no guest"), 1));
}

#[test]
fn what_is_not_monotonous_is_1_minimal_all_the_same() {
    // An even number of items, or the whole.
    let items: Vec<u32> = (0..9).collect();
    let shows = |rest: &[u32]| rest.len() % 2 == 1;
    let left = ok(minimize(&items, |rest| Ok(shows(rest))));
    assert!(shows(&left));
    for index in 0..left.len() {
        let mut rest = left.clone();
        rest.remove(index);
        assert!(!shows(&rest), "{left:?}");
    }
}

#[rstest]
#[case(1, 1)]
#[case(10_000, 1)]
#[case(10_000, 10_000)]
#[case(10_000, 4321)]
fn the_beginning_that_shows_it(#[case] len: usize, #[case] first: usize) {
    let mut asked = 0;
    let found = ok(shortest_prefix(len, |len| {
        asked += 1;
        Ok(len >= first)
    }));
    assert_eq!(found, first);
    assert!(asked <= 14, "{asked}");
}

#[test]
fn a_line_s_names_lead_to_others() {
    let lines = parse(
        "mkdir d\ncreat x\ncreat d/f\np1: open 3 d/f rdonly\np1: pread 3 off=0 len=1\n\
         pread 3 off=0 len=1\nrename x y\nstat @lower/d/f",
    );
    let found = slices(&lines.unwrap(), 7);
    assert_eq!(found, [vec![7], vec![0, 2, 3, 7], vec![0, 2, 3, 4, 7],]);
}

#[test]
fn a_renamed_directory_is_followed() {
    let lines = parse("mkdir a\nmkdir a/b\nrename a c\ncreat c/b/f\nrmdir q").unwrap();
    assert_eq!(slices(&lines, 3).last().unwrap(), &[0, 1, 2, 3]);
    assert!(slices(&lines, 5).is_empty());
}

#[test]
fn directories_moved_into_themselves_have_an_end() {
    let line = |at| format!("rename a/d{at} a\nrename a a/d{at}\n");
    let text: String = (0..60).map(line).collect();
    let lines = parse(&text).unwrap();
    assert_eq!(slices(&lines, 0).last().unwrap().len(), lines.len());
}

#[rstest]
#[case("stat a -> EIO", &["stat a"])]
#[case("repeat 9 stat a", &["stat a", "repeat 1 stat a", "repeat 4 stat a"])]
#[case("creat a 0600", &["creat a 0644"])]
#[case("creat a", &[])]
#[case("rename a b noreplace", &["rename a b"])]
#[case("open 3 f rdwr|creat|excl 0600", &["open 0 f rdwr|creat|excl 0600", "open 3 f rdwr|creat 0600"])]
#[case("write f off=9000 len=4 seed=7", &[
    "write f off=0 len=4 seed=7", "write f off=1 len=4 seed=7", "write f off=4096 len=4 seed=7",
    "write f off=9000 len=1 seed=7", "write f off=9000 len=4 seed=0",
])]
#[case("wait 50ms", &["wait 0ms", "wait 25ms"])]
#[case("chown f 1000:1000", &["chown f 0:1000", "chown f 1000:0"])]
#[case("setxattr f user.a abcd create", &["setxattr f user.a ab create", "setxattr f user.a abcd"])]
#[case("p3: stat \"a b\"", &["stat \"a b\""])]
fn simpler_lines(#[case] text: &str, #[case] some: &[&str]) {
    let line = one(text);
    let all = simpler(&line);
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    for expected in some {
        let expected = one(expected).to_string();
        assert!(all.contains(&expected), "{expected} not in {all:#?}");
    }
    assert!(!some.is_empty() || all.is_empty(), "{all:?}");
}

#[test]
fn names_become_letters() {
    let setup = parse("mkdir dir1").unwrap();
    let trace = parse("creat dir1/a\nsymlink ../dir1/file l\nlink dir1/a dir1/file").unwrap();
    let all = names(&setup, &trace);
    let shown: Vec<String> = all
        .iter()
        .map(|(setup, trace)| print(setup) + &print(trace))
        .collect();
    assert_eq!(
        shown,
        [
            "mkdir a 0755\ncreat a/b 0644\nsymlink ../a/d c\nlink a/b a/d\n",
            "mkdir b 0755\ncreat b/a 0644\nsymlink ../b/file l\nlink b/a b/file\n",
            "mkdir dir1 0755\ncreat dir1/a 0644\nsymlink ../dir1/c l\nlink dir1/a dir1/c\n",
            "creat a 0644\nsymlink ../dir1/file l\nlink a file\n",
        ]
    );
    let tidy = parse("creat a\nrename a b").unwrap();
    assert!(names(&[], &tidy).is_empty());
    let untidy = parse("creat b\nrename b a").unwrap();
    assert_eq!(
        print(&names(&[], &untidy)[0].1),
        "creat a 0644\nrename a b\n"
    );
}

#[test]
fn workers_become_one() {
    let lines =
        parse("open 3 a rdonly\np1: open 3 b rdonly\np4: fstat 3\np1: stat @fd3/x").unwrap();
    let all: Vec<String> = workers(&lines).iter().map(|lines| print(lines)).collect();
    assert_eq!(
        all,
        [
            "open 3 a rdonly\nopen 4 b rdonly\nfstat 5\nstat @fd4/x\n",
            "open 3 a rdonly\nopen 4 b rdonly\np4: fstat 3\nstat @fd4/x\n",
            "open 3 a rdonly\np1: open 3 b rdonly\nfstat 4\np1: stat @fd3/x\n",
        ]
    );
    assert_eq!(used(&lines), [0, 1, 4]);
    assert!(workers(&parse("sync").unwrap()).is_empty());
    assert_eq!(print(&workers(&parse("p2: sync").unwrap())[0]), "sync\n");
}

proptest! {
    #[test]
    fn minimal_deterministic_and_bounded(
        len in 1_usize..300,
        needed in btree_set(0_usize..300, 0..12),
    ) {
        let needed: BTreeSet<usize> = needed.into_iter().filter(|item| *item < len).collect();
        let (left, asked) = minimized(len, &needed);
        prop_assert_eq!(&left, &needed.iter().copied().collect::<Vec<_>>());
        prop_assert!(asked <= len * len + len);
        prop_assert_eq!(minimized(len, &needed), (left, asked));
    }

    #[test]
    fn simpler_lines_weigh_less_and_read_back(seed in any::<u64>()) {
        for line in generate(seed, 30, 3, Names::Shared, &Mix::default()) {
            for simpler in simpler(&line) {
                prop_assert!(weight(&simpler) < weight(&line), "{simpler} of {line}");
                prop_assert_eq!(one(&simpler.to_string()), simpler);
            }
        }
    }

    #[test]
    fn simpler_names_are_shorter(seed in any::<u64>()) {
        let trace = generate(seed, 30, 3, Names::Own, &Mix::default());
        let weight = |lines: &[Line]| {
            let paths = lines.iter().flat_map(|line| line.op.paths());
            let names: Vec<String> = paths.map(|path| path.rel.clone()).collect();
            (names.iter().map(String::len).sum::<usize>(), names)
        };
        for (_, simpler) in names(&[], &trace) {
            prop_assert!(weight(&simpler) < weight(&trace));
            prop_assert_eq!(parse(&print(&simpler)).unwrap(), simpler);
        }
    }

    #[test]
    fn a_slice_keeps_its_line(seed in any::<u64>(), target in 0_usize..60) {
        let trace = generate(seed, 60, 3, Names::Shared, &Mix::default());
        let found = slices(&trace, target);
        prop_assert!(!found.is_empty() && found.len() <= 61);
        for pair in found.windows(2) {
            prop_assert!(pair[0].iter().all(|index| pair[1].contains(index)));
        }
        prop_assert!(found.iter().all(|slice| slice.contains(&target)));
    }
}
