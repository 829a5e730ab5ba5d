//! The check of a series on a kernel of three files, with a stand-in for checkpatch.pl.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod bench;

use std::fs;

use bench::{Bench, CHANGE_X};
use lookback_kernel::{CheckError, CheckedPatch, Silent, check_series};

/// Takes offence at the word UGLY.
const CHECKPATCH: &str = r#"
open my $patch, '<', $ARGV[-1] or die;
my $errors = grep { /UGLY/ } <$patch>;
print "ERROR: ugly\n" if $errors;
print "total: $errors errors, 0 warnings, 0 checks, 5 lines checked\n";
exit($errors ? 1 : 0);
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("linux/scripts/checkpatch.pl", CHECKPATCH);
    bench
}

fn check(bench: &Bench) -> (Result<(), CheckError>, Vec<CheckedPatch>) {
    let mut ready = Vec::new();
    let src = bench.path("linux");
    let mut each = |patch: &CheckedPatch| ready.push(patch.clone());
    let checked = check_series(&bench.layout, Some(&src), None, &mut Silent, &mut each);
    (checked, ready)
}

#[test]
fn every_prefix_is_built_with_the_extension_on_and_off() {
    let bench = bench();
    // Twice: the second time begins where the whole series is in place.
    for _ in 0..2 {
        let (checked, ready) = check(&bench);
        checked.unwrap();
        let names: Vec<&str> = ready.iter().map(|patch| patch.name.as_str()).collect();
        assert_eq!(names, ["0001-x.patch", "0002-symbol.patch"]);
        assert!(ready.iter().all(|patch| patch.builds == 2));
        assert!(ready[0].style.contains("5 lines checked"), "{ready:?}");
        let work = fs::read_dir(bench.layout.cache.join("work")).unwrap();
        let work = work.map(|entry| entry.unwrap().path()).next().unwrap();
        for (state, symbol) in [
            ("on", "CONFIG_FUSE_BACKING=y"),
            ("off", "# CONFIG_FUSE_BACKING is not set"),
        ] {
            let prefixes = work.join(format!("obj.{state}/prefixes"));
            let built = fs::read_to_string(&prefixes).unwrap();
            assert_eq!(built, format!("patched x\npatched x\n{symbol}\n"));
            fs::remove_file(&prefixes).unwrap();
        }
    }
}

#[test]
fn bad_style_ends_the_check() {
    let bench = bench();
    bench.write(
        "guest-kernel/patches/0002-symbol.patch",
        &format!("UGLY\n{}", bench::ADD_SYMBOL),
    );
    let (checked, ready) = check(&bench);
    let error = checked.unwrap_err();
    assert!(error.is_verdict());
    assert!(
        error.to_string().starts_with("0002-symbol.patch: ") && error.to_string().contains("ugly"),
        "{error}"
    );
    assert_eq!(ready.len(), 1);
}

#[test]
fn a_prefix_that_does_not_build_ends_the_check_even_if_the_series_does() {
    let bench = bench();
    bench.write(
        "guest-kernel/patches/0001-x.patch",
        &CHANGE_X.replace("patched", "UNUSED"),
    );
    bench.write(
        "guest-kernel/patches/0003-repaired.patch",
        "--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1 +1 @@\n-UNUSED x\n+used x\n",
    );
    let (checked, ready) = check(&bench);
    let error = checked.unwrap_err();
    assert!(error.is_verdict());
    let text = error.to_string();
    assert!(
        text.contains("0001-x.patch: the series up to here does not build with the extension on")
            && text.contains("error: unused"),
        "{text}"
    );
    assert_eq!(ready, []);
}

#[test]
fn a_source_without_checkpatch_is_no_pass_and_no_verdict() {
    let bench = Bench::new();
    let (checked, _) = check(&bench);
    assert!(!checked.unwrap_err().is_verdict());
}
