//! The answer to LOOKUP: what a rule makes of the file system's entry.

use std::time::Duration;

use lookback_wire::fuse::{ENTRY_LEN, ENTRY_OUT_LEN, Entry, OUT_HEADER_LEN};
use lookback_wire::rules::LookupRule;
use virtiofsd::fuse::{EntryOut, OutHeader};
use vm_memory::ByteValued;

/// Bytes of a reply without entries.
pub(crate) const PLAIN_LEN: usize = OUT_HEADER_LEN + ENTRY_OUT_LEN;

/// What the reply says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) entry: EntryOut,
    /// What follows the entry, if anything.
    pub(crate) backing: Option<Entry>,
}

/// Applies the rule to the file system's entry.
///
/// A backing entry needs a guest that `negotiated` it and `room` for it in the
/// writable descriptors: a LOOKUP built before INIT was answered has none.
/// Where it can't be sent, neither is the nodeid that goes with it, and the
/// guest sees the server's own directory.
pub(crate) fn answer(
    mut entry: EntryOut,
    rule: Option<&LookupRule>,
    negotiated: bool,
    room: usize,
) -> Answer {
    let Some(rule) = rule else {
        return Answer {
            entry,
            backing: None,
        };
    };
    let fits = negotiated && room >= PLAIN_LEN + ENTRY_LEN;
    let backing = rule
        .backing
        .filter(|_| fits)
        .map(|fd| Entry::Backing { fd });
    if let Some(nodeid) = rule.nodeid
        && (backing.is_some() || rule.backing.is_none())
    {
        entry.nodeid = nodeid;
    }
    if let Some(ms) = rule.entry_timeout_ms {
        let timeout = Duration::from_millis(ms);
        entry.entry_valid = timeout.as_secs();
        entry.entry_valid_nsec = timeout.subsec_nanos();
    }
    if let Some(ms) = rule.attr_timeout_ms {
        let timeout = Duration::from_millis(ms);
        entry.attr_valid = timeout.as_secs();
        entry.attr_valid_nsec = timeout.subsec_nanos();
    }
    Answer { entry, backing }
}

/// The bytes of the reply.
pub(crate) fn encode(unique: u64, answer: &Answer) -> Vec<u8> {
    let tail = answer.backing.map(Entry::encode);
    let tail = tail.as_ref().map_or(&[][..], |bytes| &bytes[..]);
    let mut reply = Vec::with_capacity(PLAIN_LEN + ENTRY_LEN);
    reply.extend_from_slice(&out_header(0, PLAIN_LEN + tail.len(), unique));
    reply.extend_from_slice(answer.entry.as_slice());
    reply.extend_from_slice(tail);
    reply
}

/// A `fuse_out_header`; `error` is a negative errno or 0.
pub(crate) fn out_header(error: i32, len: usize, unique: u64) -> [u8; OUT_HEADER_LEN] {
    let header = OutHeader {
        // Replies built here have at most PLAIN_LEN and a few entries.
        len: u32::try_from(len).unwrap_or(u32::MAX),
        error,
        unique,
    };
    let mut bytes = [0; OUT_HEADER_LEN];
    bytes.copy_from_slice(header.as_slice());
    bytes
}

#[cfg(test)]
mod tests {
    use lookback_wire::fuse::parse_entries;
    use rstest::rstest;

    use super::*;

    fn entry() -> EntryOut {
        EntryOut {
            nodeid: 5,
            generation: 6,
            entry_valid: 1,
            attr_valid: 1,
            entry_valid_nsec: 7,
            attr_valid_nsec: 8,
            ..EntryOut::default()
        }
    }

    fn rule(backing: Option<u64>, nodeid: Option<u64>) -> LookupRule {
        LookupRule {
            path: "stack".into(),
            backing,
            nodeid,
            ..LookupRule::default()
        }
    }

    #[test]
    fn the_structures_have_the_protocol_s_size() {
        assert_eq!(size_of::<EntryOut>(), ENTRY_OUT_LEN);
        assert_eq!(size_of::<OutHeader>(), OUT_HEADER_LEN);
    }

    #[rstest]
    #[case::no_rule(None, true, 192, (5, None))]
    #[case::backed(Some(rule(Some(1), None)), true, 192, (5, Some(1)))]
    #[case::kernel_owned(Some(rule(Some(1), Some(0))), true, 192, (0, Some(1)))]
    #[case::exactly_enough(Some(rule(Some(1), Some(0))), true, 168, (0, Some(1)))]
    #[case::one_byte_short(Some(rule(Some(1), Some(0))), true, 167, (5, None))]
    #[case::old_guest(Some(rule(Some(1), Some(0))), false, 192, (5, None))]
    #[case::negative(Some(rule(None, Some(0))), false, 144, (0, None))]
    #[case::other_nodeid(Some(rule(None, Some(9))), true, 192, (9, None))]
    fn what_a_rule_adds(
        #[case] rule: Option<LookupRule>,
        #[case] negotiated: bool,
        #[case] room: usize,
        #[case] (nodeid, backing): (u64, Option<u64>),
    ) {
        let answer = answer(entry(), rule.as_ref(), negotiated, room);
        assert_eq!(answer.entry.nodeid, nodeid);
        assert_eq!(answer.backing, backing.map(|fd| Entry::Backing { fd }));

        let reply = encode(77, &answer);
        let entries = usize::from(backing.is_some());
        assert_eq!(reply.len(), 144 + 24 * entries);
        assert!(reply.len() <= room);
        assert_eq!(
            reply[..4],
            u32::try_from(reply.len()).unwrap().to_ne_bytes()
        );
        assert_eq!(reply[4..8], [0; 4]);
        assert_eq!(reply[8..16], 77_u64.to_ne_bytes());
        assert_eq!(reply[16..24], nodeid.to_ne_bytes());
        assert_eq!(parse_entries(&reply[144..]).unwrap().len(), entries);
    }

    #[rstest]
    #[case::as_they_are(None, None, (1, 7, 1, 8))]
    #[case::never(Some(0), Some(0), (0, 0, 0, 0))]
    #[case::each_its_own(Some(2500), None, (2, 500_000_000, 1, 8))]
    #[case::longest(None, Some(u64::MAX), (1, 7, u64::MAX / 1000, 615_000_000))]
    fn timeouts(
        #[case] entry_timeout_ms: Option<u64>,
        #[case] attr_timeout_ms: Option<u64>,
        #[case] want: (u64, u32, u64, u32),
    ) {
        // They apply to guests without the extension, too.
        let rule = LookupRule {
            entry_timeout_ms,
            attr_timeout_ms,
            ..rule(None, None)
        };
        let got = answer(entry(), Some(&rule), false, 144).entry;
        assert_eq!(
            (
                got.entry_valid,
                got.entry_valid_nsec,
                got.attr_valid,
                got.attr_valid_nsec
            ),
            want
        );
    }
}
