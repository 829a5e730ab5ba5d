//! What a guest is made of: a kernel and an agent that are there, images,
//! servers and sockets that are made for it.

use std::{
    fs, io,
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

/// What is made anew for each guest, in its directory.
const BULK: [&str; 5] = [
    "lower.img",
    "ext4.img",
    "share-backed",
    "share-plain",
    "initramfs.cpio",
];

/// Removes what was made for a guest, as far as it is there.
pub fn remove_bulk(directory: &Path) -> Result<(), Failure> {
    for path in BULK.map(|name| directory.join(name)) {
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

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

    /// Makes the directory of a run that begins now.
    pub fn folder(&self) -> Result<Folder, Failure> {
        Folder::create(&self.output, &folder::stamp(SystemTime::now()))
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
}

impl Rig {
    /// Makes what is made for each guest anew, in `directory`; one at a time has
    /// its sockets in `sockets`.
    pub fn build(parts: &Parts, sockets: &SocketDir, directory: &Path) -> Result<Self, Failure> {
        let images = ext4_pair(directory, &parts.recipe)?;
        let initramfs_path = directory.join("initramfs.cpio");
        initramfs(&parts.agent, &initramfs_path)?;
        let servers = Servers::start(directory, sockets)?;
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
            run_dir: directory.to_owned(),
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
        })
    }

    /// Removes what every run makes anew.
    pub fn remove_bulk(&self) -> Result<(), Failure> {
        remove_bulk(&self.spec.run_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["console.log", "lower.img"] {
            fs::write(at(name), "").unwrap();
        }
        fs::create_dir(at("share-backed")).unwrap();
        remove_bulk(dir.path()).unwrap();
        remove_bulk(dir.path()).unwrap();
        let left = fs::read_dir(dir.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["console.log"]);
    }
}
