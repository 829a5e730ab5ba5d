//! A file system between virtiofsd's `Server` and its passthrough that keeps
//! the books: which references the guest holds, what its directories are
//! called, and which nodeids are a rule's instead of the file system's. Every reply that carries an entry passes here, whatever its opcode.

use std::ffi::CStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use virtiofsd::filesystem::{
    Context, Entry, Extensions, FileSystem, FsOptions, GetxattrReply, ListxattrReply, OpenOptions,
    SetattrValid, SetxattrFlags, ZeroCopyReader, ZeroCopyWriter,
};
use virtiofsd::fuse::{Attr, SetattrIn};

use crate::shared::Shared;

type Handle = u64;
type Inode = u64;

/// The file systems virtiofsd has: the passthrough, writable or not.
pub(crate) trait HostFs:
    FileSystem<Inode = Inode, Handle = Handle> + Send + Sync + 'static
{
}

impl<F: FileSystem<Inode = Inode, Handle = Handle> + Send + Sync + 'static> HostFs for F {}

/// The passthrough, observed. Clones share one file system.
pub(crate) struct Observed<F> {
    fs: Arc<F>,
    shared: Arc<Shared>,
}

impl<F> Clone for Observed<F> {
    fn clone(&self) -> Self {
        Self {
            fs: Arc::clone(&self.fs),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<F: HostFs> Observed<F> {
    pub(crate) fn new(fs: F, shared: Arc<Shared>) -> Self {
        Self {
            fs: Arc::new(fs),
            shared,
        }
    }

    /// The file system's nodeid for one of the guest's.
    pub(crate) fn real(&self, nodeid: Inode) -> Inode {
        self.shared.aliases().real(nodeid)
    }

    /// Gives back the reference of an entry whose nodeid is not told to the
    /// guest, which therefore will never forget it.
    pub(crate) fn withdraw(&self, ctx: Context, real: Inode) {
        self.shared.counters().ungrant(real);
        self.shared.names().forget(real, 1);
        self.fs.forget(ctx, real, 1);
    }

    /// The guest is told another nodeid of an entry.
    pub(crate) fn rename(&self, real: Inode, nodeid: Inode) {
        let mut counters = self.shared.counters();
        counters.ungrant(real);
        counters.grant(nodeid);
        drop(counters);
        self.shared.aliases().add(nodeid, real);
    }

    fn granted(&self, parent: Inode, name: &CStr, entry: &Entry) {
        self.shared.counters().grant(entry.inode);
        if entry.attr.mode & libc::S_IFMT == libc::S_IFDIR {
            self.shared
                .names()
                .learn(entry.inode, parent, name.to_bytes());
        }
    }

    /// Counts what the guest gave back; returns the files it was.
    fn forgotten(&self, nodeid: Inode, count: u64) -> Vec<(Inode, u64)> {
        self.shared.counters().forget(nodeid, count);
        let files = self.shared.aliases().forget(nodeid, count);
        for &(real, count) in &files {
            self.shared.names().forget(real, count);
        }
        files
    }
}

macro_rules! pass_on {
    ($(fn $name:ident(
        $ctx:ident: Context, $inode:ident: Inode $(, $arg:ident: $type:ty)*
    ) -> $result:ty;)*) => {
        $(fn $name(&self, $ctx: Context, $inode: Inode, $($arg: $type),*) -> $result {
            self.fs.$name($ctx, self.real($inode), $($arg),*)
        })*
    };
}

impl<F: HostFs> FileSystem for Observed<F> {
    type Inode = Inode;
    type Handle = Handle;
    type DirIter = F::DirIter;

    fn init(&self, capable: FsOptions) -> io::Result<FsOptions> {
        // A guest that mounts again without DESTROY starts from nothing, too.
        self.shared.forget_all();
        self.fs.init(capable)
    }

    fn destroy(&self) {
        self.shared.forget_all();
        self.fs.destroy();
    }

    fn lookup(&self, ctx: Context, parent: Inode, name: &CStr) -> io::Result<Entry> {
        let parent = self.real(parent);
        let entry = self.fs.lookup(ctx, parent, name)?;
        self.granted(parent, name, &entry);
        Ok(entry)
    }

    fn forget(&self, ctx: Context, inode: Inode, count: u64) {
        for (real, count) in self.forgotten(inode, count) {
            self.fs.forget(ctx, real, count);
        }
    }

    fn batch_forget(&self, ctx: Context, requests: Vec<(Inode, u64)>) {
        let files = requests
            .into_iter()
            .flat_map(|(inode, count)| self.forgotten(inode, count))
            .collect();
        self.fs.batch_forget(ctx, files);
    }

    fn symlink(
        &self,
        ctx: Context,
        linkname: &CStr,
        parent: Inode,
        name: &CStr,
        extensions: Extensions,
    ) -> io::Result<Entry> {
        let parent = self.real(parent);
        let entry = self.fs.symlink(ctx, linkname, parent, name, extensions)?;
        self.granted(parent, name, &entry);
        Ok(entry)
    }

    fn mknod(
        &self,
        ctx: Context,
        parent: Inode,
        name: &CStr,
        mode: u32,
        rdev: u32,
        umask: u32,
        extensions: Extensions,
    ) -> io::Result<Entry> {
        let parent = self.real(parent);
        let entry = self
            .fs
            .mknod(ctx, parent, name, mode, rdev, umask, extensions)?;
        self.granted(parent, name, &entry);
        Ok(entry)
    }

    fn mkdir(
        &self,
        ctx: Context,
        parent: Inode,
        name: &CStr,
        mode: u32,
        umask: u32,
        extensions: Extensions,
    ) -> io::Result<Entry> {
        let parent = self.real(parent);
        let entry = self.fs.mkdir(ctx, parent, name, mode, umask, extensions)?;
        self.granted(parent, name, &entry);
        Ok(entry)
    }

    fn link(
        &self,
        ctx: Context,
        inode: Inode,
        newparent: Inode,
        newname: &CStr,
    ) -> io::Result<Entry> {
        let (inode, newparent) = (self.real(inode), self.real(newparent));
        let entry = self.fs.link(ctx, inode, newparent, newname)?;
        self.granted(newparent, newname, &entry);
        Ok(entry)
    }

    fn create(
        &self,
        ctx: Context,
        parent: Inode,
        name: &CStr,
        mode: u32,
        kill_priv: bool,
        flags: u32,
        umask: u32,
        extensions: Extensions,
    ) -> io::Result<(Entry, Option<Handle>, OpenOptions)> {
        let parent = self.real(parent);
        let created = self
            .fs
            .create(ctx, parent, name, mode, kill_priv, flags, umask, extensions)?;
        self.granted(parent, name, &created.0);
        Ok(created)
    }

    fn rename(
        &self,
        ctx: Context,
        olddir: Inode,
        oldname: &CStr,
        newdir: Inode,
        newname: &CStr,
        flags: u32,
    ) -> io::Result<()> {
        let (olddir, newdir) = (self.real(olddir), self.real(newdir));
        self.fs
            .rename(ctx, olddir, oldname, newdir, newname, flags)?;
        self.shared.names().rename(
            (olddir, oldname.to_bytes()),
            (newdir, newname.to_bytes()),
            flags & libc::RENAME_EXCHANGE != 0,
        );
        Ok(())
    }

    fn read<W: ZeroCopyWriter>(
        &self,
        ctx: Context,
        inode: Inode,
        handle: Handle,
        w: W,
        size: u32,
        offset: u64,
        lock_owner: Option<u64>,
        flags: u32,
    ) -> io::Result<usize> {
        let inode = self.real(inode);
        self.fs
            .read(ctx, inode, handle, w, size, offset, lock_owner, flags)
    }

    fn write<R: ZeroCopyReader>(
        &self,
        ctx: Context,
        inode: Inode,
        handle: Handle,
        r: R,
        size: u32,
        offset: u64,
        lock_owner: Option<u64>,
        delayed_write: bool,
        kill_priv: bool,
        flags: u32,
    ) -> io::Result<usize> {
        self.fs.write(
            ctx,
            self.real(inode),
            handle,
            r,
            size,
            offset,
            lock_owner,
            delayed_write,
            kill_priv,
            flags,
        )
    }

    fn copyfilerange(
        &self,
        ctx: Context,
        inode_in: Inode,
        handle_in: Handle,
        offset_in: u64,
        inode_out: Inode,
        handle_out: Handle,
        offset_out: u64,
        len: u64,
        flags: u64,
    ) -> io::Result<usize> {
        self.fs.copyfilerange(
            ctx,
            self.real(inode_in),
            handle_in,
            offset_in,
            self.real(inode_out),
            handle_out,
            offset_out,
            len,
            flags,
        )
    }

    pass_on! {
        fn getattr(ctx: Context, inode: Inode, handle: Option<Handle>) -> io::Result<(Attr, Duration)>;
        fn setattr(
            ctx: Context, inode: Inode, attr: SetattrIn, handle: Option<Handle>, valid: SetattrValid
        ) -> io::Result<(Attr, Duration)>;
        fn readlink(ctx: Context, inode: Inode) -> io::Result<Vec<u8>>;
        fn unlink(ctx: Context, parent: Inode, name: &CStr) -> io::Result<()>;
        fn rmdir(ctx: Context, parent: Inode, name: &CStr) -> io::Result<()>;
        fn open(
            ctx: Context, inode: Inode, kill_priv: bool, flags: u32
        ) -> io::Result<(Option<Handle>, OpenOptions)>;
        fn flush(ctx: Context, inode: Inode, handle: Handle, lock_owner: u64) -> io::Result<()>;
        fn fsync(ctx: Context, inode: Inode, datasync: bool, handle: Handle) -> io::Result<()>;
        fn fallocate(
            ctx: Context, inode: Inode, handle: Handle, mode: u32, offset: u64, length: u64
        ) -> io::Result<()>;
        fn release(
            ctx: Context,
            inode: Inode,
            flags: u32,
            handle: Handle,
            flush: bool,
            flock_release: bool,
            lock_owner: Option<u64>
        ) -> io::Result<()>;
        fn statfs(ctx: Context, inode: Inode) -> io::Result<libc::statvfs64>;
        fn setxattr(
            ctx: Context,
            inode: Inode,
            name: &CStr,
            value: &[u8],
            flags: u32,
            extra_flags: SetxattrFlags
        ) -> io::Result<()>;
        fn getxattr(ctx: Context, inode: Inode, name: &CStr, size: u32) -> io::Result<GetxattrReply>;
        fn listxattr(ctx: Context, inode: Inode, size: u32) -> io::Result<ListxattrReply>;
        fn removexattr(ctx: Context, inode: Inode, name: &CStr) -> io::Result<()>;
        fn opendir(
            ctx: Context, inode: Inode, flags: u32
        ) -> io::Result<(Option<Handle>, OpenOptions)>;
        fn readdir(
            ctx: Context, inode: Inode, handle: Handle, size: u32, offset: u64
        ) -> io::Result<Self::DirIter>;
        fn fsyncdir(ctx: Context, inode: Inode, datasync: bool, handle: Handle) -> io::Result<()>;
        fn releasedir(ctx: Context, inode: Inode, flags: u32, handle: Handle) -> io::Result<()>;
        fn access(ctx: Context, inode: Inode, mask: u32) -> io::Result<()>;
        fn lseek(
            ctx: Context, inode: Inode, handle: Handle, offset: u64, whence: u32
        ) -> io::Result<u64>;
        fn syncfs(ctx: Context, inode: Inode) -> io::Result<()>;
    }

    // The rest (locks, ioctl, bmap, poll, tmpfile) has no arguments in the
    // trait and no implementation in the passthrough: both answer ENOSYS.
}
