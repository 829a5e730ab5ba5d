//! What a guest is made of: a kernel and an agent that are there, images,
//! servers and sockets that are made for it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use lookback_engine::{Disk, GuestSpec, SocketDir};
use lookback_image::{Ext4Pair, Ext4Spec, ext4_pair, initramfs};
use lookback_kernel::{KernelFiles, Layout};
use lookback_wire::control::{DISK_EXT4, DISK_LOWER, PORT};

use crate::{
    args::BootArgs,
    failure::Failure,
    guest::{
        folder::{self, Folder},
        image,
        interrupt::{self, Heir},
    },
    paths,
    progress::BuildProgress,
    run::servers::Servers,
};

/// Memory of the guest: enough for KASAN's shadow and two page caches.
const MEMORY_MIB: u32 = 1024;
const CPUS: u32 = 2;

/// What every guest of a kernel has in common.
#[derive(Debug)]
pub struct Parts {
    agent: PathBuf,
    recipe: Ext4Spec,
    /// Where guests have the directories of their runs.
    pub output: PathBuf,
    /// The kernel.
    pub kernel: KernelFiles,
}

impl Parts {
    /// Finds the agent and the recipe of the images, and builds the kernel if
    /// it is one that can be built and something has changed.
    pub fn find(args: &BootArgs) -> Result<Self, Failure> {
        let layout = Layout::discover()?;
        // Before a kernel is built for nothing.
        let agent = paths::agent(args.machine.tools.agent.as_deref())?;
        let output = paths::output(&args.machine.tools.output)?;
        let recipe = layout
            .guest_kernel
            .with_file_name("images")
            .join("ext4.toml");
        let recipe = Ext4Spec::read(&recipe)?;
        let mut progress = BuildProgress::new(&args.kernel);
        let kernel =
            lookback_kernel::ensure(&layout, &args.kernel, args.profile.into(), &mut progress);
        progress.finish();
        Ok(Self {
            agent,
            recipe,
            output,
            kernel: kernel?,
        })
    }
}

/// A directory for sockets that is gone when this process is, by a signal, too;
/// and who may be told of the signal first.
pub fn sockets() -> Result<(SocketDir, Heir), Failure> {
    sockets_and(&[])
}

/// The same; a signal has more directories removed.
pub fn sockets_and(more: &[&Path]) -> Result<(SocketDir, Heir), Failure> {
    let sockets = SocketDir::new()?;
    let heir = interrupt::remove_on_signal(&[&[sockets.path()], more].concat())
        .map_err(Failure::io("catch signals to clean up", sockets.path()))?;
    Ok((sockets, heir))
}

/// Everything one guest is made of.
#[derive(Debug)]
pub struct Rig {
    // Before the directories that they serve.
    pub servers: Servers,
    pub images: Ext4Pair,
    pub spec: GuestSpec,
    pub folder: Folder,
}

impl Rig {
    /// Makes what is made for each guest anew; one at a time has its sockets in
    /// `sockets`.
    pub fn build(parts: &Parts, sockets: &SocketDir) -> Result<Self, Failure> {
        let folder = Folder::create(&parts.output, &folder::stamp(SystemTime::now()))?;
        let images = ext4_pair(&folder.path, &parts.recipe)?;
        let initramfs_path = folder.path.join("initramfs.cpio");
        initramfs(&parts.agent, &initramfs_path)?;
        let servers = Servers::start(&folder, sockets)?;
        let disk = |path: &Path, serial: &str| Disk {
            path: path.to_owned(),
            serial: serial.to_owned(),
            readonly: false,
        };
        let spec = GuestSpec {
            kernel: image(&parts.kernel),
            initramfs: initramfs_path,
            memory_mib: MEMORY_MIB,
            cpus: CPUS,
            run_dir: folder.path.clone(),
            control_port: PORT.to_owned(),
            disks: vec![
                disk(&images.lower, DISK_LOWER),
                disk(&images.ext4, DISK_EXT4),
            ],
            shares: servers.shares(),
            ..GuestSpec::default()
        };
        Ok(Self {
            servers,
            images,
            spec,
            folder,
        })
    }

    /// Removes what every run makes anew.
    pub fn remove_bulk(&self) -> Result<(), Failure> {
        for image in [&self.images.lower, &self.images.ext4] {
            fs::remove_file(image).map_err(Failure::io("remove", image))?;
        }
        for name in ["share-backed", "share-plain", "initramfs.cpio"] {
            self.folder.remove(name)?;
        }
        Ok(())
    }

    /// Keeps of a run without a result what may say why it has none.
    pub fn keep_logs(&mut self) -> Result<(), Failure> {
        self.folder.keep();
        self.remove_bulk()
    }
}
