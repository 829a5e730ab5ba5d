//! A program in a guest, as the host sees it.

use std::{
    io::{self, Read},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use lookback_wire::{
    control::{CasePlan, FromGuest, ToGuest},
    exec::{ExecPlan, ExecStatus, OUTPUT_MAX, Stream},
};

use crate::{
    failure::Failure,
    guest::{
        interrupt::Heir,
        line::Line,
        session::{CaseReturn, Gone, Session},
    },
};

/// How long a guest whose time is up may take to say what everything waits for.
const SHOW: Duration = Duration::from_secs(10);

/// What came of a program.
#[derive(Debug)]
pub struct ExecReturn {
    /// How the program ended, or the guest it ran in.
    pub ended: Result<ExecStatus, Gone>,
    /// What a case brings back besides its results.
    pub case: CaseReturn,
    /// Why what the program printed did not all get out.
    pub lost: Option<io::Error>,
}

/// Takes what a program prints.
pub type Sink<'a> = &'a mut dyn FnMut(Stream, &[u8]) -> io::Result<()>;

impl Session {
    /// Runs a program to its end, the guest's, or the limit's. If it takes
    /// input, it is given this process's standard input. `heir`, if given, has it
    /// told of the first signal to this process.
    pub fn exec(
        &mut self,
        plan: ExecPlan,
        limit: Duration,
        heir: Option<&Heir>,
        sink: Sink<'_>,
    ) -> ExecReturn {
        let deadline = Instant::now() + limit;
        let (mut back, mut lost) = (CaseReturn::new(), None);
        let (taken, takes) = mpsc::channel();
        let input = plan.input.then(|| self.line.clone());
        let arm = plan.arm.clone().unwrap_or_default();
        self.journal.begin("the program is sent".into());
        // A guest that does not take it has ended, which its events tell.
        let _ = self.line.send(&ToGuest::Exec(Box::new(plan)));
        if let Some(heir) = heir {
            heir.set(self.line.clone());
        }
        if let Some(line) = input {
            feed(line, takes);
        }
        let ended = loop {
            match self.message_by(deadline, &mut back.findings) {
                Ok(Some(FromGuest::Output { stream, bytes })) => {
                    if lost.is_none()
                        && let Err(error) = sink(stream, &bytes)
                    {
                        lost = Some(error);
                        // As if it had written to the broken pipe itself.
                        self.line.send_later(ToGuest::Signal(libc::SIGPIPE));
                    }
                }
                Ok(Some(FromGuest::Exited(status))) => break Ok(status),
                // Nobody waits for it once the input has ended.
                Ok(Some(FromGuest::Taken)) => drop(taken.send(())),
                Ok(Some(other)) => drop(self.take(other, &arm, &mut back)),
                Ok(None) => {
                    self.show_tasks(&mut back, &arm);
                    break Err(self.time_is_up(&mut back.findings));
                }
                Err(gone) => break Err(gone),
            }
        };
        if let Some(heir) = heir {
            heir.take();
        }
        self.journal.mark(format!("the program's end: {ended:?}"));
        ExecReturn {
            ended,
            case: back,
            lost,
        }
    }

    /// Has the agent say on the console what every process waits for, if it
    /// still can.
    fn show_tasks(&mut self, back: &mut CaseReturn, arm: &CasePlan) {
        let deadline = Instant::now() + SHOW;
        self.line.send_later(ToGuest::ShowTasks);
        loop {
            match self.message_by(deadline, &mut back.findings) {
                Ok(None | Some(FromGuest::Shown)) | Err(_) => return,
                Ok(Some(FromGuest::Output { .. } | FromGuest::Exited(_) | FromGuest::Taken)) => {}
                Ok(Some(other)) => drop(self.take(other, arm, back)),
            }
        }
    }

    /// What the kernel has logged so far.
    pub fn kernel_log(&mut self, limit: Duration) -> Result<String, Failure> {
        let deadline = Instant::now() + limit;
        let _ = self.line.send(&ToGuest::KernelLog);
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

/// Sends this process's standard input on, a piece whenever the program has
/// taken the last. The thread may still wait for more when the process ends.
fn feed(line: Line, takes: Receiver<()>) {
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut bytes = vec![0; OUTPUT_MAX];
        loop {
            let length = match input.read(&mut bytes) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // As one that is closed: there is no more to be had from it.
                Err(error) => {
                    eprintln!("lookback: standard input: {error}");
                    0
                }
            };
            let piece = ToGuest::Input(bytes.iter().take(length).copied().collect());
            if line.send(&piece).is_err() || length == 0 || takes.recv().is_err() {
                return;
            }
        }
    });
}
