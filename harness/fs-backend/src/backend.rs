//! The backend's life: from a configuration to a thread that serves, and back.

use std::fmt;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lookback_wire::rules::{Rules, RulesError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::eventfd::{EfdFlags, EventFd};
use thiserror::Error;
use tracing::{debug, info, warn};
use vhost::vhost_user::{Error as VhostUserError, Listener};
use vhost_user_backend::{Error as DaemonError, VhostUserDaemon};
use virtiofsd::limits::setup_rlimit_nofile;
use virtiofsd::passthrough::read_only::PassthroughFsRo;
use virtiofsd::passthrough::{CachePolicy, Config as PassthroughConfig, PassthroughFs};
use vm_memory::GuestMemoryAtomic;

use crate::counters::Counters;
use crate::device::{Device, MAX_TAG_LEN};
use crate::observed::HostFs;
use crate::service::{Memory, Service};
use crate::shared::Shared;
use crate::socket::{Socket, SocketError};

/// How many front ends a backend serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// One: the backend finishes when it disconnects.
    One,
    /// One after the other, until the backend is stopped.
    Many,
}

/// What to serve, where and how.
#[derive(Debug, Clone)]
pub struct BackendConfig {
    /// The vhost-user socket to listen on.
    pub socket: PathBuf,
    /// The directory of the host that is the root of the share.
    pub shared_dir: PathBuf,
    /// The tag, for a front end that asks the backend for it (QEMU's
    /// vhost-user-fs-device has its own).
    pub tag: Option<String>,
    /// The rules to begin with.
    pub rules: Rules,
    /// Offer backing entries to a guest that knows them. Without, INIT is
    /// answered as by virtiofsd, and no rule's backing entry is ever sent.
    pub offer_backing: bool,
    /// Refuse everything that would change the share.
    pub readonly: bool,
    /// How long the guest may trust a name, unless a rule says otherwise.
    pub entry_timeout: Duration,
    /// How long the guest may trust attributes, unless a rule says otherwise.
    pub attr_timeout: Duration,
    /// Open files with O_DIRECT where the guest does, so that its alignment
    /// errors are the host file system's.
    pub allow_direct_io: bool,
    /// How many front ends to serve.
    pub sessions: Sessions,
}

impl BackendConfig {
    /// An ordinary virtiofs server for one front end, with the timeouts of
    /// virtiofsd's `--cache auto`.
    pub fn new(socket: impl Into<PathBuf>, shared_dir: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            shared_dir: shared_dir.into(),
            tag: None,
            rules: Rules::default(),
            offer_backing: false,
            readonly: false,
            entry_timeout: Duration::from_secs(1),
            attr_timeout: Duration::from_secs(1),
            allow_direct_io: true,
            sessions: Sessions::One,
        }
    }
}

/// Why a backend does not serve, or stopped to.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The shared directory can't be used.
    #[error("shared directory {}: {source}", path.display())]
    SharedDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// virtiofsd takes its root as a string.
    #[error("shared directory {}: the path is not UTF-8", path.display())]
    NotUtf8 {
        /// The directory.
        path: PathBuf,
    },
    /// The tag does not fit the device's configuration space.
    #[error("tag {tag:?}: a tag has 1 to {MAX_TAG_LEN} bytes")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// A rule is wrong.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The socket can't be served on.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// RLIMIT_NOFILE can't be raised: the server keeps a file open for every
    /// inode the guest knows.
    #[error("the limit of open files: {0}")]
    OpenFiles(String),
    /// A system call the backend can't do without.
    #[error("{call}: {source}")]
    System {
        /// Which.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The front end and the backend don't understand each other.
    #[error("vhost-user on {}: {reason}", socket.display())]
    VhostUser {
        /// The socket.
        socket: PathBuf,
        /// What the library says.
        reason: String,
    },
    /// The serving thread panicked.
    #[error("the backend's thread panicked")]
    Panic,
}

/// Starts backends.
#[derive(Debug)]
pub struct Backend;

impl Backend {
    /// Listens on the socket and serves it in threads of this process.
    ///
    /// When this returns a front end may connect. Raises the process's
    /// RLIMIT_NOFILE. To give files to other users than the process's own,
    /// as a guest's root may, the process must be root.
    ///
    /// # Errors
    /// Everything that can be known before a front end connects.
    pub fn spawn(config: BackendConfig) -> Result<BackendHandle, BackendError> {
        config.rules.check()?;
        if let Some(tag) = &config.tag
            && !(1..=MAX_TAG_LEN).contains(&tag.len())
        {
            return Err(BackendError::Tag { tag: tag.clone() });
        }
        let root = root(&config.shared_dir)?;
        let limit = setup_rlimit_nofile(None).map_err(BackendError::OpenFiles)?;
        let socket = Socket::bind(&config.socket)?;

        let shared = Arc::new(Shared::new(config.rules.clone()));
        let control = Arc::new(Control::new()?);
        let (ready, started) = mpsc::sync_channel(1);
        let path = config.socket.clone();
        let server = ServerThread {
            config,
            root,
            guest_files: limit / 2,
            shared: Arc::clone(&shared),
            control: Arc::clone(&control),
        };
        let thread = thread::Builder::new()
            .name("fs-backend".to_owned())
            .spawn(move || {
                let result = server.run(socket, &ready);
                server.control.done.signal();
                result
            })
            .map_err(system("starting a thread"))?;
        let handle = BackendHandle {
            socket: path,
            shared,
            control,
            thread: Some(thread),
        };
        match started.recv() {
            Ok(()) => Ok(handle),
            // The thread ended before it was ready, and knows why.
            Err(mpsc::RecvError) => match handle.wait() {
                Err(error) => Err(error),
                Ok(()) => Err(BackendError::Panic),
            },
        }
    }
}

/// A running backend. Dropping it stops it.
pub struct BackendHandle {
    socket: PathBuf,
    shared: Arc<Shared>,
    control: Arc<Control>,
    thread: Option<JoinHandle<Result<(), BackendError>>>,
}

impl fmt::Debug for BackendHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendHandle")
            .field("socket", &self.socket)
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl BackendHandle {
    /// The socket a front end connects to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Replaces the rules. Names the guest has looked up already keep their
    /// answer until they expire.
    ///
    /// # Errors
    /// A rule is wrong; the rules in force stay.
    pub fn set_rules(&self, rules: Rules) -> Result<(), RulesError> {
        rules.check()?;
        self.shared.set_rules(rules);
        Ok(())
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.shared.rules().clone()
    }

    /// What reached the server since the last reset.
    pub fn counters(&self) -> Counters {
        self.shared.counters().clone()
    }

    /// Starts counting anew; returns the counts so far. Do so while nothing
    /// is mounted: which nodeids are backed is counted, too.
    pub fn reset_counters(&self) -> Counters {
        std::mem::take(&mut *self.shared.counters())
    }

    /// Whether the backend serves no more: the one front end disconnected, or
    /// it failed.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Becomes readable when the backend has finished.
    pub fn finished(&self) -> BorrowedFd<'_> {
        self.control.done.as_fd()
    }

    /// Waits until the backend finishes by itself.
    ///
    /// # Errors
    /// Why it did, unless a front end simply disconnected.
    pub fn wait(mut self) -> Result<(), BackendError> {
        self.join()
    }

    /// Stops the backend, hanging up on a front end that is still connected.
    ///
    /// # Errors
    /// It had failed before.
    pub fn stop(mut self) -> Result<(), BackendError> {
        self.control.stop();
        self.join()
    }

    fn join(&mut self) -> Result<(), BackendError> {
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| BackendError::Panic)?,
            None => Ok(()),
        }
    }
}

impl Drop for BackendHandle {
    fn drop(&mut self) {
        self.control.stop();
        if let Err(error) = self.join() {
            warn!("{}: {error}", self.socket.display());
        }
    }
}

/// An event that happens once.
struct Flag(EventFd);

impl Flag {
    fn new() -> Result<Self, BackendError> {
        EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map(Self)
            .map_err(|errno| system("eventfd")(errno.into()))
    }

    fn signal(&self) {
        // Fails only when the counter is full, that is, signalled already.
        let _ = self.0.write(1);
    }

    fn is_signalled(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Flag {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How the handle reaches the thread.
struct Control {
    stop: Flag,
    done: Flag,
    connection: Mutex<Option<UnixStream>>,
}

impl Control {
    fn new() -> Result<Self, BackendError> {
        Ok(Self {
            stop: Flag::new()?,
            done: Flag::new()?,
            connection: Mutex::new(None),
        })
    }

    fn stop(&self) {
        self.stop.signal();
        self.hang_up();
    }

    fn connected(&self, connection: Option<UnixStream>) {
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = connection;
        // `stop` may have come between accept and here.
        if self.stop.is_signalled() {
            self.hang_up();
        }
    }

    fn hang_up(&self) {
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &*connection {
            // An error means that the front end was faster.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

struct ServerThread {
    config: BackendConfig,
    root: String,
    guest_files: u64,
    shared: Arc<Shared>,
    control: Arc<Control>,
}

impl ServerThread {
    fn run(&self, socket: Socket, ready: &mpsc::SyncSender<()>) -> Result<(), BackendError> {
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

/// The share's root as the passthrough opens it: absolute, without symlinks.
fn root(shared_dir: &Path) -> Result<String, BackendError> {
    let path = || shared_dir.to_owned();
    let unusable = |source| BackendError::SharedDir {
        path: path(),
        source,
    };
    let root = fs::canonicalize(shared_dir).map_err(unusable)?;
    if !fs::metadata(&root).map_err(unusable)?.is_dir() {
        return Err(unusable(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    root.into_os_string()
        .into_string()
        .map_err(|_| BackendError::NotUtf8 { path: path() })
}

fn system(call: &'static str) -> impl Fn(io::Error) -> BackendError {
    move |source| BackendError::System { call, source }
}
