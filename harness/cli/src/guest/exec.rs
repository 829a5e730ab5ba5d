//! A program in a guest, as the host sees it.

use std::{
    io,
    time::{Duration, Instant},
};

use lookback_triage::Finding;
use lookback_wire::{
    control::{FromGuest, ToGuest},
    exec::{ExecPlan, ExecStatus, Stream},
    frame,
};

use crate::{
    failure::Failure,
    guest::session::{Gone, Session},
};

/// What came of a program.
#[derive(Debug)]
pub struct ExecReturn {
    /// How the program ended, or the guest it ran in.
    pub ended: Result<ExecStatus, Gone>,
    /// What the kernel complained about meanwhile.
    pub findings: Vec<Finding>,
    /// What the agent could not unmount afterwards, and what it failed at.
    pub troubles: Vec<String>,
    /// Why what the program printed did not all get out.
    pub lost: Option<io::Error>,
}

/// Takes what a program prints.
pub type Sink<'a> = &'a mut dyn FnMut(Stream, &[u8]) -> io::Result<()>;

impl Session {
    /// Runs a program to its end, the guest's, or the limit's.
    pub fn exec(&mut self, plan: ExecPlan, limit: Duration, sink: Sink<'_>) -> ExecReturn {
        let deadline = Instant::now() + limit;
        let (mut findings, mut troubles, mut lost) = (Vec::new(), Vec::new(), None);
        // A guest that does not take it has ended, which its events tell.
        let _ = frame::write_frame(&mut &self.control, &ToGuest::Exec(Box::new(plan)));
        let ended = loop {
            match self.message(deadline, &mut findings) {
                Ok(FromGuest::Output { stream, bytes }) => {
                    if lost.is_none() {
                        lost = sink(stream, &bytes).err();
                    }
                }
                Ok(FromGuest::Exited(status)) => break Ok(status),
                Ok(FromGuest::Trouble { what, .. } | FromGuest::Broken(what)) => {
                    troubles.push(what);
                }
                Ok(other) => troubles.push(format!("unexpected message {other:?}")),
                Err(gone) => break Err(gone),
            }
        };
        ExecReturn {
            ended,
            findings,
            troubles,
            lost,
        }
    }

    /// What the kernel has logged so far.
    pub fn kernel_log(&mut self, limit: Duration) -> Result<String, Failure> {
        let deadline = Instant::now() + limit;
        let _ = frame::write_frame(&mut &self.control, &ToGuest::KernelLog);
        let mut findings = Vec::new();
        let answer = self.message(deadline, &mut findings);
        self.boot_findings.append(&mut findings);
        let mut text = match answer {
            Ok(FromGuest::Log(log)) => {
                return log.map_err(|why| Failure::Agent(format!("the kernel's log: {why}")));
            }
            Ok(other) => {
                let why = format!("the agent, asked for the kernel's log, answered {other:?}");
                return Err(Failure::Agent(why));
            }
            Err(Gone::Died(why)) => why,
            Err(Gone::TimedOut) => format!("no kernel log within {} s", limit.as_secs()),
        };
        for finding in &self.boot_findings {
            text.push_str(&format!("; its kernel: {}", finding.title));
        }
        Err(Failure::NoAgent {
            text,
            crashed: !self.boot_findings.is_empty(),
        })
    }
}
