# lookback: see README.md. Everything these targets need is installed by them.

CARGO ?= cargo
TARGET := x86_64-unknown-linux-gnu
LOOKBACK := target/release/lookback
AGENT := target/$(TARGET)/release/lookback-agent
# More arguments for `lookback run`, as in: make vm-test RUN="--profile debug"
RUN ?=

# A kernel tree of your own instead of Debian's: make vm-test LINUX_SRC=DIR
LINUX_SRC ?=
export LINUX_SRC

PACKAGES := bc bison build-essential e2fsprogs flex libcap-ng-dev libelf-dev \
	libseccomp-dev libssl-dev patch pkg-config qemu-system-x86 xz-utils
ifeq ($(LINUX_SRC),)
PACKAGES += linux-source-6.12
unexport LINUX_SRC
endif

.PHONY: all build deps kernel baseline test vm-test kvm-test soak shrink-test disabled-test series \
	mutants lint clean help

all: build

help:
	@echo 'make test      every test that needs no guest, and four short guest runs'
	@echo 'make vm-test   all scenarios in a guest, compared with plain ext4'
	@echo 'make kvm-test  some of them on KVM, in a guest that has KVM: needs none here'
	@echo 'make soak      a million generated operations on shared names, with KASAN'
	@echo 'make shrink-test  from a load that meets a known defect to a C program that shows it'
	@echo 'make mutants   known defects brought back one at a time: who notices'
	@echo 'make series    checkpatch.pl on each patch of the series, a build of each prefix'
	@echo 'make disabled-test  plain virtiofs with the series compiled out, against'
	@echo '               a kernel without it'
	@echo 'make lint      rustfmt, clippy and rustdoc, warnings denied'
	@echo 'make kernel    the patched guest kernel alone (PROFILE=fast or debug)'
	@echo 'make build     the lookback command and the guest agent'
	@echo 'make clean     what cargo and the runs left; the kernel cache stays'

# Installs what is missing, or says what to type.
deps:
	@tools/install-packages $(PACKAGES)

build: deps
	$(CARGO) build --release --locked -p lookback-cli
	RUSTFLAGS='-C target-feature=+crt-static' \
		$(CARGO) build --release --locked -p lookback-agent --target $(TARGET)

PROFILE ?= fast
kernel: build
	$(LOOKBACK) kernel build --profile $(PROFILE)

baseline: build
	$(LOOKBACK) kernel build --name baseline

test: build kernel
	$(CARGO) test --workspace --locked
	$(LOOKBACK) run lookup
	tools/expect-status 7 $(LOOKBACK) exec -- sh -c 'exit 7'
	tools/same-digests $(LOOKBACK) target/lookback/same-digests \
		--workers in-turn --procs 4 --ops 1000 --arms backed,ext4

# A kernel without the extension must be refused, not passed; the run of all
# scenarios comes last, so that target/lookback/latest is that one.
vm-test: build kernel baseline
	tools/expect-status 5 $(LOOKBACK) run --kernel baseline revalidate
	$(LOOKBACK) run $(RUN)

# The KVM engine on Linux's own kvm_amd, in a guest of QEMU's translation: its
# machine's tests, then cases, which must end as the same cases do on QEMU.
KVM_CASES := lookup rename revalidate.renamed revalidate.exchanged revalidate.unlinked \
	revalidate.negative-then-created revalidate.directory-moved smoke
kvm-test: build kernel
	$(LOOKBACK) kernel build --name baseline --profile kvm
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='$(CURDIR)/$(LOOKBACK) nested --' \
		$(CARGO) test --release --locked -p lookback-vmm --test kvm
	tools/kvm-test $(LOOKBACK) target/lookback/kvm-test $(KVM_CASES)

# A million operations by four processes on shared names: SOAK_JOBS guests at a
# time, SOAK_ROUNDS loads of 10,000 in all, with the seeds from SOAK_SEED on.
SOAK_SEED ?= 1
SOAK_ROUNDS ?= 100
SOAK_JOBS ?= 2
soak: build
	$(LOOKBACK) kernel build --profile kasan
	tools/soak $(LOOKBACK) target/lookback/soak $(SOAK_SEED) $(SOAK_ROUNDS) $(SOAK_JOBS)

# The way of docs/fsstress-crashes.md, on kernels with a known defect: an oops, a
# difference and a warning. SHRINK_SEED instead of a random one.
SHRINK_MUTANTS ?= d20-directory-ctime d29-rdev-undecoded d32-setattr-missing
SHRINK_SEED ?=
shrink-test: build kernel
	tools/shrink-test $(LOOKBACK) target/lookback/shrink-test "$(SHRINK_SEED)" $(SHRINK_MUTANTS)

# Compiled out, the series changes nothing: the same cases end the same way as
# without it, and both runs are clean.
DISABLED_TEST := target/lookback/disabled-test
disabled-test: build
	$(LOOKBACK) run --arms plain,ext4 --kernel baseline \
		--json $(DISABLED_TEST)/baseline.json
	$(LOOKBACK) run --arms plain,ext4 --kernel disabled \
		--json $(DISABLED_TEST)/disabled.json
	$(LOOKBACK) report $(DISABLED_TEST)/disabled.json \
		--compare $(DISABLED_TEST)/baseline.json

series: build
	$(LOOKBACK) kernel series

mutants: build
	$(LOOKBACK) mutants

lint: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked

clean:
	$(CARGO) clean
