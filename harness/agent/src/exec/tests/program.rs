//! The C programs made of traces, run beside the agent's own operations.

use std::path::{Path as FilePath, PathBuf};
use std::process::Command;

use lookback_ops::{Line, fsstress};
use lookback_reproducer::{Input, c_program};
use lookback_wire::control::Arm;

use super::*;
use crate::workers;

/// Compile `program`, every warning an error.
fn compile(program: &str, dir: &FilePath) -> PathBuf {
    let (source, made) = (dir.join("reproducer.c"), dir.join("reproducer"));
    std::fs::write(&source, program).unwrap();
    let cc = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-O2", "-o"])
        .args([&made, &source])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&cc.stderr);
    assert!(cc.status.success(), "{said}\n{program}");
    made
}

/// The directories of a run below `dir`, made.
fn places(dir: &FilePath) -> Bases {
    let place = |name: &str| {
        let place = dir.join(name);
        std::fs::create_dir_all(&place).unwrap();
        place.to_str().unwrap().to_owned()
    };
    Bases {
        arm: place("arm"),
        lower: place("arm"),
        outside: place("outside"),
        root: place(""),
        mount: Mount::Local,
    }
}

/// What the agent's workers find, by index of the line.
fn found(lines: &[Line], dir: &FilePath) -> Vec<Option<Outcome>> {
    let mut outcomes = vec![None; lines.len()];
    let mut sink = |_, event| {
        let workers::Event::Outcomes {
            worker,
            first,
            outcomes: batch,
        } = event
        else {
            panic!("{event:?}");
        };
        let mine = (0..lines.len()).filter(|i| lines[*i].worker == worker);
        for (index, outcome) in mine.skip(first as usize).zip(batch) {
            outcomes[index] = Some(outcome);
        }
        Ok(())
    };
    let _alone = workers::tests::alone();
    let bases = places(dir);
    let job = workers::Job {
        arm: Arm::Ext4,
        lines,
        bases,
        concurrent: false,
        every: 0,
        clock: None,
    };
    workers::run(vec![vec![job]], Board::new().unwrap(), &mut sink).unwrap();
    outcomes
}

/// The program of `lines` must find what the agent finds.
fn agree(lines: &[Line]) {
    let dir = tempfile::tempdir().unwrap();
    let expected = found(lines, &dir.path().join("agent"));
    assert!(expected.iter().all(Option::is_some), "{expected:?}");
    let lacking = |outcome: &Outcome| outcome.step == lookback_ops::outcome::UNSUPPORTED;
    if expected.iter().flatten().any(lacking) {
        // Only io_uring may be forbidden where this is built; the guest has it.
        assert!(
            lines
                .iter()
                .any(|line| line.to_string().starts_with("uring"))
        );
        return;
    }
    let input = Input {
        title: "the same as the agent",
        trace: lines,
        expected: &expected,
        own_affairs: true,
        ..Input::default()
    };
    let text = c_program(&input).unwrap();
    let program = compile(&text, dir.path());
    let places = places(&dir.path().join("program"));
    let output = Command::new(program)
        .arg(&places.arm)
        .env("LOOKBACK_OUTSIDE", &places.outside)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}\n{text}");
    assert_eq!(said.matches("ok      ").count(), lines.len(), "{said}");
}

#[rstest]
#[case::names(
    "creat a 0600\ncreat a\nmkdir d 02755\nmkdir d\nsymlink \"no \\\"where\\\"??=\" l\nlink a d/b\nrename d/b c\n\
     rename c a noreplace\nrename a d exchange\nrename a a|b whiteout\nunlink d\nrmdir d\nreaddir .\nreadlink l\n\
     readlink c\nstat l\nlstat l\nmknod p fifo\nmknod s socket\nreaddir d\nreaddir no"
)]
#[case::attributes(
    "creat f 0640\nchmod f 04711\nchown f 3:4\nchown f -:5\nchown f 6:-\nutimens f atime=1:2 mtime=5:7\nlstat f\n\
     utimens f atime=now mtime=omit\nstat f\nutimens f atime=omit mtime=now\ntruncate f 5000\nstat f\n\
     truncate f 18446744073709551615\naccess f rw\naccess f 0100\naccess g f\nmknod c char:1:3 0600\nstat c\n\
     mknod b block:7:300 0600\nlstat b\nchmod g 0644\nchown g 1:1\nutimens g atime=1:0 mtime=1:0\nmkdir d 0711\n\
     lstat d\nlstat ."
)]
#[case::data(
    "creat f\nwrite f off=3 len=5000 seed=9\nread f off=0 len=10000\nread f off=5003 len=10\nread f off=1 len=0\n\
     write f len=0\nwrite f off=100 len=3m seed=18446744073709551615\nread f off=17 len=4m\nread g len=1\nread . len=1\n\
     write g len=1\nwrite . len=1\nmknod p fifo\nwrite p len=1\nread p len=1\nread f off=9223372036854775807 len=5\n\
     write f off=9223372036854775807 len=5\nfsync f\nfdatasync f\nfsync g\nfdatasync g\nfsync p\nfdatasync p\nsync"
)]
#[case::mapped(
    "creat f\ntruncate f 8192\nmwrite f off=4097 len=1000 seed=9\nmread f off=4097 len=1000\nread f len=9000\n\
     mwrite f off=8000 len=1000 seed=2\nmread f off=8000 len=1000\nmread f off=9000 len=10\nmread g len=1\n\
     mwrite g len=1\nmknod p fifo\nmread p len=1\nmread . len=1\ntruncate f 4096\nmread f len=10000"
)]
#[case::slots(
    "creat f\nopen 1 f rdwr\npwrite 1 off=10 len=20 seed=9\npread 1 off=0 len=100\nfstat 1\nunlink f\nfstat 1\n\
     ftruncate 1 7\nlseek 1 0 end\nlseek 1 -1 set\nlseek 1 3 cur\nlseek 1 0 data\nlseek 1 0 hole\nlseek 1 99 data\n\
     fsyncfd 1\nopen 1 . rdonly|directory\ncreat @fd1/x\nlstat @fd1/x\nopen 2 @fd1/x wronly|append|excl|creat 0600\n\
     open 2 @fd1/x wronly|append\npwrite 2 off=100 len=5\nclose 2\nclose 2\nstat @fd2/x\nlink @fd2/x y\n\
     readdir @fd1\nopen 3 . tmpfile|rdwr 0600\nlinkfd 3 z\nlinkfd 4 z\nfstat 3\nclose 1\npread 1 len=1\n\
     pwrite 1 len=1\nfstat 1\nftruncate 1 0\nfsyncfd 1\nlseek 1 0 set\nopen 65535 z rdonly|0x8000\nfdpath 65535\n\
     fdpath 7\nopen 5 . tmpfile|rdwr 0600\nfdpath 5\nunlink z\nfdpath 65535\nopen 8 . rdonly\nfdpath 8"
)]
#[case::process(
    "umask 077\ncreat f 0666\nlstat f\numask 022\nmkdir d 0755\ncreds 1000:100\ncreat g\ncreat d/f\nread f len=1\naccess f r\n\
     chown d 1:1\nstat d\ncreds 0:0\ncreat g 0600\nstat g\nwait 1ms\nsync\n\
     creat x 0755\nexec x\nexec y\nwrite x len=100 seed=1\nexec x\nsymlink /bin/true t\nexec t\nsymlink /bin/false u\nexec u"
)]
#[case::repeated(
    "repeat 3 creat f\nrepeat 5 stat f\nrepeat 2 write f off=1 len=5 seed=3\nrepeat 4 read f len=10\nrepeat 2 readdir .\n\
     repeat 3 mkdir d\nrepeat 2 lstat @fd3/x"
)]
#[case::xattrs(
    "creat f\nsetxattr f user.a x replace\nsetxattr f user.a \"y z\"\nsetxattr f user.a y create\ngetxattr f user.a\n\
     setxattr f user.e hex:\ngetxattr f user.e\nsetxattr f user.a hex:00ff0041 replace\ngetxattr f user.a\nlistxattr f\n\
     removexattr f user.e\nremovexattr f user.e\ngetxattr f user.e\nlistxattr f\nremovexattr f user.a\nlistxattr f\n\
     listxattr g\ngetxattr g user.a\nsetxattr g user.a x\nsetxattr f nothing.a x"
)]
#[case::ranges(
    "creat f\nfallocate f len=0\nfallocate f off=5 len=9000\nfallocate f off=0 len=4096 punch|keep\n\
     fallocate f len=1 0x40000000\nfallocate . len=1\nwrite f off=0 len=100000 seed=4\ncreat g\n\
     copyrange f g soff=5 doff=7 len=70000\nread g len=100000\ncopyrange f g soff=0 doff=0 len=0\ncopyrange f h len=1\n\
     copyrange h f len=1\ncopyrange . f len=1\nsplice f g off=3 len=90000\nread g len=100000\nsplice . f len=1\n\
     splice f h len=1\nsplice f g off=200000 len=10\nioctl f figetbsz\nioctl f unknown\nioctl h unknown\nioctl f 0x12345678\nstatfs f\nstatfs h"
)]
#[case::inodes(
    "creat f\nlsattr f\nlsattr h\nchattr h -\nioctl f getversion\nioctl f fsgetxattr\nioctl f getfslabel\nwrite f len=5000\n\
     ioctl f fiemap\nfallocate f off=100000 len=8192\nioctl f fiemap\nhandle 1 f\nhandle 1 h\nopenhandle 2 2\n\
     watch 4 f\nclose 4\nwatch 4 h\ncached f\ncached h"
)]
#[case::places(
    "creat @outside/f\nstat f\nrename @outside/f f\nlink @outside/f f\ncreat @lower/g\nstat g\nopen 1 @outside/f rdonly\n\
     fdpath 1\nhandle 3 f\ncopyrange @outside/f @fd2/x len=1"
)]
#[case::mounts(
    "mkdir d\nmkdir e\ncreat e/f\nmounttmpfs d\ncreat d/f\nlink d/f f\numount d\numount d\nstat d/f\nbind e d ro\n\
     creat d/g\nread d/f len=1\numount d\nbind e/f d\nbind no d\nmounttmpfs no"
)]
#[case::workers(
    "p1: creat f\nopen 1 f rdwr\nopen 2 f rdonly\np3: open 1 f rdwr\nlock 1 wr off=5 len=10\np3: getlock 1 rd off=0 len=0\n\
     p3: lock 1 rd off=0 len=0\np3: umask 077\np1: creat g 0666\np3: creat h 0666\np1: stat g\np1: stat h\nclose 2\n\
     p3: lock 1 rd off=0 len=0\np1: readdir ."
)]
#[case::io(
    "creat f\nwritev f off=3 len=10001 seed=9 parts=3\nreadv f off=3 len=10001 parts=4\nwritev f off=3 len=5 seed=8 parts=7\n\
     read f len=20000\nreadv f len=1\nmkdir d\nreadv d len=1\nreadv no len=1\ncreat g\ndwrite g off=4k len=8k seed=9\n\
     dread g off=0 len=64k\ndwrite g off=0 len=3m seed=5\nread g len=4m\ndread d len=4k\nawrite g off=8k len=4k seed=7\n\
     awrite g off=0 len=100\naread g off=4k len=16k\naread no len=1\nawrite no len=1\nopen 1 f rdwr\n\
     fdwrite 1 len=10 seed=1\nfdwrite 1 len=10 seed=2\nlseek 1 5 set\nfdread 1 len=100000\nfdread 1 len=1\n\
     fdread 2 len=1\nfdwrite 2 len=1\nopen 2 f wronly|append\nfdwrite 2 len=5 seed=3\nread f len=20000\n\
     open 3 g rdwr|direct\npwrite 3 off=0 len=4096 seed=6\npread 3 off=0 len=8192\n\
     clonerange f g len=0\nclonerange f no len=1\nclonerange d g len=1\ndeduperange f g len=1\ndeduperange d g len=1\n\
     deduperange f no len=1"
)]
#[case::rings(
    "creat f\nuringwrite f off=5 len=70000 seed=9\nuringread f off=5 len=70000\nuringread f off=0 len=100000\n\
     uringread no len=1\nuringwrite . len=1\nuringwrite f off=0 len=3m\nuringread f len=4m\nuringread . len=1\n\
     mknod p fifo\nuringread p len=1\nopen 1 p rdwr|nonblock\nuringread p len=1\nuringwrite p len=10\nuringread p len=5\n\
     uringwrite p len=1m\nuringwrite p len=1"
)]
#[case::maps(
    "creat f\ntruncate f 5000\nopen 1 f rdwr\nmmap 1 1 len=16k\nmstore 1 off=4k len=4k seed=1\n\
     mstore 1 off=4k len=5k seed=1\nmload 1 off=5000 len=10\ntruncate f 4096\nmload 1 off=4k len=1\n\
     truncate f 12k\nmload 1 off=4k len=8k\nmmap 2 1 len=0\nmmap 2 1 off=1 len=1\nmmap 2 3 len=1\nmmap 2 1 off=4k len=8k ro\n\
     mstore 2 len=1\nmload 2 off=100 len=8000\nmload 2 off=5 len=8192\nmsync 1\nmsync 3\nmunmap 2\nmunmap 2\nclose 1\n\
     unlink f\nmstore 1 off=7 len=9 seed=3\nmload 1 len=100\nmsync 1\nmunmap 1\nmload 1 len=1"
)]
#[case::locks(
    "creat f\nopen 1 f rdwr\nopen 2 f rdonly\nflock 1 ex\nflock 2 sh\nflock 2 un\nflock 3 sh\nlock 1 wr off=5 len=10\n\
     getlock 2 rd off=0 len=0\nlock 2 wr off=0 len=0\nlock 3 rd off=0 len=0\ngetlock 3 rd off=0 len=0\nlock 1 un off=-5 len=-1\n\
     lease 1 rd\nlease 2 rd\nlease 3 wr\nlease 2 un"
)]
fn a_program_finds_what_the_agent_found(#[case] text: &str) {
    agree(&trace::parse(text).unwrap());
}

/// Many more arguments than anyone would write by hand.
#[rstest]
fn a_generated_trace_finds_the_same(#[values(1, 2, 3, 4)] seed: u64) {
    agree(&fsstress::generate(
        seed,
        200,
        2,
        fsstress::Names::Shared,
        &fsstress::Mix::default(),
    ));
}
