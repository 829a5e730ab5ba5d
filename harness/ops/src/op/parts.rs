//! What an operation names: paths, and what its worker keeps.

use super::{Base, FileOp, IoOp, LockOp, MapOp, MountOp, Op, Path};

/// What a worker keeps by numbers, each kind by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kept {
    /// Open files and directories, watches.
    Slot,
    /// File handles.
    Handle,
    /// Mappings.
    Map,
}

/// One thing an operation names.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A path.
    Path(&'a mut Path),
    /// The number of something kept.
    Number(Kept, &'a mut u16),
}

fn slot(number: &mut u16) -> Part<'_> {
    Part::Number(Kept::Slot, number)
}

fn map(number: &mut u16) -> Part<'_> {
    Part::Number(Kept::Map, number)
}

impl Op {
    /// What it names, in the order of the trace's text. A path below a slot is
    /// a path; its slot is in its base.
    pub fn parts(&mut self) -> Vec<Part<'_>> {
        match self {
            Op::Creat { path, .. }
            | Op::Mkdir { path, .. }
            | Op::Mknod { path, .. }
            | Op::Symlink { path, .. }
            | Op::Unlink { path }
            | Op::Rmdir { path }
            | Op::Stat { path }
            | Op::Lstat { path }
            | Op::Chmod { path, .. }
            | Op::Chown { path, .. }
            | Op::Utimens { path, .. }
            | Op::Truncate { path, .. }
            | Op::Access { path, .. }
            | Op::Readlink { path }
            | Op::Readdir { path }
            | Op::Write { path, .. }
            | Op::Read { path, .. }
            | Op::MmapWrite { path, .. }
            | Op::MmapRead { path, .. }
            | Op::Fsync { path }
            | Op::Fdatasync { path }
            | Op::MountTmpfs { path }
            | Op::Umount { path } => vec![Part::Path(path)],
            Op::Link { old, new } | Op::Rename { old, new, .. } => {
                vec![Part::Path(old), Part::Path(new)]
            }
            Op::Open { slot, path, .. } => vec![self::slot(slot), Part::Path(path)],
            Op::Close { slot }
            | Op::Pwrite { slot, .. }
            | Op::Pread { slot, .. }
            | Op::Ftruncate { slot, .. }
            | Op::Fstat { slot }
            | Op::Fsyncfd { slot }
            | Op::Lseek { slot, .. } => vec![self::slot(slot)],
            Op::File(op) => of_file(op),
            Op::Io(IoOp::Read { path, .. } | IoOp::Write { path, .. }) => vec![Part::Path(path)],
            Op::Io(IoOp::FdRead { slot, .. } | IoOp::FdWrite { slot, .. }) => {
                vec![self::slot(slot)]
            }
            Op::Map(op) => of_map(op),
            Op::Lock(
                LockOp::Flock { slot, .. }
                | LockOp::Lock { slot, .. }
                | LockOp::GetLock { slot, .. }
                | LockOp::Lease { slot, .. },
            ) => vec![self::slot(slot)],
            Op::Mount(op) => of_mount(op),
            Op::Repeat { op, .. } | Op::EachAlloc { op, .. } => op.parts(),
            Op::Sync | Op::DropCaches | Op::Wait { .. } | Op::Creds { .. } | Op::Umask { .. } => {
                Vec::new()
            }
        }
    }

    /// Changes every number of something kept, also where a path is below a slot.
    pub fn map_numbers(&mut self, map: impl Fn(Kept, u16) -> u16) {
        for part in self.parts() {
            match part {
                Part::Number(kept, number) => *number = map(kept, *number),
                Part::Path(Path {
                    base: Base::Slot(slot),
                    ..
                }) => *slot = map(Kept::Slot, *slot),
                Part::Path(_) => {}
            }
        }
    }

    /// Every number of something kept, also that of a slot that a path is below.
    #[must_use]
    pub fn numbers(&self) -> Vec<(Kept, u16)> {
        let mut op = self.clone();
        let number = |part: Part<'_>| match part {
            Part::Number(kept, number) => Some((kept, *number)),
            Part::Path(path) => match path.base {
                Base::Slot(slot) => Some((Kept::Slot, slot)),
                Base::Arm | Base::Lower | Base::Outside | Base::Root => None,
            },
        };
        op.parts().into_iter().filter_map(number).collect()
    }
}

fn of_file(op: &mut FileOp) -> Vec<Part<'_>> {
    match op {
        FileOp::SetXattr { path, .. }
        | FileOp::GetXattr { path, .. }
        | FileOp::ListXattr { path }
        | FileOp::RemoveXattr { path, .. }
        | FileOp::Fallocate { path, .. }
        | FileOp::Chattr { path, .. }
        | FileOp::Lsattr { path }
        | FileOp::Ioctl { path, .. }
        | FileOp::Statfs { path }
        | FileOp::Cached { path }
        | FileOp::Exec { path } => vec![Part::Path(path)],
        FileOp::CopyRange { from, to, .. }
        | FileOp::CloneRange { from, to, .. }
        | FileOp::DedupeRange { from, to, .. }
        | FileOp::Splice { from, to, .. } => {
            vec![Part::Path(from), Part::Path(to)]
        }
        FileOp::LinkFd { slot, path } | FileOp::Watch { slot, path } => {
            vec![self::slot(slot), Part::Path(path)]
        }
        FileOp::FdPath { slot } => vec![self::slot(slot)],
        FileOp::Handle { slot, path } => {
            vec![Part::Number(Kept::Handle, slot), Part::Path(path)]
        }
        FileOp::OpenHandle { handle, slot } => {
            vec![Part::Number(Kept::Handle, handle), self::slot(slot)]
        }
    }
}

fn of_map(op: &mut MapOp) -> Vec<Part<'_>> {
    match op {
        MapOp::Map { map, slot, .. } => vec![self::map(map), self::slot(slot)],
        MapOp::Store { map, .. }
        | MapOp::Load { map, .. }
        | MapOp::Sync { map }
        | MapOp::Unmap { map } => vec![self::map(map)],
    }
}

fn of_mount(op: &mut MountOp) -> Vec<Part<'_>> {
    match op {
        MountOp::Bind { path, on, .. } => vec![Part::Path(path), Part::Path(on)],
        MountOp::Register { path, .. } => vec![Part::Path(path)],
        MountOp::RootDir { paths } => paths.iter_mut().map(Part::Path).collect(),
        MountOp::Unregister { .. } | MountOp::Abort => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace;

    #[rstest::rstest]
    #[case("open 3 @fd4/a rdwr", "open 13 @fd14/a rdwr")]
    #[case("repeat 2 fstat 1", "repeat 2 fstat 11")]
    #[case("handle 1 @fd2", "handle 1 @fd12")]
    #[case("openhandle 1 2", "openhandle 1 12")]
    #[case("rename @fd1/a b", "rename @fd11/a b")]
    #[case("flock 5 ex", "flock 15 ex")]
    #[case("watch 5 d", "watch 15 d")]
    fn slots(#[case] line: &str, #[case] mapped: &str) {
        let mut line = trace::parse(line).unwrap().remove(0);
        line.op
            .map_numbers(|kept, number| number + 10 * u16::from(kept == Kept::Slot));
        assert_eq!(line.to_string(), mapped);
    }

    #[test]
    fn the_paths_are_those_of_the_text() {
        for text in [
            "rename a b",
            "open 1 f rdwr",
            "copyrange a b len=1",
            "rootdir a b",
        ] {
            let mut op = trace::parse(text).unwrap().remove(0).op;
            let paths: Vec<Path> = op.paths().into_iter().cloned().collect();
            let parts = op.parts();
            let same: Vec<Path> = parts
                .into_iter()
                .filter_map(|part| match part {
                    Part::Path(path) => Some(path.clone()),
                    _ => None,
                })
                .collect();
            assert_eq!(same, paths, "{text}");
        }
    }
}
