//! The server side of a scenario: what the backend answers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the backend answers to LOOKUP. No rules: an ordinary virtiofs server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// The rules; the first whose path matches answers.
    pub lookup: Vec<LookupRule>,
}

/// The answer to LOOKUP of one path of the share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupRule {
    /// Path in the share, relative to its root, no leading slash.
    pub path: String,
    /// Append a BACKING entry with this id.
    pub backing: Option<u64>,
    /// Answer with this nodeid instead of the file system's (0 with a backing
    /// entry: the inode is the kernel's, never forgotten).
    pub nodeid: Option<u64>,
    /// Entry timeout in milliseconds; the file system's where absent.
    pub entry_timeout_ms: Option<u64>,
    /// Attribute timeout in milliseconds; the file system's where absent.
    pub attr_timeout_ms: Option<u64>,
}

/// A rule no LOOKUP can match, or whose answer no kernel accepts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RulesError {
    /// The path is not one a share has.
    #[error(
        "lookup rule {path:?}: a path is relative to the share's root, without empty, `.` or `..` components"
    )]
    Path {
        /// The path, as written.
        path: String,
    },
    /// Two rules for one path; the second would never answer.
    #[error("lookup rule {path:?}: there are two rules for this path")]
    Twice {
        /// The path.
        path: String,
    },
    /// The backing id is out of range.
    #[error("lookup rule {path:?}: backing id {id} is not between 1 and {max}", max = i32::MAX)]
    Id {
        /// The path.
        path: String,
        /// The id.
        id: u64,
    },
}

impl Rules {
    /// The rule that answers LOOKUP of `path` (relative to the share's root,
    /// components joined by one slash).
    pub fn find(&self, path: &[u8]) -> Option<&LookupRule> {
        self.lookup.iter().find(|rule| rule.path.as_bytes() == path)
    }

    /// Checks what the types can't say.
    ///
    /// # Errors
    /// The first rule that is wrong.
    pub fn check(&self) -> Result<(), RulesError> {
        let mut seen = BTreeSet::new();
        for rule in &self.lookup {
            let path = || rule.path.clone();
            let bad =
                |name: &str| name.is_empty() || name == "." || name == ".." || name.contains('\0');
            if rule.path.split('/').any(bad) {
                return Err(RulesError::Path { path: path() });
            }
            if !seen.insert(rule.path.as_str()) {
                return Err(RulesError::Twice { path: path() });
            }
            if let Some(id) = rule.backing
                && (id == 0 || i32::try_from(id).is_err())
            {
                return Err(RulesError::Id { path: path(), id });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn rule(path: &str) -> LookupRule {
        LookupRule {
            path: path.into(),
            ..LookupRule::default()
        }
    }

    #[test]
    fn a_rule_as_a_person_writes_it() {
        let rules: Rules = toml::from_str(
            r#"
            [[lookup]]
            path = "stack"
            backing = 1
            nodeid = 0
            entry_timeout_ms = 0

            [[lookup]]
            path = "a/b"
            attr_timeout_ms = 86_400_000
            "#,
        )
        .unwrap();
        assert_eq!(
            rules.lookup,
            [
                LookupRule {
                    backing: Some(1),
                    nodeid: Some(0),
                    entry_timeout_ms: Some(0),
                    ..rule("stack")
                },
                LookupRule {
                    attr_timeout_ms: Some(86_400_000),
                    ..rule("a/b")
                },
            ]
        );
        rules.check().unwrap();
    }

    #[rstest]
    #[case::unknown_key("[[lookup]]\npath = \"a\"\nbakcing = 1", "bakcing")]
    #[case::unknown_table("[[lokup]]\npath = \"a\"", "lokup")]
    #[case::no_path("[[lookup]]\nbacking = 1", "path")]
    #[case::negative("[[lookup]]\npath = \"a\"\nbacking = -1", "-1")]
    fn a_mistake_is_named(#[case] text: &str, #[case] names: &str) {
        let error = toml::from_str::<Rules>(text).unwrap_err().to_string();
        assert!(error.contains(names), "{error}");
    }

    #[test]
    fn no_rules_is_an_empty_file() {
        assert_eq!(toml::from_str::<Rules>("").unwrap(), Rules::default());
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
        let rules = Rules {
            lookup: vec![rule(path)],
        };
        assert_eq!(rules.check().is_ok(), good);
    }

    #[rstest]
    #[case(1, true)]
    #[case(0x7fff_ffff, true)]
    #[case(0, false)]
    #[case(0x8000_0000, false)]
    #[case(u64::MAX, false)]
    fn ids(#[case] id: u64, #[case] good: bool) {
        let rules = Rules {
            lookup: vec![LookupRule {
                backing: Some(id),
                ..rule("a")
            }],
        };
        assert_eq!(rules.check().is_ok(), good);
    }

    #[test]
    fn a_path_has_one_rule() {
        let rules = Rules {
            lookup: vec![rule("a"), rule("b"), rule("a")],
        };
        assert_eq!(rules.check(), Err(RulesError::Twice { path: "a".into() }));
    }

    #[test]
    fn only_the_whole_path_matches() {
        let rules = Rules {
            lookup: vec![rule("a/b"), rule("b")],
        };
        assert_eq!(rules.find(b"a/b"), Some(&rule("a/b")));
        assert_eq!(rules.find(b"b"), Some(&rule("b")));
        for other in [&b"a"[..], b"a/b/c", b"/b", b""] {
            assert_eq!(rules.find(other), None);
        }
    }

    proptest! {
        #[test]
        fn rules_survive_toml(
            rules in proptest::collection::vec(
                (
                    "[a-z /\"'\\\\é]{0,12}",
                    // TOML integers are signed.
                    proptest::option::of(0..=i64::MAX.unsigned_abs()),
                    proptest::option::of(0..=i64::MAX.unsigned_abs()),
                    proptest::option::of(0..=i64::MAX.unsigned_abs()),
                    proptest::option::of(0..=i64::MAX.unsigned_abs()),
                ),
                0..4,
            )
        ) {
            let lookup = rules
                .into_iter()
                .map(|(path, backing, nodeid, entry_timeout_ms, attr_timeout_ms)| LookupRule {
                    path, backing, nodeid, entry_timeout_ms, attr_timeout_ms,
                })
                .collect();
            let rules = Rules { lookup };
            let text = toml::to_string(&rules).unwrap();
            prop_assert_eq!(toml::from_str::<Rules>(&text).unwrap(), rules);
        }
    }
}
