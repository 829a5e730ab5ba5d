//! What must hold within one tree: readdir, lstat and the names tell one story.

use std::collections::BTreeMap;

use lookback_ops::{
    Base,
    tree::{Node, Snapshot},
};
use lookback_wire::control::CasePlan;

use crate::{
    difference::Attribute,
    outcomes::type_name,
    sink::{At, Sink},
};

/// Type bits of a directory, as `st_mode >> 12` has them.
const DIRECTORY: u32 = 0o04;

/// More links than these a directory of ext4 does not count (EXT4_LINK_MAX,
/// fs/ext4/ext4.h): `ext4_inc_count` sets 1 then.
const LINK_MAX: u64 = 65_000;

/// Compares a tree with itself. `at.reference` is the arm itself.
pub(crate) fn check(sink: &mut Sink<'_>, at: At<'_>, plan: &CasePlan, tree: &Snapshot) {
    for node in tree.nodes.iter().filter(|node| !node.path.is_empty()) {
        let at = at.path(&node.path);
        let file_type = node.stat.mode >> 12;
        if u32::from(node.d_type) != file_type {
            let d_type = type_name(u32::from(node.d_type));
            sink.add(at, Attribute::DType, type_name(file_type), d_type);
        }
        if node.d_ino != node.stat.ino {
            let (expected, actual) = (node.stat.ino, node.d_ino);
            sink.add(
                at,
                Attribute::DIno,
                format!("st_ino {expected}"),
                actual.to_string(),
            );
        }
    }
    let unseen = |node: &Node| is_directory(node) && node.error.is_some();
    let elsewhere = may_leave(plan) || tree.nodes.iter().any(unseen);
    links(sink, at, elsewhere, tree);
}

/// A trace that names anything but the case's own directory may have put links
/// elsewhere, or taken some from there.
fn may_leave(plan: &CasePlan) -> bool {
    let mut paths = plan
        .setup
        .iter()
        .chain(&plan.trace)
        .flat_map(|line| line.op.paths());
    paths.any(|path| matches!(path.base, Base::Outside | Base::Root))
}

/// st_nlink is the number of names: of a file those it has in the tree, of a
/// directory its own, its `.` and one `..` for each directory in it.
/// With `elsewhere` a file may have further names that the tree does not show.
fn links(sink: &mut Sink<'_>, at: At<'_>, elsewhere: bool, tree: &Snapshot) {
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    let mut subdirectories: BTreeMap<&str, u64> = BTreeMap::new();
    for node in &tree.nodes {
        *names.entry(&node.first_link).or_default() += 1;
        if is_directory(node) && !node.path.is_empty() {
            let parent = node.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            *subdirectories.entry(parent).or_default() += 1;
        }
    }
    let count = |of: &BTreeMap<&str, u64>, path: &str| of.get(path).copied().unwrap_or(0);
    for node in tree.nodes.iter().filter(|node| node.error.is_none()) {
        let expected = if is_directory(node) {
            match 2 + count(&subdirectories, &node.path) {
                many if many > LINK_MAX => 1,
                counted => counted,
            }
        } else {
            let here = count(&names, &node.first_link);
            if elsewhere {
                here.max(node.stat.nlink)
            } else {
                here
            }
        };
        if node.stat.nlink != expected {
            let at = at.path(&node.path).nodes(node, node);
            let names = format!("{expected} for the names in the tree");
            sink.add(at, Attribute::Links, names, node.stat.nlink.to_string());
        }
    }
}

fn is_directory(node: &Node) -> bool {
    node.stat.mode >> 12 == DIRECTORY
}

#[cfg(test)]
mod tests {
    use lookback_ops::{Line, Op, Path};
    use lookback_wire::control::{Arm, Phase};
    use rstest::rstest;

    use super::*;
    use crate::{
        judge,
        testing::{agreeing, node, plan, tree},
    };

    type Change = fn(&mut Vec<Node>);

    fn found(trace: Vec<Op>, change: Change) -> Vec<(Attribute, String)> {
        let mut plan = plan(vec![], &[Phase::Warm]);
        plan.arms = vec![Arm::Ext4];
        plan.setup = trace.into_iter().map(|op| Line::new(0, op)).collect();
        let mut tree = tree();
        change(&mut tree.nodes);
        let mut run = agreeing(&plan, &[], &tree);
        let done = vec![crate::testing::outcome(lookback_ops::Value::None); plan.setup.len()];
        run.setup.insert((Arm::Ext4, 0), done);
        let differences = judge(&plan, &run).differences.into_iter();
        differences
            .map(|d| (d.attribute, d.path.unwrap_or_default()))
            .collect()
    }

    fn links(path: &str) -> Vec<(Attribute, String)> {
        vec![(Attribute::Links, path.to_owned())]
    }

    #[test]
    fn names_are_counted() {
        assert_eq!(found(vec![], |_| {}), []);
        assert_eq!(found(vec![], |t| t[1].stat.nlink = 3), links("d"));
        assert_eq!(found(vec![], |t| t[0].stat.nlink = 1), links(""));
        let fewer: Change = |t| (t[2].stat.nlink, t[3].stat.nlink) = (1, 1);
        assert_eq!(found(vec![], fewer), [links("d/f"), links("d/g")].concat());
        let more: Change = |t| (t[2].stat.nlink, t[3].stat.nlink) = (3, 3);
        assert_eq!(found(vec![], more), [links("d/f"), links("d/g")].concat());
        assert_eq!(found(vec![], |t| t[4].stat.nlink = 0), links("l"));
    }

    #[rstest]
    #[case::outside(Base::Outside, true)]
    #[case::below(Base::Lower, false)]
    fn names_can_be_elsewhere(#[case] base: Base, #[case] elsewhere: bool) {
        let stat = Op::Stat {
            path: Path {
                base,
                rel: "f".into(),
            },
        };
        let more: Change = |t| t[4].stat.nlink = 2;
        let of_more = found(vec![stat.clone()], more);
        assert_eq!(of_more.is_empty(), elsewhere);
        let fewer: Change = |t| t[4].stat.nlink = 0;
        assert_eq!(found(vec![stat], fewer), links("l"));
    }

    #[test]
    fn an_unread_directory_hides_names() {
        let unread: Change = |t| {
            t[1].error = Some(("open".into(), 13));
            t[4].stat.nlink = 2;
        };
        assert_eq!(found(vec![], unread), []);
    }

    #[rstest]
    #[case::counted(64_998, 65_000)]
    #[case::no_more(64_999, 1)]
    fn ext4_counts_so_far(#[case] subdirectories: u64, #[case] nlink: u64) {
        let mut nodes = vec![node("", 0o040_755, 2)];
        nodes[0].stat.nlink = nlink;
        for number in 0..subdirectories {
            let mut new = node(&format!("{number:05}"), 0o040_755, 10 + number);
            new.stat.nlink = 2;
            nodes.push(new);
        }
        let mut plan = plan(vec![], &[Phase::Warm]);
        plan.arms = vec![Arm::Ext4];
        let run = agreeing(&plan, &[], &Snapshot { nodes });
        assert_eq!(judge(&plan, &run).differences, []);
    }
}
