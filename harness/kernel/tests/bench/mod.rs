//! A kernel of three files, whose Makefile has the targets and the output of kbuild.

// Each test program takes what it needs of this.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lookback_kernel::{BuildSpec, Built, Error, Layout, Profile, Silent, build};

const MAKEFILE: &str = "\
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 1
EXTRAVERSION =
OBJECTS := $(patsubst %.c,$(O)/%.o,$(wildcard fs/*.c init/*.c))

tinyconfig:
\t@echo 'CONFIG_TINY=y' > $(O)/.config
\t@echo run >> $(O)/tinyconfig-runs

olddefconfig:
\t@grep -q FUSE_BACKING Kconfig || sed -i /FUSE_BACKING/d $(O)/.config
\t@! test -e refuse || sed -i /EXT4/d $(O)/.config

bzImage: vmlinux
\t@mkdir -p $(O)/arch/x86/boot
\t@cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage

fs/fuse/: $(OBJECTS)
\t@test '$(W)' = e
\t@! grep -q UNUSED fs/x.c || { echo 'fs/x.c:1:1: error: unused'; exit 1; }
\t@cat fs/x.c >> $(O)/prefixes; grep FUSE_BACKING $(O)/.config >> $(O)/prefixes || true

vmlinux: $(O)/vmlinux
\t@mkdir -p $(O)/include/config
\t@echo 6.12.1$(LOCALVERSION) > $(O)/include/config/kernel.release

$(O)/vmlinux: $(OBJECTS)
\t@cat $^ > $@

$(O)/%.o: %.c
\t@mkdir -p $(dir $@)
\t@echo '  CC      $<'
\t@if grep BROKEN $<; then echo '$<:1:1: error: broken'; exit 1; fi
\t@if grep -q SLOW $<; then echo $$$$ > $(O)/slow; sleep 600; fi
\t@cp $< $@
";

pub const CHANGE_X: &str = "--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1 +1 @@\n-x\n+patched x\n";
pub const ADD_SYMBOL: &str = "--- a/Kconfig\n+++ b/Kconfig\n@@ -1 +1,2 @@\n config EXT4_FS\n+config \
                          FUSE_BACKING\n";

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub layout: Layout,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Self {
            layout: Layout {
                cache: dir.path().join("cache"),
                guest_kernel: dir.path().join("guest-kernel"),
            },
            dir,
        };
        bench.write("guest-kernel/config/base.config", "CONFIG_EXT4_FS=y\n");
        bench.write(
            "guest-kernel/config/extension.config",
            "CONFIG_FUSE_BACKING=y\n",
        );
        bench.write("guest-kernel/config/fast.config", "");
        bench.write("guest-kernel/config/debug.config", "");
        bench.write("guest-kernel/patches/0001-x.patch", CHANGE_X);
        bench.write("guest-kernel/patches/0002-symbol.patch", ADD_SYMBOL);
        bench.write("linux/Makefile", MAKEFILE);
        bench.write("linux/Kconfig", "config EXT4_FS\n");
        bench.write("linux/Kbuild", "");
        bench.write("linux/fs/x.c", "x\n");
        bench.write("linux/fs/y.c", "y\n");
        bench.write("linux/init/main.c", "main\n");
        bench
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn archive(&self) -> PathBuf {
        let archive = self.path("linux-source.tar.gz");
        let made = Command::new("tar")
            .args(["-czf"])
            .arg(&archive)
            .args(["-C", self.dir.path().to_str().unwrap(), "linux"])
            .status()
            .unwrap();
        assert!(made.success());
        archive
    }

    pub fn spec(&self, name: &str, src: &Path) -> BuildSpec {
        let mut spec = match name {
            "baseline" => BuildSpec::baseline(Profile::Fast),
            _ => BuildSpec::new(name, Profile::Fast, vec![self.layout.patches()]),
        };
        spec.src = Some(src.to_owned());
        spec
    }

    pub fn build(&self, name: &str) -> Result<Built, Error> {
        build(
            &self.layout,
            &self.spec(name, &self.path("linux")),
            &mut Silent,
        )
    }
}
