//! Where each arm is in the guest, and putting it there.

use lookback_ops::{Base, Op};
use lookback_wire::control::{
    Arm, CasePlan, DISK_EXT4, DISK_LOWER, OUTSIDE, STACK, TAG_BACKED, TAG_PLAIN,
};
use thiserror::Error;

use crate::devfuse::{self, Below, DevfuseError, Mounted, Seen};
use crate::exec::{Bases, Mount};
use crate::guest::{self, GuestError};
use crate::mounts::{
    self, BACKED, DEVFUSE, DEVFUSE_OUTSIDE, EXT4, EXT4_OUTSIDE, LOWER, MountError, PLAIN,
    PLAIN_OUTSIDE,
};

/// An arm can't be set up.
#[derive(Debug, Error)]
pub enum ArmError {
    /// A disk is missing from the machine.
    #[error("no disk has the serial number `{0}` (/sys/block/*/serial)")]
    NoDisk(&'static str),
    /// It can't be mounted or unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A directory of the case can't be made.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// `devfuse` or its daemon.
    #[error(transparent)]
    Devfuse(#[from] DevfuseError),
}

impl ArmError {
    /// Something was still busy after everything on it was closed.
    pub fn is_leak(&self) -> bool {
        match self {
            ArmError::Mount(e) | ArmError::Devfuse(DevfuseError::Mount(e)) => e.is_leak(),
            _ => false,
        }
    }
}

/// The arms of one case.
#[derive(Debug)]
pub struct Arms {
    id: String,
    arms: Vec<Arm>,
    /// The case has a use for `@outside`. Where it has none the server is
    /// spared the requests, so that its counters show the backed tree alone.
    outside: bool,
    /// The case's lower directory backs the root of the share.
    root_dir: bool,
}

impl Arms {
    /// Those `plan` asks for, the reference last.
    pub fn of(plan: &CasePlan) -> Arms {
        let mut arms = plan.arms.clone();
        arms.sort_unstable();
        arms.dedup();
        let outside = plan
            .setup
            .iter()
            .chain(&plan.trace)
            .any(|line| uses_outside(&line.op));
        Arms {
            id: plan.id.clone(),
            arms,
            outside,
            root_dir: plan.root_dir,
        }
    }

    /// The arms, the reference last.
    pub fn list(&self) -> &[Arm] {
        &self.arms
    }

    /// Whether the case runs on `arm`.
    pub fn has(&self, arm: Arm) -> bool {
        self.arms.contains(&arm)
    }

    /// The arms that have a directory of the lower disk.
    pub fn with_lower(&self) -> Vec<Arm> {
        let arms = self.arms.iter().copied();
        arms.filter(|arm| arm.has_lower()).collect()
    }

    /// The case's directory, not through FUSE for `backed` and `devfuse`.
    pub fn case_dir(&self, arm: Arm) -> String {
        let root = match arm {
            Arm::Backed => LOWER,
            Arm::Devfuse => return format!("{LOWER}/{}.devfuse", self.id),
            Arm::Plain => PLAIN,
            Arm::Ext4 => EXT4,
        };
        format!("{root}/{}", self.id)
    }

    /// The directory under test.
    pub fn root(&self, arm: Arm) -> String {
        match arm {
            Arm::Backed if self.root_dir => BACKED.into(),
            Arm::Backed => format!("{BACKED}/{STACK}"),
            Arm::Devfuse if self.root_dir => DEVFUSE.into(),
            Arm::Devfuse => format!("{DEVFUSE}/{STACK}"),
            Arm::Plain | Arm::Ext4 => self.case_dir(arm),
        }
    }

    /// Where paths of the trace start.
    pub fn bases(&self, arm: Arm) -> Bases {
        Bases {
            arm: self.root(arm),
            lower: self.case_dir(arm),
            outside: self.outside(arm),
            root: mount_point(arm).into(),
            mount: match arm {
                Arm::Backed => Mount::Virtiofs { tag: TAG_BACKED },
                Arm::Plain => Mount::Virtiofs { tag: TAG_PLAIN },
                Arm::Devfuse => Mount::Fuse,
                Arm::Ext4 => Mount::Local,
            },
        }
    }

    /// Where paths of the setup start.
    pub fn setup_bases(&self, arm: Arm) -> Bases {
        Bases {
            arm: self.case_dir(arm),
            outside: self.outside_below(arm),
            ..self.bases(arm)
        }
    }

    fn outside(&self, arm: Arm) -> String {
        let id = &self.id;
        match arm {
            Arm::Backed => format!("{BACKED}/{OUTSIDE}/{id}"),
            Arm::Plain => format!("{PLAIN_OUTSIDE}/{id}"),
            Arm::Devfuse => format!("{DEVFUSE}/{OUTSIDE}/{id}"),
            Arm::Ext4 => format!("{EXT4_OUTSIDE}/{id}"),
        }
    }

    /// `@outside` where it can be reached before the arm's own mount is there.
    fn outside_below(&self, arm: Arm) -> String {
        match arm {
            Arm::Devfuse => format!("{DEVFUSE_OUTSIDE}/{}", self.id),
            Arm::Backed | Arm::Plain | Arm::Ext4 => self.outside(arm),
        }
    }

    /// Mount `devfuse`, once what is to back it is there. `seen` is what the
    /// case's last daemon had seen.
    ///
    /// # Errors
    /// [`ArmError`].
    pub fn mount_devfuse(&self, plan: &CasePlan, seen: &Seen) -> Result<Mounted, ArmError> {
        let below = Below {
            case_dir: &self.case_dir(Arm::Devfuse),
            outside: self.outside.then_some(DEVFUSE_OUTSIDE),
        };
        Ok(devfuse::mount(plan, below, seen)?)
    }

    /// Mount `arm`: its disk and its share. With `root_dir` the share waits for
    /// [`Arms::mount_root`], since its directory may not be there yet. So does
    /// `devfuse`, for [`Arms::mount_devfuse`]. The lower disk is mounted before.
    ///
    /// # Errors
    /// [`ArmError`].
    pub fn mount(&self, arm: Arm) -> Result<(), ArmError> {
        match arm {
            Arm::Backed if self.root_dir => {}
            Arm::Backed => mounts::mount_share(TAG_BACKED, BACKED)?,
            Arm::Plain => mounts::mount_share(TAG_PLAIN, PLAIN)?,
            Arm::Devfuse => {}
            Arm::Ext4 => mounts::mount_disk(&disk(DISK_EXT4)?, EXT4)?,
        }
        if self.outside {
            let (parent, bound) = match arm {
                Arm::Backed => (BACKED, None),
                Arm::Plain => (PLAIN, Some(PLAIN_OUTSIDE)),
                Arm::Devfuse => (LOWER, Some(DEVFUSE_OUTSIDE)),
                Arm::Ext4 => (EXT4, Some(EXT4_OUTSIDE)),
            };
            let dir = format!("{parent}/{OUTSIDE}");
            guest::make_dir(&dir)?;
            if let Some(on) = bound {
                mounts::bind(&dir, on)?;
            }
        }
        Ok(())
    }

    /// Make the case's `@outside` of `arm`, if it has one.
    ///
    /// # Errors
    /// [`ArmError::Guest`].
    pub fn make_outside(&self, arm: Arm) -> Result<(), ArmError> {
        if self.outside {
            guest::make_dir(&self.outside_below(arm))?;
        }
        Ok(())
    }

    /// The disks the case writes to.
    pub fn disks(&self) -> Vec<CaseDisk> {
        let id = &self.id;
        let disk = |serial, point: &'static str, names: &[String]| CaseDisk {
            serial,
            point,
            dirs: names.iter().map(|name| format!("{point}/{name}")).collect(),
        };
        let outside = format!("{OUTSIDE}/{id}");
        let mut disks = Vec::new();
        if !self.with_lower().is_empty() {
            let dirs = [id.clone(), format!("{id}.devfuse"), outside.clone()];
            disks.push(disk(DISK_LOWER, LOWER, &dirs));
        }
        if self.has(Arm::Ext4) {
            disks.push(disk(DISK_EXT4, EXT4, &[id.clone(), outside]));
        }
        disks
    }

    /// Mount what lies below `backed` and `devfuse`.
    ///
    /// # Errors
    /// [`ArmError`].
    pub fn mount_lower(&self) -> Result<(), ArmError> {
        Ok(mounts::mount_disk(&disk(DISK_LOWER)?, LOWER)?)
    }

    /// Mount the backed share on the case's lower directory, as its root.
    ///
    /// # Errors
    /// [`ArmError`].
    pub fn mount_root(&self) -> Result<(), ArmError> {
        let dir = self.case_dir(Arm::Backed);
        Ok(mounts::mount_share_on(TAG_BACKED, &dir, BACKED)?)
    }

    /// Unmount what lies below `backed` and `devfuse`, both unmounted.
    pub fn unmount_lower(&self) -> Vec<ArmError> {
        let outside = mounts::unmount(DEVFUSE_OUTSIDE).map_err(Into::into);
        let lower = disk(DISK_LOWER).and_then(|device| Ok(mounts::unmount_disk(&device, LOWER)?));
        [outside, lower]
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }

    /// Unmount `arm`, but not the lower disk; everything is tried whatever
    /// fails.
    pub fn unmount(&self, arm: Arm) -> Vec<ArmError> {
        let results = match arm {
            Arm::Backed => vec![mounts::unmount(BACKED).map_err(Into::into)],
            Arm::Plain => {
                vec![
                    mounts::unmount(PLAIN_OUTSIDE).map_err(Into::into),
                    mounts::unmount(PLAIN).map_err(Into::into),
                ]
            }
            Arm::Devfuse => vec![mounts::unmount(DEVFUSE).map_err(Into::into)],
            Arm::Ext4 => vec![
                mounts::unmount(EXT4_OUTSIDE).map_err(Into::into),
                disk(DISK_EXT4).and_then(|device| Ok(mounts::unmount_disk(&device, EXT4)?)),
            ],
        };
        results.into_iter().filter_map(Result::err).collect()
    }
}

/// A disk a case writes to.
#[derive(Debug)]
pub struct CaseDisk {
    /// Its serial number.
    pub serial: &'static str,
    /// Where it is mounted.
    pub point: &'static str,
    /// The directories of the case, those that are there among them.
    pub dirs: Vec<String>,
}

impl CaseDisk {
    /// Mount it.
    ///
    /// # Errors
    /// [`ArmError`].
    pub fn mount(&self) -> Result<(), ArmError> {
        Ok(mounts::mount_disk(&disk(self.serial)?, self.point)?)
    }

    /// Unmount it.
    ///
    /// # Errors
    /// [`ArmError`].
    pub fn unmount(&self) -> Result<(), ArmError> {
        Ok(mounts::unmount_disk(&disk(self.serial)?, self.point)?)
    }
}

/// The mounts that the paths of [`Arms::bases`] lie on.
pub fn mount_points(arm: Arm) -> [&'static str; 2] {
    match arm {
        Arm::Backed => [BACKED, LOWER],
        Arm::Plain => [PLAIN, PLAIN_OUTSIDE],
        Arm::Devfuse => [DEVFUSE, LOWER],
        Arm::Ext4 => [EXT4, EXT4_OUTSIDE],
    }
}

/// Where the arm's own file system is mounted.
pub fn mount_point(arm: Arm) -> &'static str {
    match arm {
        Arm::Backed => BACKED,
        Arm::Plain => PLAIN,
        Arm::Devfuse => DEVFUSE,
        Arm::Ext4 => EXT4,
    }
}

fn disk(serial: &'static str) -> Result<String, ArmError> {
    guest::disk(serial).ok_or(ArmError::NoDisk(serial))
}

fn uses_outside(op: &Op) -> bool {
    op.paths().iter().any(|path| path.base == Base::Outside)
}
