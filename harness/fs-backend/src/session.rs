//! The serving thread: one front end after the other.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use tracing::{debug, info, warn};
use vhost::vhost_user::{Error as VhostUserError, Listener};
use vhost_user_backend::{Error as DaemonError, VhostUserDaemon};
use virtiofsd::passthrough::read_only::PassthroughFsRo;
use virtiofsd::passthrough::{CachePolicy, Config as PassthroughConfig, PassthroughFs};
use vm_memory::GuestMemoryAtomic;

use crate::config::{BackendConfig, BackendError, Sessions, system};
use crate::control::Control;
use crate::device::Device;
use crate::observed::HostFs;
use crate::service::{Memory, Service};
use crate::shared::Shared;
use crate::socket::Socket;

/// The thread that waits for front ends and serves them.
pub(crate) struct ServerThread {
    pub(crate) config: BackendConfig,
    /// Absolute, without symlinks: the passthrough follows none.
    pub(crate) root: String,
    /// Files that may be open on the guest's behalf.
    pub(crate) guest_files: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) control: Arc<Control>,
}

impl ServerThread {
    /// Serves until it is stopped or the one session is over. Sends to `ready`
    /// when nothing but a front end is missing.
    pub(crate) fn run(
        &self,
        socket: Socket,
        ready: &mpsc::SyncSender<()>,
    ) -> Result<(), BackendError> {
        // The passthrough clears the umask and, for extended attributes, goes
        // to /proc/self/fd and back. Both belong to the process unless they
        // are unshared. The queue's thread is a child of this one and shares
        // them with it, and no other thread of the process does.
        unshare(CloneFlags::CLONE_FS).map_err(|errno| system("unshare(CLONE_FS)")(errno.into()))?;
        let mut listener = Listener::from(socket.listener()?);
        // Nobody waits for it if `spawn` is gone, which it is not.
        let _ = ready.send(());

        while self.front_end_waits(&socket)? {
            let session = if self.config.readonly {
                PassthroughFsRo::new(self.passthrough())
                    .map_err(self.unusable())
                    .and_then(|fs| self.session(fs, &socket, &mut listener))
            } else {
                PassthroughFs::new(self.passthrough())
                    .map_err(self.unusable())
                    .and_then(|fs| self.session(fs, &socket, &mut listener))
            };
            match (session, self.config.sessions) {
                (Ok(true), Sessions::One) => break,
                (Ok(_), _) => {}
                (Err(error), Sessions::One) => return Err(error),
                (Err(error), Sessions::Many) => warn!("a front end was lost: {error}"),
            }
        }
        Ok(())
    }

    /// Waits for a front end to connect; `false` if the backend is stopped.
    fn front_end_waits(&self, socket: &Socket) -> Result<bool, BackendError> {
        loop {
            let mut fds = [
                PollFd::new(self.control.stop.as_fd(), PollFlags::POLLIN),
                PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(system("poll")(errno.into())),
            }
            let [stop, front_end] = fds.map(|fd| fd.any().unwrap_or(false));
            if stop {
                return Ok(false);
            }
            if front_end {
                return Ok(true);
            }
        }
    }

    /// Serves one front end; returns whether it was one.
    fn session<F>(
        &self,
        fs: F,
        socket: &Socket,
        listener: &mut Listener,
    ) -> Result<bool, BackendError>
    where
        F: HostFs,
    {
        let service = Service::new(fs, Arc::clone(&self.shared), self.config.offer_backing);
        let device = Arc::new(Device::new(service, self.config.tag.clone()));
        let mut daemon = VhostUserDaemon::new(
            "fs-backend-ctl".to_owned(),
            Arc::clone(&device),
            GuestMemoryAtomic::new(Memory::new()),
        )
        .map_err(|error| self.vhost_user(&error))?;
        daemon
            .start(listener)
            .map_err(|error| self.vhost_user(&error))?;
        let connection = socket.accepted().map_err(system("/proc/self/fd"))?;
        self.control.connected(connection);
        info!("{}: a front end connected", self.config.socket.display());

        let end = daemon.wait();
        self.control.connected(None);
        // Ends and joins the queue's thread.
        drop(daemon);
        debug!(?end, "the front end is gone");
        match end {
            Ok(()) => {}
            // It went, between messages or within one, as a killed QEMU does.
            Err(DaemonError::HandleRequest(
                VhostUserError::Disconnected
                | VhostUserError::PartialMessage
                | VhostUserError::SocketBroken(_),
            )) => {}
            Err(_) if self.control.stop.is_signalled() => {}
            Err(error) => return Err(self.vhost_user(&error)),
        }
        Ok(device.claimed())
    }

    fn passthrough(&self) -> PassthroughConfig {
        PassthroughConfig {
            root_dir: self.root.clone(),
            entry_timeout: self.config.entry_timeout,
            attr_timeout: self.config.attr_timeout,
            cache_policy: CachePolicy::Auto,
            xattr: true,
            allow_direct_io: self.config.allow_direct_io,
            guest_fd_limit: self.guest_files,
            ..PassthroughConfig::default()
        }
    }

    fn unusable(&self) -> impl Fn(io::Error) -> BackendError {
        let path = self.config.shared_dir.clone();
        move |source| BackendError::SharedDir {
            path: path.clone(),
            source,
        }
    }

    fn vhost_user(&self, error: &DaemonError) -> BackendError {
        BackendError::VhostUser {
            socket: self.config.socket.clone(),
            reason: error.to_string(),
        }
    }
}
