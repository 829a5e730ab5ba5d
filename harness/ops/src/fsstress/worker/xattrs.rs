//! Extended attributes, ACLs among them.

use rand::Rng;

use super::{Turn, path};
use crate::fsstress::mix::Kind;
use crate::fsstress::model::Node;
use crate::op::{FileOp, Op, Path, XattrFlag};

/// Names everybody may set.
const USER: [&str; 3] = ["user.a", "user.b", "user.c"];
/// Names for those with privileges.
const PRIVILEGED: [&str; 3] = ["trusted.a", "trusted.b", "security.a"];
/// The ACL that counts.
const ACCESS: &str = "system.posix_acl_access";
/// The one a directory's files begin with.
const DEFAULT: &str = "system.posix_acl_default";

/// Bytes of a value in user., at most: all of them fit anywhere.
const SMALL: usize = 200;
/// And of any other: two do not fit into ext4's one block.
const LARGE: usize = 3000;

/// POSIX_ACL_XATTR_VERSION (linux/posix_acl_xattr.h)
const VERSION: u32 = 2;
/// Tags (linux/posix_acl.h), with the rights in what follows.
const USER_OBJ: u16 = 0x01;
const NAMED_USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const NAMED_GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The id of an entry that has none.
const NOBODY: u32 = u32::MAX;

/// Tag, rights and id of an ACL's entries.
type Entries = &'static [(u16, u16, u32)];

const ACLS: [Entries; 5] = [
    // The same as a mode.
    &[
        (USER_OBJ, 6, NOBODY),
        (GROUP_OBJ, 4, NOBODY),
        (OTHER, 4, NOBODY),
    ],
    &[
        (USER_OBJ, 7, NOBODY),
        (NAMED_USER, 7, 1000),
        (GROUP_OBJ, 5, NOBODY),
        (MASK, 7, NOBODY),
        (OTHER, 0, NOBODY),
    ],
    &[
        (USER_OBJ, 6, NOBODY),
        (GROUP_OBJ, 4, NOBODY),
        (NAMED_GROUP, 6, 1001),
        (MASK, 6, NOBODY),
        (OTHER, 4, NOBODY),
    ],
    // The mask takes what the entry gives.
    &[
        (USER_OBJ, 7, NOBODY),
        (NAMED_USER, 7, 1001),
        (GROUP_OBJ, 7, NOBODY),
        (MASK, 4, NOBODY),
        (OTHER, 5, NOBODY),
    ],
    // None: removes what is there.
    &[],
];

impl Turn<'_> {
    pub(super) fn xattr(&mut self, kind: Kind) -> Op {
        let path = self.with_attributes();
        let (names, most) = match kind {
            Kind::AttrSet | Kind::AttrRemove => (PRIVILEGED, LARGE),
            _ => (USER, SMALL),
        };
        let name = self.pick(&names).to_owned();
        Op::File(match kind {
            Kind::Setfattr | Kind::AttrSet => FileOp::SetXattr {
                path,
                name,
                value: self.value(most),
                flag: self.pick(&[
                    XattrFlag::Any,
                    XattrFlag::Any,
                    XattrFlag::Any,
                    XattrFlag::Create,
                    XattrFlag::Replace,
                ]),
            },
            Kind::Getfattr => FileOp::GetXattr { path, name },
            Kind::Listfattr => FileOp::ListXattr { path },
            _ => FileOp::RemoveXattr { path, name },
        })
    }

    pub(super) fn acl(&mut self) -> Op {
        let default = self.rng.random_bool(0.3);
        let path = if default {
            path(&self.existing(Node::is_dir))
        } else {
            self.with_attributes()
        };
        let name = if default { DEFAULT } else { ACCESS }.to_owned();
        Op::File(match self.rng.random_range(0..10) {
            0..7 => FileOp::SetXattr {
                path,
                name,
                value: acl(self.pick(&ACLS)),
                flag: XattrFlag::Any,
            },
            7 => FileOp::GetXattr { path, name },
            8 => FileOp::ListXattr { path },
            _ => FileOp::RemoveXattr { path, name },
        })
    }

    fn with_attributes(&mut self) -> Path {
        path(&self.existing(Node::has_attributes))
    }

    /// Readable in a trace; short most often.
    fn value(&mut self, most: usize) -> Vec<u8> {
        let letter = self.rng.random_range(b'a'..=b'z');
        let len = match self.rng.random_range(0..10) {
            0 => 0,
            1 => self.rng.random_range(0..=most),
            _ => self.rng.random_range(1..=20),
        };
        vec![letter; len]
    }
}

/// What acl_to_xattr in linux/posix_acl_xattr.h makes of entries.
fn acl(entries: Entries) -> Vec<u8> {
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acl_is_as_the_kernel_takes_it() {
        let bytes = "0200000001000600ffffffff04000400ffffffff20000400ffffffff";
        let hex: String = acl(ACLS[0]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, bytes);
    }
}
