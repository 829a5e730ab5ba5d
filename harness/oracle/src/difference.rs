//! One difference between an arm and the reference.

use std::fmt;

use lookback_wire::control::{Arm, Phase};
use serde::{
    Deserialize, Serialize,
    de::{Error, IntoDeserializer},
};

/// Where in a case a difference showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Stage {
    /// An operation of the setup.
    Setup,
    /// An operation of the trace.
    Trace,
    /// The tree after so many operations, `after 2000`.
    After(u32),
    /// The tree, compared in this phase.
    Tree(Phase),
}

impl Stage {
    /// It in a signature: after how many operations a tree was looked at is
    /// chance.
    fn in_signature(self) -> Self {
        match self {
            Self::After(_) => Self::Tree(Phase::Warm),
            stage => stage,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup => f.write_str("setup"),
            Self::Trace => f.write_str("trace"),
            Self::After(lines) => write!(f, "after {lines}"),
            Self::Tree(phase) => phase.fmt(f),
        }
    }
}

impl From<Stage> for String {
    fn from(stage: Stage) -> Self {
        stage.to_string()
    }
}

impl TryFrom<String> for Stage {
    type Error = serde::de::value::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Some(lines) = text.strip_prefix("after ") {
            return lines.parse().map(Self::After).map_err(Error::custom);
        }
        match text.as_str() {
            "setup" => Ok(Self::Setup),
            "trace" => Ok(Self::Trace),
            phase => Phase::deserialize(phase.into_deserializer()).map(Self::Tree),
        }
    }
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// errno of an operation; `0` where it worked.
    Errno,
    /// errno of an operation whose line says what it must be (`-> EIO`).
    Expected,
    /// errno of an operation that can't end with it, whatever ran beside it.
    Impossible,
    /// Return value of an operation that worked.
    Ret,
    /// Which step of an operation failed.
    Step,
    /// The kind of thing an operation gave back.
    ValueKind,
    /// File type of st_mode.
    Type,
    /// Permission bits of st_mode.
    Mode,
    /// st_uid
    Uid,
    /// st_gid
    Gid,
    /// st_nlink
    Nlink,
    /// st_size
    Size,
    /// st_rdev
    Rdev,
    /// st_blksize
    Blksize,
    /// st_atime, where it is the same on every arm.
    Atime,
    /// st_mtime, the same.
    Mtime,
    /// st_ctime, the same.
    Ctime,
    /// st_ino changed by nothing but the phase.
    Ino,
    /// Number of bytes read.
    Length,
    /// The bytes read, or a file's whole content.
    Content,
    /// A symlink's target.
    Target,
    /// A name in a directory, in the tree, or of an extended attribute.
    Name,
    /// What an operation says in words of its own: a lock, flags, extents.
    Value,
    /// d_type of a directory entry.
    DType,
    /// d_ino of a directory entry equals st_ino.
    DIno,
    /// Which paths of the tree are links of one inode.
    HardLink,
    /// st_nlink is the number of names the tree has for it.
    Links,
    /// st_blocks, after a sync.
    Blocks,
    /// Where a file has blocks and where holes, after a sync.
    Extents,
    /// What chattr(1) sets.
    Flags,
    /// An extended attribute, or its value.
    Xattr,
    /// A POSIX ACL.
    Acl,
    /// A part of the tree could not be read.
    Unreadable,
    /// An outcome or a tree that was never reported.
    Missing,
    /// An operation this guest or arm has no means for.
    Unsupported,
    /// An operation of the setup failed on the reference itself, so that the
    /// case does not show what it is meant to.
    Setup,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// An operation of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OpRef {
    /// The worker.
    pub worker: u16,
    /// Index among this worker's lines, from 0.
    pub index: usize,
    /// Its name in the trace format.
    pub name: String,
    /// Its line in the trace format.
    pub text: String,
}

/// One difference between an arm and the reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Difference {
    /// The case.
    pub case: String,
    /// Where it showed first.
    pub stage: Stage,
    /// Later phases that show the same.
    pub also: Vec<Phase>,
    /// The arm that differs.
    pub arm: Arm,
    /// What it is compared with; the arm itself where one phase is compared with an earlier one.
    pub reference: Arm,
    /// The operation, if one gave the difference.
    pub op: Option<OpRef>,
    /// The path in the tree, or the name in the directory listed; empty for the case's directory.
    pub path: Option<String>,
    /// What differs.
    pub attribute: Attribute,
    /// What the reference says.
    pub expected: String,
    /// What the arm says.
    pub actual: String,
}

impl Difference {
    /// A name for what happened that leaves out where: two runs of one bug, and
    /// most of its further occurrences in one run, have one signature.
    ///
    /// `<operation or tree>:<attribute>[:<expected>><actual>]:<stage>:<arm>`; the values are
    /// given for error numbers only, since the others change from run to run.
    #[must_use]
    pub fn signature(&self) -> String {
        let what = self.op.as_ref().map_or("tree", |op| &op.name);
        let values = match self.attribute {
            Attribute::Impossible => format!(":{}", self.actual),
            Attribute::Errno | Attribute::Expected => format!(":{}>{}", self.expected, self.actual),
            _ => String::new(),
        };
        format!(
            "{what}:{}{values}:{}:{}",
            self.attribute,
            self.stage.in_signature(),
            self.arm
        )
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.arm, self.stage)?;
        if let Some(op) = &self.op {
            write!(
                f,
                "{} (worker {}, operation {}): ",
                op.text, op.worker, op.index
            )?;
        }
        match self.path.as_deref() {
            Some("") => f.write_str("case directory: ")?,
            Some(path) => write!(f, "{path}: ")?,
            None => {}
        }
        write!(f, "{}: {}, ", self.attribute, self.actual)?;
        if self.reference == self.arm {
            write!(f, "expected {}", self.expected)?;
        } else {
            write!(f, "{} says {}", self.reference, self.expected)?;
        }
        for (index, phase) in self.also.iter().enumerate() {
            write!(f, "{} {phase}", if index == 0 { "; also" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference() -> Difference {
        Difference {
            case: "rename.into-itself".into(),
            stage: Stage::Trace,
            also: vec![],
            arm: Arm::Backed,
            reference: Arm::Ext4,
            op: Some(OpRef {
                worker: 0,
                index: 4,
                name: "rename".into(),
                text: "rename d d/e".into(),
            }),
            path: None,
            attribute: Attribute::Errno,
            expected: "EINVAL".into(),
            actual: "ENOTEMPTY".into(),
        }
    }

    #[test]
    fn of_an_operation() {
        assert_eq!(
            difference().to_string(),
            "backed: trace: rename d d/e (worker 0, operation 4): errno: ENOTEMPTY, ext4 says EINVAL"
        );
        assert_eq!(
            difference().signature(),
            "rename:errno:EINVAL>ENOTEMPTY:trace:backed"
        );
    }

    #[test]
    fn of_a_tree() {
        let nlink = Difference {
            stage: Stage::Tree(Phase::Dropped),
            also: vec![Phase::Remounted, Phase::Lower],
            op: None,
            path: Some(String::new()),
            attribute: Attribute::Nlink,
            expected: "2".into(),
            actual: "3".into(),
            ..difference()
        };
        assert_eq!(
            nlink.to_string(),
            "backed: dropped: case directory: nlink: 3, ext4 says 2; also remounted, lower"
        );
        assert_eq!(nlink.signature(), "tree:nlink:dropped:backed");
    }

    #[test]
    fn of_a_tree_between_operations() {
        let early = Difference {
            stage: Stage::After(2000),
            ..difference()
        };
        assert!(early.to_string().starts_with("backed: after 2000: "));
        assert!(early.signature().ends_with(":warm:backed"));
    }

    #[rstest::rstest]
    #[case("cold")]
    #[case("after")]
    #[case("after soon")]
    fn other_text_is_no_stage(#[case] text: &str) {
        assert!(Stage::try_from(text.to_owned()).is_err());
    }

    #[rstest::rstest]
    #[case(Stage::Setup, "\"setup\"")]
    #[case(Stage::Trace, "\"trace\"")]
    #[case(Stage::After(2000), "\"after 2000\"")]
    #[case(Stage::Tree(Phase::Lower), "\"lower\"")]
    fn stages_are_text(#[case] stage: Stage, #[case] json: &str) {
        assert_eq!(serde_json::to_string(&stage).unwrap(), json);
        assert_eq!(serde_json::from_str::<Stage>(json).unwrap(), stage);
    }
}
