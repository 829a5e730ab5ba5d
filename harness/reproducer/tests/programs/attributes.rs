//! What trees must be like in attributes, flags and blocks.

use lookback_ops::tree::Extent;
use lookback_reproducer::Must;
use rstest::rstest;
use xxhash_rust::xxh3::xxh3_64;

use crate::made::looked_at;

/// An ACL that lets user 5 write: header, then tag, permissions and id of each
/// entry (linux/posix_acl_xattr.h).
const ACL: &str = "02000000\
                   01000600ffffffff0200060005000000\
                   04000400ffffffff10000600ffffffff20000400ffffffff";

fn trace() -> String {
    format!(
        "creat f 0644\nmkdir d\nmknod p fifo\nsymlink f l\n\
         setxattr f trusted.a hex:0001\nsetxattr f trusted.empty hex:\n\
         setxattr f system.posix_acl_access hex:{ACL}\nchattr f Ad"
    )
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

fn xattr(name: &str, value: &[u8]) -> Must {
    Must::HaveXattr(name.into(), Ok((value.len() as u64, xxh3_64(value))))
}

fn none(name: &str, errno: i32) -> Must {
    Must::HaveXattr(name.into(), Err(errno))
}

fn names(names: &[&str]) -> Must {
    Must::HaveXattrs(names.iter().map(|name| (*name).to_owned()).collect())
}

const ACCESS: &str = "system.posix_acl_access";

#[rstest]
#[case::value("f", xattr("trusted.a", &[0, 1]), xattr("trusted.a", &[0, 2]), "trusted.a: content: expected XXH3")]
#[case::length("f", xattr("trusted.a", &[0, 1]), xattr("trusted.a", &[0]), "trusted.a: expected 1, saw 2")]
#[case::empty("f", xattr("trusted.empty", &[]), xattr("trusted.empty", &[0]), "expected 1, saw 0")]
#[case::absent("f", none("trusted.b", libc::ENODATA), xattr("trusted.b", &[]), "expected 0, saw -61")]
#[case::present("f", xattr("trusted.a", &[0, 1]), none("trusted.a", libc::ENODATA), "expected -61 (No data available), saw 2")]
#[case::of_the_link_itself("l", none("trusted.a", libc::ENODATA), xattr("trusted.a", &[0, 1]), "expected 2, saw -61")]
#[case::acl("f", xattr(ACCESS, &bytes(ACL)), xattr(ACCESS, &bytes(&ACL.replace("05000000", "06000000"))), "system.posix_acl_access: content")]
#[case::no_acl("d", none(ACCESS, libc::ENODATA), xattr(ACCESS, &bytes(ACL)), "expected 44, saw -61")]
#[case::names("f", names(&["trusted.empty", ACCESS, "trusted.a"]), names(&[ACCESS, "trusted.a"]), "xattrs: expected ``, saw `trusted.empty`")]
#[case::no_names("d", names(&[]), names(&["trusted.a"]), "xattrs: expected `trusted.a`, saw ``")]
// What stands in the file system's own bits says nothing.
#[case::flags(
    "f",
    Must::HaveFlags(Ok(0x8_00c0)),
    Must::HaveFlags(Ok(0x40)),
    "flags: expected 0x40, saw 0xc0"
)]
#[case::no_flags(
    "d",
    Must::HaveFlags(Ok(0)),
    Must::HaveFlags(Ok(0x10)),
    "flags: expected 0x10, saw 0"
)]
#[case::flags_refused(
    "x",
    Must::HaveFlags(Err(libc::ENOENT)),
    Must::HaveFlags(Ok(0)),
    "flags: expected 0, saw -2 (No such file or directory) at open"
)]
#[case::flags_errno(
    "f",
    Must::HaveFlags(Ok(0xc0)),
    Must::HaveFlags(Err(libc::ENOTTY)),
    "flags: expected -25"
)]
#[case::extents_refused("p", Must::HaveExtents(Err(libc::EOPNOTSUPP)), Must::HaveExtents(Ok(vec![])), "extents: expected 0, saw -95")]
fn an_attribute_that_differs_shows(
    #[case] path: &str,
    #[case] right: Must,
    #[case] wrong: Must,
    #[case] shown: &str,
) {
    says(&trace(), path, &right, &wrong, shown);
}

/// Compares as `right` does, and shows what `wrong` does not have.
fn says(trace: &str, path: &str, right: &Must, wrong: &Must, shown: &str) {
    let (status, said) = looked_at(trace, path, right);
    assert!(status.is_none_or(|status| status == 0), "{said}");
    let (status, said) = looked_at(trace, path, wrong);
    assert!(status.is_none_or(|status| status == 1), "{said}");
    let differs = said.lines().find(|line| line.starts_with("DIFFERS"));
    let found = differs.is_some_and(|line| line.contains(shown));
    assert!(status.is_none() || found, "{said}");
}

/// Written, then a hole, then allocated and never written.
const BLOCKS: &str = "creat f\nwrite f len=8192 seed=1\nwrite f off=8192 len=4096\n\
                      fallocate f off=16384 len=8192";

fn map(extents: &[(u64, u64, bool)]) -> Must {
    let extent = |(offset, length, unwritten): &(u64, u64, bool)| Extent {
        offset: *offset,
        length: *length,
        unwritten: *unwritten,
    };
    Must::HaveExtents(Ok(extents.iter().map(extent).collect()))
}

#[rstest]
#[case::length(&[(0, 8192, false), (16384, 8192, true)])]
#[case::written(&[(0, 12288, false), (16384, 8192, false)])]
#[case::hole(&[(0, 12288, false)])]
#[case::none(&[])]
fn extents_that_differ_show(#[case] wrong: &[(u64, u64, bool)]) {
    let right = map(&[(0, 12288, false), (16384, 8192, true)]);
    let (_, said) = looked_at(BLOCKS, "f", &right);
    if said.contains("saw -95 (Operation not supported) at ioctl") {
        // tmpfs has none: that is then what is expected.
        let none = Must::HaveExtents(Err(libc::EOPNOTSUPP));
        says(BLOCKS, "f", &none, &map(wrong), "saw -95");
        return;
    }
    let shown = "warm: f: extents: expected `";
    says(BLOCKS, "f", &right, &map(wrong), shown);
    let refused = Must::HaveExtents(Err(libc::EOPNOTSUPP));
    says(
        BLOCKS,
        "f",
        &right,
        &refused,
        "expected -95 (Operation not supported), saw 0",
    );
}

#[test]
fn blocks_that_differ_show() {
    let (right, wrong) = (Must::HaveBlocks(40), Must::HaveBlocks(24));
    says(
        BLOCKS,
        "f",
        &right,
        &wrong,
        "warm: f: blocks: expected 24, saw 40",
    );
    let lost = Must::HaveBlocks(0);
    let shown = "blocks: expected 0, saw -2 (No such file or directory)";
    says(BLOCKS, "x", &Must::BeAbsent, &lost, shown);
}
