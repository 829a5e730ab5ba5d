//! When no entry and no attribute is trusted any more.

use lookback_wire::{
    control::{Arm, Phase},
    rules::{LookupRule, SERVER_TIMEOUT_MS},
};

use crate::timeout::Timeout;

/// The longest time worth waiting for.
pub(crate) const MOST_MS: u64 = 10_000;
/// The kernel rounds a timeout up to jiffies (`fuse_time_to_jiffies`) and trusts
/// through the last one (`time_before64`): two of the longest, those of HZ=100.
const JIFFIES_MS: u64 = 20;

/// The longest timeout a server of these arms gives, in milliseconds.
pub(crate) fn longest_ms(arms: &[Arm], rules: &[LookupRule]) -> u64 {
    let of_rules = rules
        .iter()
        .flat_map(|rule| [rule.entry_timeout_ms, rule.attr_timeout_ms])
        .flatten()
        .max();
    let of = |arm: &Arm| match arm {
        Arm::Backed => of_rules.unwrap_or(0).max(SERVER_TIMEOUT_MS),
        Arm::Plain => SERVER_TIMEOUT_MS,
        // What no rule speaks of, its daemon has the kernel never trust.
        Arm::Devfuse => of_rules.unwrap_or(0),
        Arm::Ext4 => 0,
    };
    arms.iter().map(of).max().unwrap_or(0)
}

/// How long to wait until all of it has passed.
pub(crate) fn wait_ms(arms: &[Arm], rules: &[LookupRule]) -> u64 {
    match longest_ms(arms, rules) {
        0 => 0,
        ms => ms.saturating_add(JIFFIES_MS),
    }
}

/// # Errors
/// Why these phases can't be had, if so.
pub(crate) fn check(phases: &[Phase], arms: &[Arm], rules: &[LookupRule]) -> Result<(), String> {
    let longest = longest_ms(arms, rules);
    if !phases.contains(&Phase::Expired) || longest <= MOST_MS {
        return Ok(());
    }
    Err(format!(
        "the phase `expired` waits until every timeout has passed, and one is {}: \
         at most {}, or leave the phase out",
        Timeout::from_ms(longest),
        Timeout::from_ms(MOST_MS)
    ))
}

#[cfg(test)]
mod tests {
    use lookback_wire::control::STACK;

    use super::*;

    const ALL: [Arm; 4] = [Arm::Backed, Arm::Plain, Arm::Devfuse, Arm::Ext4];

    fn rule(entry: Option<u64>, attr: Option<u64>) -> LookupRule {
        LookupRule {
            path: STACK.into(),
            entry_timeout_ms: entry,
            attr_timeout_ms: attr,
            ..LookupRule::default()
        }
    }

    #[rstest::rstest]
    #[case::by_themselves(&ALL, None, None, 1_000)]
    #[case::longer_names(&ALL, Some(3_000), None, 3_000)]
    #[case::longer_attributes(&ALL, Some(0), Some(2_000), 2_000)]
    #[case::shorter_than_the_server_s(&[Arm::Backed], Some(50), Some(50), 1_000)]
    #[case::of_the_daemon(&[Arm::Devfuse, Arm::Ext4], Some(50), None, 50)]
    #[case::no_rule_of_plain(&[Arm::Plain, Arm::Ext4], Some(5_000), None, 1_000)]
    #[case::nothing_trusted(&[Arm::Devfuse, Arm::Ext4], None, None, 0)]
    fn longest(
        #[case] arms: &[Arm],
        #[case] entry: Option<u64>,
        #[case] attr: Option<u64>,
        #[case] ms: u64,
    ) {
        let rules = [rule(entry, attr)];
        assert_eq!(longest_ms(arms, &rules), ms);
        assert_eq!(
            wait_ms(arms, &rules),
            ms + if ms == 0 { 0 } else { JIFFIES_MS }
        );
    }

    #[test]
    fn too_long_to_wait_for() {
        let phases = [Phase::Warm, Phase::Expired];
        check(&phases, &ALL, &[rule(Some(MOST_MS), None)]).unwrap();
        check(&[Phase::Warm], &ALL, &[rule(Some(3_600_000), None)]).unwrap();
        check(&phases, &[Arm::Plain], &[rule(Some(3_600_000), None)]).unwrap();
        let why = check(&phases, &ALL, &[rule(Some(3_600_000), None)]).unwrap_err();
        assert!(why.contains("one is 1h: at most 10s"), "{why}");
    }
}
