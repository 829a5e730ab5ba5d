//! Guests one after the other, each made of everything anew.

use std::time::{Duration, Instant};

use lookback_engine::{Engine, SocketDir};
use lookback_triage::Finding;

use crate::{
    failure::Failure,
    guest::{folder::Folder, session::Session},
    run::rig::{self, Parts, Rig},
};

/// A guest, and what it is made of.
#[derive(Debug)]
pub struct Guest {
    // Ends before what it is made of.
    /// The conversation with it.
    pub session: Session,
    /// Its images and servers.
    pub rig: Rig,
    /// Which it is of its run; the first is 1.
    pub number: u32,
    /// From the engine's start to the agent's answer.
    pub boot: Duration,
    /// Signatures of what its kernel had said before the first case.
    pub known: Vec<String>,
}

/// One guest at a time, booted when somebody wants one.
#[derive(Debug)]
pub struct Guests<'a> {
    parts: &'a Parts,
    engine: &'a dyn Engine,
    sockets: &'a SocketDir,
    limit: Duration,
    current: Option<Guest>,
    /// How many came up.
    pub booted: u32,
    // After the guest that has its files there.
    /// The directory of all of them.
    pub folder: Folder,
}

impl<'a> Guests<'a> {
    /// None yet, but the directory for them. `limit` is what a boot may take.
    pub fn new(
        parts: &'a Parts,
        engine: &'a dyn Engine,
        sockets: &'a SocketDir,
        limit: Duration,
    ) -> Result<Self, Failure> {
        Ok(Self {
            parts,
            engine,
            sockets,
            limit,
            current: None,
            booted: 0,
            folder: parts.folder()?,
        })
    }

    /// The guest there is, else a fresh one. It is the caller's until it is put
    /// back; the one before must be gone, whose sockets the next one takes.
    pub fn take(&mut self) -> Result<Guest, Failure> {
        match self.current.take() {
            Some(guest) => Ok(guest),
            None => self.boot(),
        }
    }

    /// Whoever is next gets this guest, too.
    pub fn put_back(&mut self, guest: Guest) {
        self.current = Some(guest);
    }

    /// The guest that was put back last, if there is one.
    pub fn take_current(&mut self) -> Option<Guest> {
        self.current.take()
    }

    fn boot(&mut self) -> Result<Guest, Failure> {
        let number = self.booted + 1;
        let directory = self.folder.guest(number)?;
        let booted = Rig::build(self.parts, self.sockets, &directory).and_then(|rig| {
            let began = Instant::now();
            let session = boot(self.engine, &rig, &mut self.folder, self.limit)?;
            Ok((session, rig, began.elapsed()))
        });
        let (session, rig, boot) = match booted {
            Ok(booted) => booted,
            Err(failure) => {
                // The failure is what counts, of which a full disk may be one.
                if let Err(error) = rig::remove_bulk(&directory) {
                    tracing::warn!("{error}");
                }
                return Err(failure);
            }
        };
        self.booted = number;
        let signature = |finding: &Finding| finding.signature.clone();
        Ok(Guest {
            known: session.boot_findings.iter().map(signature).collect(),
            session,
            rig,
            boot,
            number,
        })
    }
}

/// Boots the rig's guest. If it does not come up, what may say why is kept.
pub fn boot(
    engine: &dyn Engine,
    rig: &Rig,
    folder: &mut Folder,
    limit: Duration,
) -> Result<Session, Failure> {
    let booted = Session::boot(engine, &rig.spec, limit);
    if matches!(booted, Err(Failure::NoAgent { .. })) {
        folder.keep();
        rig.remove_bulk()?;
    }
    booted
}
