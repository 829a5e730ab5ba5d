//! The case around a command: no operations, but the mounts, servers and rules
//! of one.

use std::path::Path;

use lookback_fs_backend::load_rules;
use lookback_ops::trace;
use lookback_scenario::{Overrides, Plan, Scenario, Server};
use lookback_wire::{
    control::{Arm, Registration},
    rules::{LookupRule, Rules},
};

use crate::failure::Failure;

/// What a command may have a use for: the arm's directory and the one outside.
/// They tell what is to be there; nobody runs them.
const USES: &str = "stat .\nstat @outside\n";

/// The case whose arm the command runs on, answered by a file of rules where
/// there is one.
pub fn plan(arm: Arm, rules: Option<&Path>) -> Result<Plan, Failure> {
    let uses = trace::parse(USES).map_err(|error| Failure::Usage(error.to_string()))?;
    let mut scenario = Scenario::of_trace("exec", vec![], uses);
    for case in &mut scenario.cases {
        case.name = arm.to_string();
        case.about = format!("a program on {arm}");
        case.arms = vec![arm];
    }
    let mut plan = scenario.expand(&Overrides::default()).remove(0);
    if let Some(path) = rules {
        answer_by(&mut plan, load_rules(path)?);
    }
    Ok(plan)
}

/// The arm's directory stays backed unless the rules say what is answered for
/// it. Every id they name stands for the directory below the arm.
fn answer_by(plan: &mut Plan, given: Rules) {
    let server = Server {
        negotiate: given.negotiate,
        ..Server::default()
    };
    let rules = server.rules(&given.lookup);
    let mut ids: Vec<u64> = rules.lookup.iter().flat_map(ids).collect();
    ids.sort_unstable();
    ids.dedup();
    plan.case.register = ids
        .into_iter()
        .map(|id| Registration {
            id,
            path: String::new(),
        })
        .collect();
    plan.case.rules = rules.clone();
    plan.rules = rules;
}

/// The ids a rule names that can be registered (`FUSE_IOC_BACKING_REGISTER`
/// takes 1 to `i32::MAX`).
fn ids(rule: &LookupRule) -> Vec<u64> {
    let entries = rule.entries.iter().flatten().filter_map(|entry| entry.id);
    let named = rule.backing.into_iter().chain(entries);
    named
        .filter(|id| *id > 0 && i32::try_from(*id).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use lookback_wire::control::STACK;

    use super::*;

    #[test]
    fn without_rules_the_arm_s_directory_is_backed() {
        let plan = plan(Arm::Devfuse, None).unwrap();
        assert_eq!(plan.case.id, "exec.devfuse");
        assert_eq!(plan.case.arms, [Arm::Devfuse]);
        assert!(plan.case.must_be_backed() && plan.case.uses_arm());
        assert_eq!(plan.rules.lookup[0].path, STACK);
    }

    #[test]
    fn every_id_that_rules_name_is_registered() {
        let mut plan = plan(Arm::Backed, None).unwrap();
        let text = r#"
            lookup = [
                { path = "stack", backing = 7, to = 1 },
                { path = "d", entries = [{ type = "backing", id = 9 }, { type = "backing", id = 0 }] },
            ]"#;
        answer_by(&mut plan, toml::from_str(text).unwrap());
        let ids: Vec<u64> = plan.case.register.iter().map(|one| one.id).collect();
        assert_eq!(ids, [1, 7, 9]);
        assert_eq!(plan.rules.lookup.len(), 3);
        assert_eq!(plan.rules, plan.case.rules);
    }
}
