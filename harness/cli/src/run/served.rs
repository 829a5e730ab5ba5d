//! The same proof for `devfuse`: what its daemon counted.

use std::collections::BTreeMap;

use lookback_fs_backend::Counters;
use lookback_ops::errno;
use lookback_report::{Finding, Kind};
use lookback_wire::control::{Arm, CasePlan, Served};

use crate::run::proof;

/// The daemon's counts as a server's of the host.
fn counters(served: &Served) -> Counters {
    let map = |rows: &[(u32, u64, u64)]| {
        let rows = rows.iter();
        rows.map(|&(opcode, nodeid, count)| ((opcode, nodeid), count))
            .collect()
    };
    Counters {
        requests: map(&served.requests),
        bypassed: map(&served.bypassed),
        backed: served.backed.iter().copied().collect(),
        root_lookups: served.root_lookups.iter().cloned().collect(),
        lookups: served.lookups.iter().copied().collect(),
        forgets: served.forgets.iter().copied().collect(),
        ..Counters::default()
    }
}

/// Requests per opcode name, of all mounts together.
pub fn requests(all: &[Served]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for served in all {
        for (name, count) in counters(served).by_opcode() {
            *sums.entry(name.to_owned()).or_insert(0) += count;
        }
    }
    sums
}

/// What contradicts that the guest served `devfuse` by itself, and that it
/// took and refused the replies it should.
pub fn findings(plan: &CasePlan, all: &[Served]) -> Vec<Finding> {
    if plan.no_daemon {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = all
        .iter()
        .flat_map(|served| of_mount(plan, served))
        .collect();
    if all.is_empty() {
        findings.push(difference(
            "devfuse:no-report",
            "the daemon of devfuse has not said what it did, so nothing is proven".into(),
        ));
    }
    for rule in &plan.rules.lookup {
        let Some(errno) = rule.write else { continue };
        let asked = all.iter().flat_map(|served| &served.replies);
        let mut same = asked.filter(|reply| reply.path == rule.path && reply.expected == errno.0);
        if same.next().is_none() {
            findings.push(difference(
                "devfuse:never-asked",
                format!(
                    "{:?} was not looked up when write(2) was to end with {errno}",
                    rule.path
                ),
            ));
        }
    }
    let mut seen = Vec::new();
    findings.retain(|finding| {
        let new = !seen.contains(&finding.title);
        seen.push(finding.title.clone());
        new
    });
    findings
}

fn of_mount(plan: &CasePlan, served: &Served) -> Vec<Finding> {
    let mut findings: Vec<Finding> = served
        .failures
        .iter()
        .map(|what| difference("devfuse:failure", format!("devfuse: {what}")))
        .collect();
    if plan.rules.negotiate && !served.negotiated {
        findings.push(difference(
            "devfuse:not-negotiated",
            "the kernel does not offer FUSE_BACKING_LOOKUP over /dev/fuse, so nothing is proven"
                .into(),
        ));
        return findings;
    }
    let counters = counters(served);
    let contradicts = if plan.root_dir {
        proof::backed_root(&counters)
    } else {
        proof::backing(&counters, plan)
    };
    // `backed` may show the same in the same case.
    findings.extend(contradicts.into_iter().map(|finding| Finding {
        signature: format!("{}:{}", finding.signature, Arm::Devfuse),
        title: format!("{}: {}", Arm::Devfuse, finding.title),
        ..finding
    }));
    for reply in &served.replies {
        if reply.wrote != reply.expected {
            let (expected, wrote) = (errno::name(reply.expected), errno::name(reply.wrote));
            findings.push(difference(
                &format!("devfuse:write:{expected}>{wrote}"),
                format!(
                    "write(2) of the reply to LOOKUP of {:?} ended with {wrote}, not with \
                     {expected}, {} times",
                    reply.path, reply.count
                ),
            ));
        }
    }
    findings
}

fn difference(signature: &str, title: String) -> Finding {
    Finding::new(Kind::Difference, signature.to_owned(), title)
}

#[cfg(test)]
mod tests;
