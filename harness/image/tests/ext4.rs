//! Images made from the repository's recipe by the installed e2fsprogs.

#![allow(clippy::expect_used, reason = "the helpers of a test may fail it")]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use lookback_image::{Ext4Error, Ext4Spec, FsckError, e2fsck, ext4_pair};
use rstest::rstest;

fn recipe() -> Ext4Spec {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images/ext4.toml");
    Ext4Spec::read(&path).expect("the repository's recipe")
}

/// The superblock begins at byte 1024; label at 0x78, checksum at 0x3fc.
fn superblock_without_label(image: &Path) -> Vec<u8> {
    let mut block = vec![0; 1024];
    let image = File::open(image).expect("an image");
    image.read_exact_at(&mut block, 1024).expect("a superblock");
    block[0x78..0x88].fill(0);
    block[0x3fc..].fill(0);
    block
}

#[test]
fn the_pair_is_alike_sparse_clean_and_quickly_made() {
    let dir = tempfile::tempdir().unwrap();
    let spec = recipe();
    let begun = Instant::now();
    let pair = ext4_pair(dir.path(), &spec).unwrap();
    let took = begun.elapsed();
    assert_eq!(
        superblock_without_label(&pair.lower),
        superblock_without_label(&pair.ext4)
    );
    for image in [&pair.lower, &pair.ext4] {
        let meta = fs::metadata(image).unwrap();
        assert_eq!(meta.len(), spec.size_mib << 20);
        assert!(
            meta.blocks() * 512 < meta.len() / 4,
            "{} blocks of 512",
            meta.blocks()
        );
        let report = e2fsck(image).unwrap();
        assert!(report.clean, "{}", report.text);
    }
    // Generous: other work may have the machine.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_second_pair_has_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spec = recipe();
    spec.size_mib = 64;
    spec.inodes = 1024;
    spec.journal_mib = 4;
    let (one, two) = (
        ext4_pair(one.path(), &spec).unwrap(),
        ext4_pair(two.path(), &spec).unwrap(),
    );
    assert!(fs::read(one.lower).unwrap() == fs::read(two.lower).unwrap());
    assert!(fs::read(one.ext4).unwrap() == fs::read(two.ext4).unwrap());
}

/// Offsets into the superblock: free blocks at 0x0c; RECOVER, 0x4, among the incompatible features
/// at 0x60; and, in the block after it, the first group's block bitmap. No checksum tells.
#[rstest]
#[case::free_blocks(0x0c, 0xff)]
#[case::not_unmounted(0x60, 0x04)]
#[case::group_descriptor(4096 - 1024, 0xff)]
fn damage_is_reported(#[case] offset: u64, #[case] bits: u8) {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = recipe();
    spec.features.retain(|feature| feature != "metadata_csum");
    let pair = ext4_pair(dir.path(), &spec).unwrap();
    let image = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pair.lower)
        .unwrap();
    let mut byte = [0];
    image.read_exact_at(&mut byte, 1024 + offset).unwrap();
    assert_ne!(byte[0] & bits, bits);
    byte[0] |= bits;
    image.write_all_at(&byte, 1024 + offset).unwrap();
    let report = e2fsck(&pair.lower).unwrap();
    assert!(!report.clean, "{}", report.text);
    assert!(!report.complaints.is_empty());
    assert_eq!(report.unrecovered, offset == 0x60, "{}", report.text);
}

#[test]
fn no_file_system_is_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("lower.img");
    for content in [None, Some(vec![0; 1 << 20])] {
        if let Some(content) = content {
            fs::write(&image, content).unwrap();
        }
        let error = e2fsck(&image).unwrap_err();
        assert!(matches!(error, FsckError::NoVerdict { .. }), "{error}");
        assert!(error.to_string().contains("lower.img"), "{error}");
    }
}

#[test]
fn a_refusal_of_mkfs_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = recipe();
    spec.features.push("teleport".to_owned());
    let error = ext4_pair(dir.path(), &spec).unwrap_err();
    assert!(matches!(&error, Ext4Error::Mkfs { .. }), "{error}");
    assert!(error.to_string().contains("teleport"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[rstest]
#[case("size_mib = 512", "size_mib = 0", "size_mib")]
#[case("block_size = 4096", "block_size = 512", "block_size")]
#[case("\"extent\"", "\"^extent\"", "features")]
#[case("000000000001", "1", "uuid")]
#[case("inodes = 65536", "inode = 65536", "unknown field `inode`")]
#[case("inodes = 65536", "inodes = ", "ext4.toml")]
fn a_wrong_recipe_is_explained(#[case] from: &str, #[case] to: &str, #[case] told: &str) {
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images/ext4.toml");
    let text = fs::read_to_string(good).unwrap();
    assert!(text.contains(from));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ext4.toml");
    fs::write(&path, text.replace(from, to)).unwrap();
    let error = Ext4Spec::read(&path).unwrap_err().to_string();
    assert!(error.contains(told), "{error}");
}
