use holdfast_domain::{NodeId, SpkiHash};
use proptest::prelude::*;

use super::*;

fn member() -> impl Strategy<Value = Member> {
    (any::<[u8; 16]>(), "[a-z]{0,20}", any::<Option<[u8; 32]>>()).prop_map(|(node, address, pin)| Member {
        node: NodeId::new(node),
        address,
        pin: pin.map_or(Pin::Certificate, |pin| Pin::Key(SpkiHash::new(pin))),
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Blank),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8).prop_map(|commands| {
            Payload::Normal(Commands(commands.into_iter().map(Bytes::from).collect()))
        }),
        prop::collection::btree_map(any::<u64>(), member(), 1..5).prop_map(|members| {
            let voters = members.keys().copied().take(3).collect();
            Payload::Membership(Membership::new(vec![voters], members).unwrap())
        }),
    ]
}

fn log_id() -> impl Strategy<Value = LogId> {
    (0..limits::MAX_NUMBER, any::<u64>(), 0..limits::MAX_NUMBER)
        .prop_map(|(term, leader, index)| LogId { leader_id: LeaderId::new(term, leader), index })
}

proptest! {
    #[test]
    fn entries_survive_their_encoding(log_id in log_id(), payload in payload()) {
        let entry = Entry { log_id, payload };
        prop_assert_eq!(decode_entry(encode_entry(&entry).unwrap()).unwrap(), entry);
    }

    #[test]
    fn a_membership_that_is_encoded_once_reads_as_if_it_were_encoded_each_time(
        members in prop::collection::btree_map(any::<u64>(), member(), 1..5),
        set_at in prop::option::of(log_id()),
        applied in prop::option::of(log_id()),
    ) {
        let voters = members.keys().copied().take(3).collect();
        let membership = StoredMembership::new(set_at, Membership::new(vec![voters], members).unwrap());
        let once = MetaEncoder::new(&membership).unwrap().encode(applied).unwrap();
        prop_assert_eq!(once, encode_meta(applied, &membership).unwrap());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_entry(bytes.clone());
        let _ = decode_meta(&bytes);
        let _ = decode::<VoteRecord>(&bytes, 100);
    }

    #[test]
    fn damaged_entries_never_panic(log_id in log_id(), payload in payload(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = encode_entry(&Entry { log_id, payload }).unwrap();
        *at.get_mut(&mut bytes) = with;
        let _ = decode_entry(bytes.clone());
        bytes.truncate(at.index(bytes.len()));
        prop_assert!(decode_entry(bytes).is_err());
    }
}

#[test]
fn voters_that_nobody_knows_are_refused() {
    let record = MembershipRecord {
        configs: vec![BTreeSet::from([1, 2])],
        members: BTreeMap::from([(1, Member::default())]),
    };
    assert!(matches!(Membership::try_from(record), Err(DecodeError::Membership(_))));
    let record = MembershipRecord {
        configs: vec![BTreeSet::new()],
        members: BTreeMap::from([(1, Member::default())]),
    };
    assert!(matches!(Membership::try_from(record), Err(DecodeError::Membership(_))));
}

#[test]
fn numbers_that_could_overflow_are_refused() {
    let id = LogId { leader_id: LeaderId::new(u64::MAX, 1), index: 1 };
    assert!(decode_entry(encode_entry(&Entry { log_id: id, payload: Payload::Blank }).unwrap()).is_err());
}

/// Bytes of the first format, only ever added to.
#[test]
fn frozen_entries_still_decode() {
    let frozen: [&[u8]; 2] = [&[1, 2, 3, 4, 0], &[1, 2, 3, 5, 1, 2, 1, b'a', 2, b'b', b'c']];
    let entries: Vec<Entry> = frozen.iter().map(|bytes| decode_entry(bytes.to_vec()).unwrap()).collect();
    assert_eq!(entries[0].log_id, LogId { leader_id: LeaderId::new(2, 3), index: 4 });
    assert!(matches!(&entries[1].payload, Payload::Normal(commands) if commands.0[1] == b"bc".as_slice()));
}
