use openraft::vote::RaftLeaderId as _;
use proptest::prelude::*;

use super::*;
use crate::types::{Commands, LeaderId, Payload};

fn id(term: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId::new(term, 1), index }
}

fn append(prev: Option<LogId>, ids: &[LogId]) -> AppendEntriesRequest<Types> {
    let command = Bytes::from_static(b"command");
    let payload = Payload::Normal(Commands([command].into()));
    AppendEntriesRequest {
        vote: Vote { leader_id: LeaderId::new(9, 1), committed: true },
        prev_log_id: prev,
        entries: ids.iter().map(|id| Entry { log_id: *id, payload: payload.clone() }).collect(),
        leader_commit: prev,
    }
}

fn round_trip(request: &AppendEntriesRequest<Types>) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    let bytes = encode(&Request::Append(Append::new(request, Note::default()))).unwrap();
    match decode(&bytes)? {
        Request::Append(append) => append.into_request(&bytes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn entries_arrive_as_they_were_sent() {
    let request = append(Some(id(1, 4)), &[id(1, 5), id(2, 6)]);
    let arrived = round_trip(&request).unwrap();
    assert_eq!(arrived.entries, request.entries);
    assert_eq!((arrived.vote, arrived.prev_log_id), (request.vote, request.prev_log_id));
}

#[test]
fn entries_with_a_hole_or_an_older_term_are_refused() {
    for request in [
        append(Some(id(1, 4)), &[id(1, 6)]),
        append(None, &[id(1, 1)]),
        append(Some(id(1, 4)), &[id(1, 5), id(1, 7)]),
        append(Some(id(3, 4)), &[id(2, 5)]),
    ] {
        assert!(matches!(round_trip(&request), Err(DecodeError::Hole { .. })));
    }
}

/// The library unwraps or trusts these.
#[test]
fn impossible_answers_are_refused() {
    let vote = Vote { leader_id: LeaderId::new(9, 1), committed: true };
    let (prev, last) = (Some(id(1, 4)), Some(id(1, 6)));
    assert!(Appended::Conflict.into_response(&vote, None, last).is_none());
    assert!(Appended::UpTo(Some(id(1, 7).into())).into_response(&vote, prev, last).is_none());
    assert!(Appended::UpTo(None).into_response(&vote, prev, last).is_none());
    assert!(Appended::HigherVote(vote.into()).into_response(&vote, prev, last).is_none());
    assert!(Appended::UpTo(Some(id(1, 5).into())).into_response(&vote, prev, last).is_some());
}

#[test]
fn nobody_acknowledged_to_a_later_leader() {
    let request = append(None, &[id(1, 0)]);
    let floors = |told: &[(u64, Floor)]| {
        let note = Note { floors: told.to_vec(), ..Note::default() };
        let bytes = encode(&Request::Append(Append::new(&request, note))).unwrap();
        match decode(&bytes).unwrap() {
            Request::Append(append) => append.floors(),
            other => panic!("{other:?}"),
        }
    };
    let (now, later) = (Floor { term: 9, index: 3 }, Floor { term: 10, index: 0 });
    assert_eq!(floors(&[(1, now), (2, later)]), Some(vec![(1, now)]));
    assert_eq!(floors(&vec![(1, now); limits::MAX_FLOORS + 1]), None);
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        if let Ok(Request::Append(append)) = decode(&bytes) {
            let _ = append.into_request(&bytes);
        }
        if let Ok(Request::Propose(blobs)) = decode(&bytes) {
            let _ = commands(&blobs, &bytes);
        }
        let _ = decode::<Response<'_>>(&bytes);
    }

    #[test]
    fn damaged_appends_never_panic(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let request = append(Some(id(1, 4)), &[id(1, 5), id(2, 6)]);
        let mut bytes = encode(&Request::Append(Append::new(&request, Note::default()))).unwrap().to_vec();
        *at.get_mut(&mut bytes) = with;
        let bytes = Bytes::from(bytes);
        if let Ok(Request::Append(append)) = decode(&bytes) {
            let _ = append.into_request(&bytes);
        }
    }
}
