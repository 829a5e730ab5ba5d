//! Every operation, compiled.

use lookback_ops::fsstress;
use lookback_reproducer::{Error, Input, Unable, c_program};
use rstest::rstest;

use crate::made::{Made, parsed};

#[rstest]
#[case("stat @root/f", Unable::Root)]
#[case("register 1 .", Unable::Register)]
#[case("unregister 1", Unable::Register)]
#[case("rootdir .", Unable::RootDir)]
#[case("abort", Unable::Abort)]
#[case("eachalloc stat f", Unable::EachAlloc)]
#[case("repeat 2 abort", Unable::Abort)]
fn what_is_the_benchs_alone_has_no_program(#[case] text: &str, #[case] why: Unable) {
    let trace = parsed(text);
    let made = c_program(&Input {
        trace: &trace,
        ..Input::default()
    });
    let line = text.to_owned();
    assert_eq!(made, Err(Error::Operation { line, why }));
}

/// One operation a line, on every kind of path.
const EVERY: &str = "creat f
mkdir d
mknod p fifo
mknod s socket
mknod c char:1:3
mknod b block:7:1
symlink t l
link f g
unlink f
rmdir d
rename a b noreplace
rename a @outside/b
stat f
lstat @lower/f
chmod f 0600
chown f 1:-
utimens f atime=now mtime=1:2
truncate f 5000000000
access f rwx
readlink l
readdir .
write f len=1
read f len=1
mwrite f len=1
mread f len=1
readv f len=1 parts=2
writev f len=1 parts=2
dread f len=1
dwrite f len=1
aread f len=1
awrite f len=1
uringread f len=1
uringwrite f len=1
fsync f
fdatasync f
open 1 f rdwr|creat|tmpfile|sync|direct|noatime|path|0x8000 0600
close 1
pwrite 1 len=1
pread 1 len=1
fdread 1 len=1
fdwrite 1 len=1
ftruncate 1 5
fstat 1
fsyncfd 1
lseek 1 -9223372036854775808 data
mmap 1 1 len=1
mstore 1 len=1
mload 1 len=1
msync 1
munmap 1
sync
dropcaches
wait 1ms
mounttmpfs d
umount d
bind d e ro
creds 1000:4294967295
umask 077
setxattr f user.a hex:00ff replace
getxattr f user.a
listxattr f
removexattr f user.a
fallocate f len=1 punch|keep|zero|collapse|insert|unshare
copyrange f g len=1
clonerange @fd1/f @fd2/g len=1
deduperange f g len=1
splice f g len=1
chattr f ia
lsattr f
ioctl f getversion
ioctl f fsgetxattr
ioctl f getfslabel
ioctl f figetbsz
ioctl f fiemap
ioctl f fitrim
ioctl f unknown
ioctl f 0x1234
statfs f
linkfd 1 f
fdpath 1
handle 1 f
openhandle 1 2
watch 1 f
cached f
exec f
flock 1 sh
lock 1 wr off=1 len=1
getlock 1 rd off=1 len=1
lease 1 wr
repeat 3 stat @fd1/f
";

/// Alone, so that each brings the headers and functions it needs and no other.
#[test]
fn every_operation_compiles_alone() {
    let mut all = String::new();
    for line in EVERY.lines() {
        let trace = parsed(line);
        let input = Input {
            trace: &trace,
            ..Input::default()
        };
        let text = c_program(&input).unwrap();
        Made::checked(&text);
        all.push_str(&text);
    }
    // A part that no line here needs is one that was never compiled.
    let parts = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/c")).unwrap();
    for part in parts {
        let text = std::fs::read_to_string(part.unwrap().path()).unwrap();
        for name in text.lines().filter_map(|line| line.strip_prefix("//@ do_")) {
            let name = name.split(' ').next().unwrap();
            // Of trees alone.
            if !["blocks", "entry", "same", "settable"].contains(&name) {
                assert!(all.contains(&format!(" do_{name}(")), "{name}");
            }
        }
    }
}

#[test]
fn a_generated_trace_compiles() {
    for (seed, names) in [(7, fsstress::Names::Own), (8, fsstress::Names::Shared)] {
        let trace = fsstress::generate(seed, 300, 3, names, &fsstress::Mix::default());
        let (status, said) = Made::of(&Input {
            trace: &trace,
            ..Input::default()
        })
        .run();
        assert_eq!(status, 0, "{said}");
    }
}
