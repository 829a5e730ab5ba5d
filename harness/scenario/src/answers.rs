//! What the server answers, and what it can name.

use lookback_wire::{
    control::{Arm, OUTSIDE, OWN_ROOT, Registration, STACK},
    rules::{Kind, LookupRule, Rules},
};
use toml::Spanned;

use crate::{
    error::ScenarioError,
    file::{File, RegisterTable, ServerTable},
    position::Source,
    timeout::Timeout,
};

/// What the server of the backed share answers to LOOKUP of the stacking root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// It accepts the extension. Otherwise nothing is backed.
    pub negotiate: bool,
    /// The backing id, registered for the case's lower directory.
    pub backing: u64,
    /// The nodeid; the file system's where absent.
    pub nodeid: Option<u64>,
    /// Entry timeout; the file system's where absent.
    pub entry_timeout: Option<Timeout>,
    /// Attribute timeout; the file system's where absent.
    pub attr_timeout: Option<Timeout>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            negotiate: true,
            backing: 1,
            nodeid: None,
            entry_timeout: None,
            attr_timeout: None,
        }
    }
}

impl Server {
    /// It with each of these entry timeouts, or as it is if there are none.
    #[must_use]
    pub fn each(&self, entry_timeouts: &[Timeout]) -> Vec<Self> {
        let with = |timeout: &Timeout| Self {
            entry_timeout: Some(*timeout),
            ..*self
        };
        match entry_timeouts {
            [] => vec![*self],
            timeouts => timeouts.iter().map(with).collect(),
        }
    }

    /// The rules that make the server answer so, where none of `before` does.
    #[must_use]
    pub fn rules(&self, before: &[LookupRule]) -> Rules {
        let stack = LookupRule {
            path: STACK.to_owned(),
            backing: Some(self.backing),
            nodeid: self.nodeid,
            entry_timeout_ms: self.entry_timeout.map(Timeout::ms),
            attr_timeout_ms: self.attr_timeout.map(Timeout::ms),
            ..LookupRule::default()
        };
        // A rule for every LOOKUP of it takes its place.
        let replaced = before
            .iter()
            .any(|rule| rule.path == STACK && rule.answers(1) && rule.answers(u64::MAX));
        let mut lookup = before.to_vec();
        if !replaced {
            lookup.push(stack);
        }
        Rules {
            negotiate: self.negotiate,
            lookup,
        }
    }

    /// What [`Self::rules`] made these of: the server, which has registered the
    /// case's directory under `backing`, and the rules before its own.
    pub(crate) fn of_rules(rules: &Rules, backing: u64) -> (Self, Vec<LookupRule>) {
        let bare = Self {
            negotiate: rules.negotiate,
            backing,
            ..Self::default()
        };
        if let Some((last, before)) = rules.lookup.split_last() {
            let timeout = |ms: Option<u64>| ms.map(Timeout::from_ms);
            let server = Self {
                nodeid: last.nodeid,
                entry_timeout: timeout(last.entry_timeout_ms),
                attr_timeout: timeout(last.attr_timeout_ms),
                ..bare
            };
            if server.rules(before) == *rules {
                return (server, before.to_vec());
            }
        }
        (bare, rules.lookup.clone())
    }
}

/// The file says what the server answers, or can name, besides `[server]`.
pub(crate) fn are_given(file: &File) -> bool {
    let of_a_case =
        |case: &crate::file::CaseTable| !(case.lookup.is_empty() && case.register.is_empty());
    !(file.lookup.is_empty() && file.register.is_empty()) || file.case.iter().any(of_a_case)
}

/// `[server]`
pub(crate) fn server(
    source: Source<'_>,
    table: Option<&Spanned<ServerTable>>,
) -> Result<Server, ScenarioError> {
    let default = Server::default();
    let Some(spanned) = table else {
        return Ok(default);
    };
    let table = spanned.get_ref();
    let server = Server {
        negotiate: table.negotiate.unwrap_or(default.negotiate),
        backing: table.backing.unwrap_or(default.backing),
        nodeid: table.nodeid,
        entry_timeout: table.entry_timeout,
        attr_timeout: table.attr_timeout,
    };
    server
        .rules(&[])
        .check()
        .map_err(|error| source.error(spanned.span(), error.to_string()))?;
    Ok(server)
}

/// The rules of a case: its own, then the scenario's. The stacking root's,
/// which come last, are the server's.
pub(crate) fn lookups(
    source: Source<'_>,
    own: &[Spanned<LookupRule>],
    common: &[Spanned<LookupRule>],
    server: &Server,
) -> Result<Vec<LookupRule>, ScenarioError> {
    let written: Vec<_> = own.iter().chain(common).collect();
    for spanned in &written {
        let rule = spanned.get_ref();
        // The run's own directories; a case can have another answer for them,
        // but not another file.
        if [STACK, OUTSIDE].contains(&rule.path.as_str())
            && rule.kind.is_some_and(|kind| kind != Kind::Dir)
        {
            let what = format!("{:?} is a directory of every share", rule.path);
            return Err(source.error(spanned.span(), what));
        }
    }
    let rules: Vec<_> = written.iter().map(|rule| rule.get_ref().clone()).collect();
    if let Some((index, error)) = server.rules(&rules).first_wrong() {
        // Past the end it is the server's, which was good by itself.
        let at = written.get(index).or_else(|| written.last());
        let span = at.map(|rule| rule.span()).unwrap_or_default();
        return Err(source.error(span, error.to_string()));
    }
    Ok(rules)
}

/// The registrations of a case that runs on `arms`, besides that of its
/// directory.
pub(crate) fn registrations(
    source: Source<'_>,
    own: &[Spanned<RegisterTable>],
    common: &[Spanned<RegisterTable>],
    server: &Server,
    arms: &[Arm],
) -> Result<Vec<Registration>, ScenarioError> {
    let mut all: Vec<Registration> = Vec::new();
    for spanned in own.iter().chain(common) {
        let RegisterTable { id, path } = spanned.get_ref();
        let wrong = |what: String| Err(source.error(spanned.span(), what));
        if *id == 0 || i32::try_from(*id).is_err() {
            return wrong(format!("id {id} is not between 1 and {}", i32::MAX));
        }
        if *id == server.backing {
            return wrong(format!("id {id} is the case's directory's"));
        }
        if all.iter().any(|registration| registration.id == *id) {
            return wrong(format!("id {id} is registered twice"));
        }
        let component = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        if path == OWN_ROOT {
            if arms.contains(&Arm::Backed) {
                let what =
                    format!("{OWN_ROOT} has an id on devfuse alone; leave the arm backed out");
                return wrong(what);
            }
        } else if !path.is_empty() && !path.split('/').all(component) {
            let what = format!(
                "a path is relative to the case's directory, without `.` and `..`, or {OWN_ROOT}"
            );
            return wrong(what);
        }
        all.push(Registration {
            id: *id,
            path: path.clone(),
        });
    }
    Ok(all)
}
