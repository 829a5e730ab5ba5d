//! A difference of each attribute, in each place where it is compared.

use std::iter;

use lookback_ops::{
    Line, Op, Outcome, StatView, Value,
    outcome::{Entry, UNSUPPORTED},
    tree::{Extent, Node, Xattr},
};

use lookback_wire::control::CLOCK_STEP;

use super::{generated::settle, *};
use crate::testing::{failed, node, stat};

/// Later than any time that `node` has, so that reading changes it no more.
const LATE: (i64, u32) = (1_800_000_000, 0);
/// Bit of `i`, which chattr(1) sets.
const IMMUTABLE: u32 = 0x10;

type Nodes<'a> = &'a mut Vec<Node>;

/// One difference, between `backed` and all the others if nothing else is said.
pub(super) enum Plant {
    /// A last operation gives `like`, and on `backed` `unlike`.
    Operation {
        like: Box<Outcome>,
        unlike: Box<Outcome>,
    },
    /// The trees' `x`, a directory with files `f` and `g`, which are one, and a
    /// symlink `l`, at [`X`], [`F`], [`G`] and [`L`].
    Tree { change: fn(Nodes<'_>) },
    /// The same on every arm, so that they agree with each other.
    EveryTree { change: fn(Nodes<'_>) },
    /// Anything else.
    Run {
        change: fn(&mut CasePlan, &mut CaseRun),
    },
}

const X: usize = 4;
const F: usize = 3;
const G: usize = 2;
const L: usize = 1;

impl Plant {
    /// Adds, to every arm alike, what the difference is going to be in.
    pub fn make_room(&self, plan: &mut CasePlan, run: &mut CaseRun) {
        if let Plant::Operation { like, .. } = self {
            plan.trace.push(Line::new(0, Op::Stat { path: path("x") }));
            for arm in plan.arms.clone() {
                run.trace
                    .entry((arm, 0))
                    .or_default()
                    .push(Outcome::clone(like));
            }
        }
        for tree in run.trees.values_mut() {
            let modes = [0o040_755, 0o100_644, 0o100_644, 0o120_777];
            let paths = ["x", "x/f", "x/g", "x/l"];
            let mut new: Vec<_> = iter::zip(paths, modes)
                .map(|(p, m)| node(p, m, 1))
                .collect();
            new[1].xattrs = Some(Ok(vec![
                xattr("system.posix_acl_access", 1),
                xattr("user.a", 1),
            ]));
            tree.nodes.extend(new);
            settle(tree);
            let count = tree.nodes.len();
            tree.nodes[count - X].stat.atime = LATE;
            tree.nodes[count - F].stat.nlink = 2;
            tree.nodes[count - G] = Node {
                path: "x/g".into(),
                ..tree.nodes[count - F].clone()
            };
        }
    }

    /// Makes the difference, in the trees from the first of `phases` on.
    pub fn put(&self, plan: &mut CasePlan, run: &mut CaseRun, phases: &[Phase]) {
        let everywhere = self.is_everywhere();
        match self {
            Plant::Operation { unlike, .. } => {
                let last = run.trace.get_mut(&(Arm::Backed, 0));
                *last.and_then(|list| list.last_mut()).unwrap() = Outcome::clone(unlike);
            }
            Plant::Tree { change } | Plant::EveryTree { change } => {
                for ((arm, phase), tree) in &mut run.trees {
                    if (*arm == Arm::Backed || everywhere) && phases.contains(phase) {
                        change(&mut tree.nodes);
                    }
                }
            }
            Plant::Run { change } => change(plan, run),
        }
    }

    fn is_everywhere(&self) -> bool {
        matches!(self, Plant::EveryTree { .. })
    }

    /// The other arms report what they would have.
    pub fn is_of_one_arm(&self) -> bool {
        matches!(self, Plant::Operation { .. } | Plant::Tree { .. })
    }
}

/// All there are: each names the next, so that none can be forgotten.
pub(super) fn every_attribute() -> impl Iterator<Item = Attribute> {
    use Attribute::*;
    iter::successors(Some(Errno), |attribute| {
        Some(match attribute {
            Errno => Expected,
            Expected => Impossible,
            Impossible => Ret,
            Ret => Step,
            Step => ValueKind,
            ValueKind => Type,
            Type => Mode,
            Mode => Uid,
            Uid => Gid,
            Gid => Nlink,
            Nlink => Size,
            Size => Rdev,
            Rdev => Blksize,
            Blksize => Atime,
            Atime => Mtime,
            Mtime => Ctime,
            Ctime => Ino,
            Ino => Length,
            Length => Content,
            Content => Target,
            Target => Name,
            Name => Value,
            Value => DType,
            DType => DIno,
            DIno => HardLink,
            HardLink => Links,
            Links => Blocks,
            Blocks => Extents,
            Extents => Flags,
            Flags => Xattr,
            Xattr => Acl,
            Acl => Unreadable,
            Unreadable => Missing,
            Missing => Unsupported,
            Unsupported => Setup,
            Setup => return None,
        })
    })
}

/// Whether a digest tells. Inode numbers are left out of it, and so is the
/// setup: what it made is in the trees.
pub(super) fn in_digest(attribute: Attribute) -> bool {
    !matches!(attribute, Attribute::Ino | Attribute::Setup)
}

/// Each way in which the attribute can differ.
pub(super) fn plants(attribute: Attribute) -> Vec<Plant> {
    match attribute {
        Attribute::Errno => vec![operation(outcome(Value::None), failed(2))],
        Attribute::Expected => vec![Plant::Run { change: unexpected }],
        Attribute::Impossible => vec![operation(outcome(Value::None), failed(524))],
        Attribute::Ret => vec![operation(
            outcome(Value::None),
            Outcome {
                ret: 3,
                ..outcome(Value::None)
            },
        )],
        Attribute::Step => vec![operation(failed(2), in_step("open"))],
        Attribute::ValueKind => vec![operation(
            outcome(Value::None),
            outcome(Value::Text(String::new())),
        )],
        Attribute::Type => vec![
            stat_data(|s| s.mode ^= 0o040_000),
            tree(|t| at(t, F).stat.mode = 0o140_644),
        ],
        Attribute::Mode => vec![
            stat_data(|s| s.mode ^= 0o4000),
            tree(|t| at(t, X).stat.mode ^= 0o1000),
        ],
        Attribute::Uid => vec![stat_data(|s| s.uid += 1), tree(|t| at(t, L).stat.uid += 1)],
        Attribute::Gid => vec![stat_data(|s| s.gid += 1), tree(|t| at(t, L).stat.gid += 1)],
        Attribute::Nlink => vec![
            stat_data(|s| s.nlink += 1),
            tree(|t| at(t, X).stat.nlink += 1),
        ],
        Attribute::Size => vec![
            stat_data(|s| s.size += 1),
            tree(|t| at(t, F).stat.size += 1),
        ],
        Attribute::Rdev => vec![
            stat_data(|s| s.rdev.1 += 1),
            tree(|t| at(t, F).stat.rdev.0 += 1),
        ],
        Attribute::Blksize => vec![
            stat_data(|s| s.blksize *= 2),
            tree(|t| at(t, F).stat.blksize /= 2),
        ],
        Attribute::Atime => vec![
            stat_data(|s| s.atime.0 += CLOCK_STEP),
            tree(|t| at(t, X).stat.atime.0 += CLOCK_STEP),
        ],
        Attribute::Mtime => vec![
            stat_data(|s| s.mtime.0 += CLOCK_STEP),
            tree(|t| at(t, F).stat.mtime.0 += CLOCK_STEP),
        ],
        Attribute::Ctime => vec![
            stat_data(|s| s.ctime.0 -= CLOCK_STEP),
            tree(|t| at(t, L).stat.ctime.0 -= CLOCK_STEP),
        ],
        Attribute::Ino => vec![tree(|t| {
            at(t, X).stat.ino = 999;
            at(t, X).d_ino = 999;
        })],
        Attribute::Length => vec![operation(data(4, 1), data(5, 2))],
        Attribute::Content => vec![
            operation(data(4, 1), data(4, 2)),
            tree(|t| at(t, F).digest = Some(8)),
            tree(|t| at(t, F).digest = None),
        ],
        Attribute::Target => vec![
            operation(
                outcome(Value::Link("a".into())),
                outcome(Value::Link("b".into())),
            ),
            tree(|t| at(t, L).target = Some("other".into())),
        ],
        Attribute::Name => vec![
            operation(entries(&["a"], 8, true), entries(&["a", "b"], 8, true)),
            operation(names(&["user.a"]), names(&[])),
            tree(|t| at(t, L).path = "x/m".into()),
            tree(|t| drop(t.pop())),
        ],
        Attribute::Value => vec![operation(
            outcome(Value::Text("rd".into())),
            outcome(Value::Text("un".into())),
        )],
        Attribute::DType => vec![
            operation(entries(&["a"], 8, true), entries(&["a"], 4, true)),
            tree(|t| at(t, F).d_type = 4),
        ],
        Attribute::DIno => vec![
            operation(entries(&["a"], 8, true), entries(&["a"], 8, false)),
            tree(|t| at(t, F).d_ino += 1),
        ],
        Attribute::HardLink => vec![tree(|t| at(t, G).first_link = "x/g".into())],
        Attribute::Links => vec![
            Plant::EveryTree {
                change: |t| at(t, X).stat.nlink += 1,
            },
            Plant::EveryTree {
                change: |t| at(t, F).stat.nlink -= 1,
            },
        ],
        Attribute::Blocks => vec![tree(|t| at(t, X).blocks += 8)],
        Attribute::Extents => vec![
            tree(|t| at(t, F).extents = Some(Ok(vec![extent(false)]))),
            tree(|t| at(t, F).extents = Some(Err(95))),
        ],
        Attribute::Flags => vec![
            tree(|t| at(t, X).flags = Some(Ok(IMMUTABLE))),
            tree(|t| at(t, F).flags = Some(Err(25))),
            tree(|t| at(t, F).flags = None),
        ],
        Attribute::Xattr => vec![
            tree(|t| own_xattrs(t).push(xattr("trusted.b", 1))),
            tree(|t| drop(own_xattrs(t).pop())),
            tree(|t| own_xattrs(t)[1].value = Ok((1, 2))),
            tree(|t| own_xattrs(t)[1].value = Err(61)),
            tree(|t| at(t, F).xattrs = Some(Err(95))),
        ],
        Attribute::Acl => vec![
            tree(|t| drop(own_xattrs(t).remove(0))),
            tree(|t| own_xattrs(t)[0].value = Ok((28, 2))),
        ],
        Attribute::Unreadable => vec![tree(|t| at(t, F).error = Some(("read".into(), 5)))],
        Attribute::Missing => vec![
            Plant::Run {
                change: |plan, run| {
                    plan.trace.push(Line::new(3, Op::Sync));
                    for arm in [Arm::Plain, Arm::Ext4] {
                        run.trace.insert((arm, 3), vec![outcome(Value::None)]);
                    }
                },
            },
            Plant::Run {
                change: |_, run| drop(run.trees.remove(&(Arm::Backed, Phase::Remounted))),
            },
        ],
        Attribute::Unsupported => vec![operation(failed(95), in_step(UNSUPPORTED))],
        Attribute::Setup => vec![Plant::Run { change: bad_setup }],
    }
}

fn operation(like: Outcome, unlike: Outcome) -> Plant {
    Plant::Operation {
        like: Box::new(like),
        unlike: Box::new(unlike),
    }
}

fn tree(change: fn(Nodes<'_>)) -> Plant {
    Plant::Tree { change }
}

fn stat_data(change: fn(&mut StatView)) -> Plant {
    let like = stat(0o100_644, 12);
    let mut unlike = like.clone();
    change(&mut unlike);
    operation(outcome(Value::Stat(like)), outcome(Value::Stat(unlike)))
}

fn in_step(step: &str) -> Outcome {
    let failed = failed(if step == UNSUPPORTED { 95 } else { 2 });
    Outcome {
        step: step.into(),
        ..failed
    }
}

fn data(len: u64, digest: u64) -> Outcome {
    outcome(Value::Data { len, digest })
}

fn entries(names: &[&str], d_type: u8, ino_agrees: bool) -> Outcome {
    let entry = |name: &&str| Entry {
        name: (*name).into(),
        d_type,
        ino_agrees,
    };
    outcome(Value::Entries(names.iter().map(entry).collect()))
}

fn names(names: &[&str]) -> Outcome {
    outcome(Value::Names(names.iter().map(|n| (*n).into()).collect()))
}

fn xattr(name: &str, digest: u64) -> Xattr {
    Xattr {
        name: name.into(),
        value: Ok((1, digest)),
    }
}

fn extent(unwritten: bool) -> Extent {
    Extent {
        offset: 0,
        length: 4096,
        unwritten,
    }
}

fn at(nodes: &mut [Node], from_end: usize) -> &mut Node {
    let index = nodes.len() - from_end;
    &mut nodes[index]
}

fn own_xattrs(nodes: &mut [Node]) -> &mut Vec<Xattr> {
    at(nodes, F).xattrs.as_mut().unwrap().as_mut().unwrap()
}

/// Every arm does what the line says but `backed`.
fn unexpected(plan: &mut CasePlan, run: &mut CaseRun) {
    let mut line = Line::new(3, Op::Stat { path: path("x") });
    line.expect = Some(2);
    plan.trace.push(line);
    for arm in plan.arms.clone() {
        let errno = if arm == Arm::Backed { 13 } else { 2 };
        run.trace.insert((arm, 3), vec![failed(errno)]);
    }
}

fn bad_setup(plan: &mut CasePlan, run: &mut CaseRun) {
    plan.arms = vec![Arm::Backed];
    plan.setup
        .push(Line::new(0, Op::Unlink { path: path("x") }));
    run.setup.insert((Arm::Backed, 0), vec![failed(2)]);
}
