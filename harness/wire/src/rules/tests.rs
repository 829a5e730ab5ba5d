use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn rule(path: &str) -> LookupRule {
    LookupRule {
        path: path.into(),
        ..LookupRule::default()
    }
}

fn parse(lookup: &str) -> Rules {
    toml::from_str(lookup).unwrap()
}

/// Rules of one rule for `a`.
fn alone(keys: &str) -> Rules {
    parse(&format!("[[lookup]]\npath = \"a\"\n{keys}"))
}

#[test]
fn a_rule_as_a_person_writes_it() {
    let rules = parse(
        r#"
        [[lookup]]
        path = "stack"
        to = 1
        backing = 1
        nodeid = 0
        entry_timeout_ms = 0

        [[lookup]]
        path = "stack"
        entries = [{ type = "remove-backing" }, { type = 7, id = 1, fd = 2, unused = 3, unused2 = 4 }]

        [[lookup]]
        path = "a/b"
        kind = "symlink"
        attr_timeout_ms = 86_400_000
        raw = "0102 ff"
        mode = "0644"
        write = "EINVAL"
        "#,
    );
    let entry = |entry_type| EntryRule {
        entry_type: EntryType(entry_type),
        id: None,
        fd: None,
        unused: None,
        unused2: None,
    };
    assert_eq!(
        rules.lookup,
        [
            LookupRule {
                to: Some(1),
                backing: Some(1),
                nodeid: Some(0),
                entry_timeout_ms: Some(0),
                ..rule("stack")
            },
            LookupRule {
                entries: Some(vec![
                    entry(3),
                    EntryRule {
                        id: Some(1),
                        fd: Some(2),
                        unused: Some(3),
                        unused2: Some(4),
                        ..entry(7)
                    }
                ]),
                ..rule("stack")
            },
            LookupRule {
                kind: Some(Kind::Symlink),
                attr_timeout_ms: Some(86_400_000),
                raw: Some(Bytes(vec![1, 2, 255])),
                mode: Some(Mode(0o644)),
                write: Some(Errno(22)),
                ..rule("a/b")
            },
        ]
    );
    assert!(rules.negotiate);
    rules.check().unwrap();
}

#[rstest]
#[case::unknown_key("bakcing = 1", "bakcing")]
#[case::no_path("[[lookup]]\nbacking = 1", "path")]
#[case::negative("backing = -1", "-1")]
#[case::errno("errno = \"ENOTHING\"", "\"ENOTHING\" is no error")]
#[case::errno_zero("errno = \"0\"", "\"0\" is no error")]
#[case::errno_past_the_last("errno = \"4096\"", "\"4096\" is no error")]
#[case::errno_number("errno = 2", "the name of an error in quotes")]
#[case::mode("mode = \"0888\"", "\"0888\" is no mode")]
#[case::mode_number("mode = 644", "octal digits in quotes")]
#[case::odd_digits("raw = \"abc\"", "two for each byte")]
#[case::no_digits("raw = \"zz\"", "hexadecimal digits")]
#[case::entry_type("entries = [{ type = \"back\" }]", "\"back\" is no entry type")]
#[case::entry_without_type("entries = [{ id = 1 }]", "type")]
#[case::entry_key("entries = [{ type = 1, it = 1 }]", "it")]
#[case::kind("kind = \"socket\"", "socket")]
fn a_mistake_is_named(#[case] keys: &str, #[case] names: &str) {
    let text = format!("[[lookup]]\npath = \"a\"\n{keys}");
    let error = toml::from_str::<Rules>(&text).unwrap_err().to_string();
    assert!(error.contains(names), "{error}");
}

#[test]
fn an_unknown_table_is_named() {
    let error = toml::from_str::<Rules>("[[lokup]]\npath = \"a\"").unwrap_err();
    assert!(error.to_string().contains("lokup"), "{error}");
}

#[test]
fn no_rules_is_an_empty_file() {
    assert_eq!(parse(""), Rules::default());
    assert!(!parse("negotiate = false").negotiate);
}

#[rstest]
#[case::plain("stack", true)]
#[case::deep("a/b/c", true)]
#[case::dotted("..a/.b", true)]
#[case::empty("", false)]
#[case::absolute("/stack", false)]
#[case::trailing("stack/", false)]
#[case::double("a//b", false)]
#[case::dot("./a", false)]
#[case::dotdot("a/..", false)]
#[case::nul("a\0", false)]
fn paths(#[case] path: &str, #[case] good: bool) {
    assert_eq!(Rules::from(vec![rule(path)]).check().is_ok(), good);
}

#[rstest]
#[case::smallest_id("backing = 1", None)]
#[case::largest_id("backing = 0x7fffffff", None)]
#[case::id_zero("backing = 0", Some("backing id 0 is not between 1"))]
#[case::id_past_int("backing = 0x80000000", Some("backing id 2147483648"))]
#[case::any_id_in_entries("entries = [{ type = 1, id = 0x80000000 }]", None)]
#[case::nodeid_none("nodeid = 0", None)]
#[case::nodeid_free("nodeid = 0x100000000", None)]
#[case::nodeid_taken("nodeid = 77", Some("nodeid 77 is the file system's"))]
#[case::nodeid_last_taken("nodeid = 0xffffffff", Some("nodeid 4294967295"))]
#[case::range("from = 2\nto = 2", None)]
#[case::from_zero("from = 0", Some("from 0 to"))]
#[case::backwards("from = 3\nto = 2", Some("from 3 to 2"))]
#[case::backing_and_entries("backing = 1\nentries = []", Some("`backing` and `entries`"))]
#[case::entries_and_raw("raw = \"\"\nentries = []", Some("`entries` and `raw`"))]
#[case::errno_and_backing("backing = 1\nerrno = \"EIO\"", Some("`errno` and `backing`"))]
#[case::errno_with_length("len = 168\nerrno = \"EIO\"", None)]
#[case::delay("delay_ms = 3_600_000", None)]
#[case::long_delay("delay_ms = 3_600_001", Some("`delay_ms` is at most 3600000"))]
#[case::long("len = 0x100001", Some("`len` is at most"))]
fn values(#[case] keys: &str, #[case] wrong: Option<&str>) {
    match (alone(keys).check(), wrong) {
        (Ok(()), None) => {}
        (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{error}"),
        (result, _) => panic!("{result:?}"),
    }
}

#[rstest]
#[case::twice("a", "", "a", "", Some("a rule before it answers"))]
#[case::swallowed("a", "to = 9", "a", "from = 2\nto = 9", Some("(from 2)"))]
#[case::first_then_rest("a", "to = 1", "a", "", None)]
#[case::other_path("a", "", "b", "", None)]
#[case::one_kind("a", "to = 1\nkind = \"file\"", "a", "kind = \"file\"", None)]
#[case::said_once("a", "to = 1\nkind = \"file\"", "a", "", None)]
#[case::two_kinds(
    "a",
    "to = 1\nkind = \"file\"",
    "a",
    "kind = \"dir\"",
    Some("different `kind`")
)]
#[case::below_a_file(
    "a",
    "kind = \"file\"",
    "a/b",
    "",
    Some("\"a\" above it is no directory")
)]
#[case::above_comes_later("a/b", "", "a", "kind = \"fifo\"", Some("\"a/b\""))]
#[case::beside_a_file("a", "kind = \"file\"", "ab", "", None)]
fn two_rules(
    #[case] path: &str,
    #[case] keys: &str,
    #[case] path2: &str,
    #[case] keys2: &str,
    #[case] wrong: Option<&str>,
) {
    let rules = parse(&format!(
        "[[lookup]]\npath = \"{path}\"\n{keys}\n[[lookup]]\npath = \"{path2}\"\n{keys2}"
    ));
    match (rules.first_wrong(), wrong) {
        (None, None) => {}
        (Some((1, error)), Some(says)) => assert!(error.to_string().contains(says), "{error}"),
        (result, _) => panic!("{result:?}"),
    }
}

#[test]
fn only_the_whole_path_matches() {
    let rules = Rules::from(vec![rule("a/b"), rule("b")]);
    assert_eq!(rules.find(b"a/b", 1), Some(&rule("a/b")));
    assert_eq!(rules.find(b"b", 1), Some(&rule("b")));
    for other in [&b"a"[..], b"a/b/c", b"/b", b""] {
        assert_eq!(rules.find(other, 1), None);
    }
}

#[test]
fn each_path_is_counted_by_itself() {
    let rules = parse(
        r#"
        lookup = [
            { path = "a", to = 1, backing = 1 },
            { path = "a", from = 3, to = 4, backing = 2 },
            { path = "b", from = 2, backing = 3 },
        ]
        "#,
    );
    rules.check().unwrap();
    let mut lookups = Lookups::default();
    let mut ask = |path: &[u8]| lookups.next(&rules, path).and_then(|rule| rule.backing);
    assert_eq!(ask(b"a"), Some(1));
    assert_eq!(ask(b"b"), None);
    assert_eq!(ask(b"c"), None);
    assert_eq!(
        [ask(b"a"), ask(b"a"), ask(b"a"), ask(b"a")],
        [None, Some(2), Some(2), None]
    );
    assert_eq!([ask(b"b"), ask(b"b")], [Some(3), Some(3)]);
    assert_eq!(lookups.counts.len(), 2);
}

#[test]
fn places_are_the_paths_and_kinds() {
    let rules = parse(
        r#"
        lookup = [
            { path = "a", to = 1 },
            { path = "b" },
            { path = "a", kind = "fifo" },
        ]
        "#,
    );
    assert_eq!(rules.places(), [("a", Kind::Fifo), ("b", Kind::Dir)]);
}

fn any_rule() -> impl Strategy<Value = LookupRule> {
    // TOML integers are signed.
    let number = || proptest::option::of(0..=i64::MAX.unsigned_abs());
    let word = || proptest::option::of(any::<u32>());
    let errno = || proptest::option::of((1..4096).prop_map(Errno));
    let kind = prop_oneof![
        Just(None),
        Just(Some(Kind::File)),
        Just(Some(Kind::Dir)),
        Just(Some(Kind::Symlink)),
        Just(Some(Kind::Fifo)),
        Just(Some(Kind::Char)),
    ];
    let entry = (any::<u32>(), number(), number(), word(), number()).prop_map(
        |(entry_type, id, fd, unused, unused2)| EntryRule {
            entry_type: EntryType(entry_type),
            id,
            fd,
            unused,
            unused2,
        },
    );
    let first = (
        "[a-z /\"'\\\\é]{0,12}",
        number(),
        number(),
        kind,
        number(),
        proptest::option::of(proptest::collection::vec(entry, 0..3)),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9).prop_map(Bytes)),
    );
    let second = (word(), word(), number(), number(), number(), word());
    let third = (
        proptest::option::of((0_u32..0o200_000).prop_map(Mode)),
        errno(),
        number(),
        errno(),
    );
    (first, second, third).prop_map(
        |(
            (path, from, to, kind, backing, entries, raw),
            (len, used, nodeid, entry_timeout_ms, attr_timeout_ms, attr_flags),
            (mode, errno, delay_ms, write),
        )| LookupRule {
            path,
            from,
            to,
            kind,
            backing,
            raw,
            len,
            used,
            nodeid,
            entry_timeout_ms,
            attr_timeout_ms,
            attr_flags,
            mode,
            errno,
            delay_ms,
            write,
            entries,
        },
    )
}

proptest! {
    #[test]
    fn rules_survive_toml_and_postcard(
        lookup in proptest::collection::vec(any_rule(), 0..4), negotiate: bool,
    ) {
        let rules = Rules { negotiate, lookup };
        let text = toml::to_string(&rules).unwrap();
        prop_assert_eq!(&toml::from_str::<Rules>(&text).unwrap(), &rules);
        let bytes = postcard::to_stdvec(&rules).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Rules>(&bytes).unwrap(), rules);
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in "\\PC{0,20}") {
        let _ = (text.parse::<Errno>(), text.parse::<Mode>());
        let _ = (text.parse::<Bytes>(), text.parse::<EntryType>());
    }
}
