//! From a request's bytes to its reply's: everything of the daemon that needs
//! neither a mount nor a process.

use std::collections::BTreeMap;
use std::time::Duration;

use lookback_wire::fuse::ENTRY_OUT_LEN;
use lookback_wire::reply::{self, Says};
use lookback_wire::rules::Rules;

use super::init::{self, Init};
use super::journal::Journal;
use super::layout;
use super::request::{self as opcode, Request};
use super::tree::{ROOT, Tree};

/// Replies are as long as rules want them; the kernel, not the daemon, is to
/// say that one is too long.
const ROOM: usize = 1 << 20;

/// A reply, not yet written.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// What write(2) gets.
    pub bytes: Vec<u8>,
    /// Not before this much time.
    pub delay: Duration,
    /// To what it is the answer.
    to: Asked,
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Lookup {
        path: String,
        /// The file's own nodeid.
        own: u64,
        says: Says,
        expected: i32,
    },
    Other {
        opcode: u32,
    },
}

/// What stands for the ids of rules.
pub trait Objects {
    /// The number of the daemon's descriptor of the object with this id. For
    /// an id that nothing was registered as: of no descriptor.
    fn descriptor(&self, id: u64) -> u64;
}

/// The daemon's state.
#[derive(Debug)]
pub struct Server {
    rules: Rules,
    tree: Tree,
    /// All times of all files.
    time: u64,
    negotiated: bool,
    /// LOOKUPs of each path since the case began.
    seen: BTreeMap<String, u64>,
    journal: Journal,
}

impl Server {
    /// A server of the paths in `rules`. `seen` is what [`Server::end`] said
    /// when the case's last mount ended.
    pub fn new(rules: Rules, time: u64, seen: BTreeMap<String, u64>) -> Server {
        Server {
            tree: Tree::new(&rules),
            rules,
            time,
            negotiated: false,
            seen,
            journal: Journal::default(),
        }
    }

    /// Answer one request; `None` where it gets no reply.
    pub fn handle(&mut self, bytes: &[u8], objects: &dyn Objects) -> Option<Reply> {
        let request = match Request::parse(bytes) {
            Ok(request) => request,
            Err(e) => {
                self.journal.failure(format!("the kernel sent {e}"));
                return None;
            }
        };
        self.journal.request(request.opcode, request.nodeid);
        match request.opcode {
            opcode::FORGET | opcode::BATCH_FORGET => {
                if self.forget(&request).is_none() {
                    self.malformed(&request);
                }
                None
            }
            // A request is answered before the next one is read, or is waiting
            // because a rule wants it to.
            opcode::INTERRUPT | opcode::NOTIFY_REPLY => None,
            opcode::LOOKUP => self.lookup(&request, objects),
            _ => {
                let body = self.answer(&request);
                let (error, body) = match &body {
                    Ok(body) => (0, body.as_slice()),
                    Err(errno) => (*errno, &[][..]),
                };
                Some(Reply {
                    bytes: layout::message(request.unique, error, body),
                    delay: Duration::ZERO,
                    to: Asked::Other {
                        opcode: request.opcode,
                    },
                })
            }
        }
    }

    /// A reply of [`Server::handle`] was written, with errno `wrote` or 0.
    pub fn written(&mut self, reply: &Reply, wrote: i32) {
        match &reply.to {
            Asked::Lookup {
                path,
                own,
                says,
                expected,
            } => {
                self.journal.reply(path, wrote, *expected);
                if wrote != 0 {
                    return;
                }
                if let Says::Entry { nodeid, backed } = *says {
                    self.journal.grant(nodeid, backed);
                    self.tree.alias(nodeid, *own);
                }
            }
            // Whoever asked is gone, killed or because of an abort.
            Asked::Other { .. } if matches!(wrote, 0 | libc::ENOENT) => {}
            Asked::Other { opcode } => self.journal.failure(format!(
                "write(2) refused the answer to a request of opcode {opcode}: {}",
                nix::errno::Errno::from_raw(wrote)
            )),
        }
    }

    /// Something else went wrong.
    pub fn failure(&mut self, what: String) {
        self.journal.failure(what);
    }

    /// The mount is gone.
    pub fn end(self) -> (lookback_wire::control::Served, BTreeMap<String, u64>) {
        (self.journal.report(), self.seen)
    }

    fn malformed(&mut self, request: &Request<'_>) -> i32 {
        self.journal.failure(format!(
            "the kernel sent a malformed request of opcode {} with {} bytes behind its header",
            request.opcode,
            request.body.len()
        ));
        libc::EINVAL
    }

    fn lookup(&mut self, request: &Request<'_>, objects: &dyn Objects) -> Option<Reply> {
        let Some(name) = request.name() else {
            let errno = self.malformed(request);
            return Some(Reply {
                bytes: layout::message(request.unique, errno, &[]),
                delay: Duration::ZERO,
                to: Asked::Other {
                    opcode: request.opcode,
                },
            });
        };
        if request.nodeid == ROOT {
            self.journal.root_lookup(name);
        }
        let parent = self.tree.resolve(request.nodeid);
        let own = parent.and_then(|parent| self.tree.child(parent, name));
        let path = match (own, parent.and_then(|parent| self.tree.get(parent))) {
            (Some(own), _) => self.tree.get(own).map(|node| node.path.clone()),
            (None, Some(above)) => Some(layout::join(&above.path, name)),
            (None, None) => None,
        };
        let path = path.unwrap_or_else(|| format!("nodeid {}", request.nodeid));
        let asked = reply::Request {
            unique: request.unique,
            room: ROOM,
            negotiated: self.negotiated,
        };
        let entry = own.and_then(|own| self.entry(own));
        let (Some(own), Some(entry)) = (own, entry) else {
            let errno = if parent.is_some() {
                libc::ENOENT
            } else {
                libc::ESTALE
            };
            let reply = asked.error(errno, None);
            return Some(Reply {
                bytes: reply.message().to_vec(),
                delay: Duration::ZERO,
                to: Asked::Lookup {
                    path,
                    own: 0,
                    says: reply.says,
                    expected: 0,
                },
            });
        };
        let nth = self.seen.entry(path.clone()).or_insert(0);
        *nth += 1;
        let rule = self.rules.find(path.as_bytes(), *nth);
        let reply = asked.entry(&entry, rule, |id| objects.descriptor(id));
        Some(Reply {
            bytes: reply.message().to_vec(),
            delay: Duration::from_millis(rule.and_then(|rule| rule.delay_ms).unwrap_or(0)),
            to: Asked::Lookup {
                own,
                says: reply.says,
                expected: rule.and_then(|rule| rule.write).map_or(0, |errno| errno.0),
                path,
            },
        })
    }

    /// `struct fuse_entry_out`, as it is without a rule.
    fn entry(&self, own: u64) -> Option<[u8; ENTRY_OUT_LEN]> {
        let attributes = self.tree.attributes(own, self.time)?;
        Some(layout::entry(own, &attributes))
    }

    /// `None` if the request has not all its words.
    fn forget(&mut self, request: &Request<'_>) -> Option<()> {
        if request.opcode == opcode::FORGET {
            self.journal.forget(request.nodeid, request.u64(0)?);
            return Some(());
        }
        let count = request.u32(0)? as usize;
        // Each one is a nodeid and a count; the head has eight bytes, too.
        for at in (1..=count).map(|index| index * 16 - 8) {
            let (nodeid, count) = (request.u64(at)?, request.u64(at + 8)?);
            self.journal.forget(nodeid, count);
        }
        Some(())
    }

    /// What follows the header of the reply, or a positive errno.
    fn answer(&mut self, request: &Request<'_>) -> Result<Vec<u8>, i32> {
        match request.opcode {
            opcode::INIT => return self.init(request),
            opcode::DESTROY | opcode::RELEASE | opcode::RELEASEDIR => return Ok(Vec::new()),
            opcode::STATFS => return Ok(layout::statfs()),
            _ => {}
        }
        let own = self.tree.resolve(request.nodeid).ok_or(libc::ESTALE)?;
        let attributes = self.tree.attributes(own, self.time).ok_or(libc::ESTALE)?;
        let kind = attributes.mode & libc::S_IFMT;
        match request.opcode {
            opcode::GETATTR => Ok(layout::attributes(&attributes)),
            opcode::OPENDIR if kind != libc::S_IFDIR => Err(libc::ENOTDIR),
            opcode::OPEN if kind != libc::S_IFREG => Err(libc::EINVAL),
            opcode::OPENDIR | opcode::OPEN => Ok(layout::opened()),
            opcode::READ => Ok(Vec::new()),
            opcode::READLINK if kind == libc::S_IFLNK => Ok(super::tree::TARGET.to_vec()),
            opcode::READLINK => Err(libc::EINVAL),
            opcode::READDIR => {
                let (Some(offset), Some(size)) = (request.u64(8), request.u32(16)) else {
                    return Err(self.malformed(request));
                };
                Ok(layout::listing(&self.tree.entries(own), offset, size))
            }
            _ => Err(libc::ENOSYS),
        }
    }

    fn init(&mut self, request: &Request<'_>) -> Result<Vec<u8>, i32> {
        match init::answer(request, self.rules.negotiate) {
            Some(Init::OtherVersion(out)) => Ok(out.to_vec()),
            Some(Init::Agreed(out, negotiated)) => {
                self.negotiated = negotiated;
                if negotiated {
                    self.journal.negotiated();
                }
                Ok(out.to_vec())
            }
            None => Err(self.malformed(request)),
        }
    }
}
