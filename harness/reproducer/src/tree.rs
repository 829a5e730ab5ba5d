//! What must hold of a tree, as C.

use lookback_ops::{
    attrs,
    tree::{Extent, Told},
};
use lookback_wire::control::Phase;

use crate::error::Error;
use crate::expect::{compared, digest_of, entry_type, error, lines, mode, rdev, time};
use crate::literal::string;
use crate::when::{Stamp, When};

/// One thing that must hold of one path in one phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeCheck {
    /// When.
    pub phase: Phase,
    /// Relative to the case's directory; empty for the directory itself.
    pub path: String,
    /// What.
    pub must: Must,
}

/// What must hold of a path. An errno stands for what could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Must {
    /// There is nothing of this name.
    BeAbsent,
    /// st_mode, type bits included.
    HaveMode(u32),
    /// st_uid
    HaveUid(u32),
    /// st_gid
    HaveGid(u32),
    /// st_nlink
    HaveNlink(u64),
    /// st_size, bytes.
    HaveSize(u64),
    /// st_rdev, major and minor.
    HaveRdev(u32, u32),
    /// st_blksize, bytes.
    HaveBlksize(u64),
    /// A time.
    HaveTime(Stamp, When),
    /// A regular file's length and the XXH3-64 of its content.
    HaveContent(u64, u64),
    /// A symlink's target.
    HaveTarget(String),
    /// Whether it is the same inode as another path of the tree.
    BeLinkOf(String, bool),
    /// An extended attribute: name, and length and XXH3-64 of its value; ENODATA
    /// for one that is not there.
    HaveXattr(String, Told<(u64, u64)>),
    /// Names of all extended attributes.
    HaveXattrs(Vec<String>),
    /// Flags of chattr(1), of which those count that can be set.
    HaveFlags(Told<u32>),
    /// st_blocks after a sync, in units of 512 bytes.
    HaveBlocks(u64),
    /// Where a regular file has blocks after a sync (FIEMAP), adjacent extents of
    /// one kind being one.
    HaveExtents(Told<Vec<Extent>>),
    /// How readdir of its directory tells it: d_type, and d_ino as st_ino.
    BeListed(u8),
}

/// The phases in the order the guest goes through them.
const PHASES: [Phase; 5] = [
    Phase::Warm,
    Phase::Dropped,
    Phase::Expired,
    Phase::Remounted,
    Phase::Lower,
];

/// Whether dropping the caches is part of it.
pub fn drops_caches(checks: &[TreeCheck]) -> bool {
    checks.iter().any(|check| check.phase != Phase::Warm)
}

/// Statements that check, each path's once.
pub fn statements(checks: &[TreeCheck]) -> Result<Vec<String>, Error> {
    if let Some(check) = checks.iter().find(|check| check.phase == Phase::Fsck) {
        return Err(Error::Fsck {
            path: check.path.clone(),
        });
    }
    let mut all = Vec::new();
    for phase in PHASES {
        let mine: Vec<_> = checks.iter().filter(|check| check.phase == phase).collect();
        if mine.is_empty() {
            continue;
        }
        all.extend(prepare(phase));
        let mut paths: Vec<_> = mine.iter().map(|check| check.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            let of_path = mine.iter().filter(|check| check.path == path);
            all.extend(block(phase, path, of_path.map(|check| &check.must)));
        }
    }
    Ok(all)
}

/// What comes before the checks of a phase.
fn prepare(phase: Phase) -> Vec<String> {
    let as_dropped = |what: &str| {
        vec![
            format!("/* {what} was seen after this. Here the caches are dropped instead. */"),
            "drop_caches();".to_owned(),
        ]
    };
    match phase {
        Phase::Warm | Phase::Fsck => Vec::new(),
        Phase::Dropped | Phase::Lower => vec!["drop_caches();".to_owned()],
        Phase::Expired => as_dropped("The end of every timeout"),
        Phase::Remounted => as_dropped("umount and mount"),
    }
}

/// The checks of one path: what lstat tells in one, the others each in its own.
fn block<'a>(phase: Phase, path: &str, musts: impl Iterator<Item = &'a Must>) -> Vec<String> {
    let place = |path: &str| {
        let base = if phase == Phase::Lower {
            "lower"
        } else {
            "arm"
        };
        format!("{base}({})", string(path.as_bytes()))
    };
    let shown = |path: &str| if path.is_empty() { "." } else { path }.to_owned();
    let check = |what: &str, name: &str, args: &[String], call: &str| {
        let what = if what.is_empty() {
            String::new()
        } else {
            format!(": {what}")
        };
        let text = format!("{phase}: {}{what}", shown(path));
        compared(name, 0, &string(text.as_bytes()), args, call)
    };
    let here = place(path);
    let lstat = format!("do_lstat({here})");
    let (mut words, mut all) = (Vec::new(), Vec::new());
    for must in musts {
        match must {
            Must::BeAbsent => all.push(check("", "expect", &["-ENOENT".into()], &lstat)),
            Must::HaveMode(bits) => words.push(mode(*bits)),
            Must::HaveUid(uid) => words.push(format!("uid {uid}")),
            Must::HaveGid(gid) => words.push(format!("gid {gid}")),
            Must::HaveNlink(n) => words.push(format!("nlink {n}")),
            Must::HaveSize(n) => words.push(format!("size {n}")),
            Must::HaveRdev(major, minor) => words.push(rdev((*major, *minor))),
            Must::HaveBlksize(n) => words.push(format!("blksize {n}")),
            Must::HaveTime(stamp, When::Set(sec, nsec)) => {
                words.push(time(stamp.name(), (*sec, *nsec)));
            }
            Must::HaveTime(stamp, when) => {
                let (name, args) = when.comparison(*stamp);
                all.push(check(stamp.name(), name, &args, &lstat));
            }
            Must::HaveContent(len, digest) => {
                // One byte more shows a file that is too long.
                let call = format!("do_read({here}, 0, {})", len.saturating_add(1));
                let args = [len.to_string(), digest_of(*digest)];
                all.push(check("content", "expect_data", &args, &call));
            }
            Must::HaveTarget(target) => {
                let args = [string(target.as_bytes()), target.len().to_string()];
                let call = format!("do_readlink({here})");
                all.push(check("target", "expect_text", &args, &call));
            }
            Must::BeLinkOf(other, one) => {
                let call = format!("do_same({here}, {})", place(other));
                let what = format!("is {}", shown(other));
                all.push(check(&what, "expect", &[u8::from(*one).to_string()], &call));
            }
            Must::HaveXattr(name, value) => {
                let call = format!("do_getxattr({here}, {})", string(name.as_bytes()));
                let (compare, args) = match value {
                    Ok((len, digest)) => ("expect_data", vec![len.to_string(), digest_of(*digest)]),
                    Err(errno) => ("expect", vec![error(*errno)]),
                };
                all.push(check(name, compare, &args, &call));
            }
            Must::HaveXattrs(names) => {
                let mut names: Vec<_> = names.iter().collect();
                names.sort();
                let bytes: usize = names.iter().map(|name| name.len() + 1).sum();
                let args = [string(lines(&names).as_bytes()), bytes.to_string()];
                let call = format!("do_listxattr({here})");
                all.push(check("xattrs", "expect_text", &args, &call));
            }
            Must::HaveFlags(flags) => {
                let settable = attrs::settable();
                let call = format!("do_settable({here}, {settable:#x})");
                let (compare, arg) = match flags {
                    Ok(bits) => ("expect_flags", format!("{:#x}", bits & settable)),
                    Err(errno) => ("expect", error(*errno)),
                };
                all.push(check("flags", compare, &[arg], &call));
            }
            Must::HaveBlocks(blocks) => {
                let call = format!("do_blocks({here})");
                all.push(check("blocks", "expect", &[blocks.to_string()], &call));
            }
            Must::HaveExtents(extents) => {
                let call = format!("do_fiemap({here})");
                let (compare, args) = match extents {
                    Ok(extents) => {
                        let shown: Vec<_> = extents.iter().map(Extent::to_string).collect();
                        let map = string(shown.join(" ").as_bytes());
                        ("expect_text", vec![map, "0".into()])
                    }
                    Err(errno) => ("expect", vec![error(*errno)]),
                };
                all.push(check("extents", compare, &args, &call));
            }
            Must::BeListed(d_type) => {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                let line = format!("{name} {}", entry_type(*d_type));
                let call = format!("do_entry({}, {})", place(parent), string(name.as_bytes()));
                let args = [string(line.as_bytes()), "0".into()];
                all.push(check("listed", "expect_text", &args, &call));
            }
        }
    }
    if !words.is_empty() {
        let args = [string(words.join(" ").as_bytes())];
        all.insert(0, check("", "expect_stat", &args, &lstat));
    }
    all
}
