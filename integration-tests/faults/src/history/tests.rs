use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(client: u32, action: Action, began: u64, ended: Option<u64>) -> Operation {
    let ended = ended.map_or(Ended::Never, Ended::At);
    Operation { client, key: "k".into(), action, began, ended }
}

fn put(value: u64, began: u64, ended: Option<u64>) -> Operation {
    at(1, Action::Put(Value(value)), began, ended)
}

fn delete(began: u64, ended: Option<u64>) -> Operation {
    at(2, Action::Delete, began, ended)
}

fn read(value: u64, began: u64, ended: u64) -> Operation {
    at(3, Action::Read(Some(Value(value))), began, Some(ended))
}

fn read_nothing(began: u64, ended: u64) -> Operation {
    at(3, Action::Read(None), began, Some(ended))
}

/// The part that contradicts itself, if one does.
fn contradiction(history: &[Operation]) -> Option<Vec<Operation>> {
    let fault = check(history).into_iter().next()?;
    match fault.kind {
        FaultKind::Contradiction(part) => Some(part),
        FaultKind::Undecided => panic!("undecided"),
    }
}

#[test]
fn calls_one_after_the_other_are_explained() {
    let history = [put(1, 0, Some(1)), read(1, 2, 3), delete(4, Some(5)), read_nothing(6, 7)];
    assert_eq!(contradiction(&history), None);
}

#[test]
fn calls_at_the_same_time_may_have_any_order() {
    let history = [put(1, 0, Some(10)), put(2, 1, Some(9)), read(2, 11, 12)];
    assert_eq!(contradiction(&history), None);
    let history = [put(1, 0, Some(10)), read_nothing(1, 2), read(1, 3, 4)];
    assert_eq!(contradiction(&history), None);
}

#[test]
fn a_stale_read_is_found_with_just_the_calls_that_matter() {
    let mut history = vec![put(1, 0, Some(1)), put(2, 2, Some(3)), read(2, 4, 5), put(3, 6, Some(7))];
    history.extend([read(2, 8, 9), put(4, 10, Some(11)), read(4, 12, 13)]);
    let part = contradiction(&history).unwrap();
    assert_eq!(part, [put(2, 2, Some(3)), put(3, 6, Some(7)), read(2, 8, 9)]);
}

#[test]
fn a_lost_write_is_found() {
    let part = contradiction(&[put(1, 0, Some(1)), read_nothing(2, 3)]).unwrap();
    assert_eq!(part.len(), 2);
}

#[test]
fn a_read_that_goes_back_in_time_is_found() {
    let history = [put(1, 0, Some(1)), put(2, 2, Some(20)), read(2, 3, 4), read(1, 5, 6)];
    assert!(contradiction(&history).is_some());
}

#[test]
fn a_value_that_is_back_after_its_delete_is_found() {
    let history = [put(1, 0, Some(1)), delete(2, Some(3)), read_nothing(4, 5), read(1, 6, 7)];
    assert!(contradiction(&history).is_some());
}

#[test]
fn a_write_that_was_applied_twice_is_found() {
    let history = [put(1, 0, Some(1)), put(2, 2, Some(3)), read(2, 4, 5), read(1, 6, 7)];
    assert!(contradiction(&history).is_some());
    // So is one whose answer was lost: once seen, it has happened.
    let history = [put(1, 0, None), read(1, 1, 2), put(2, 3, Some(4)), read(2, 5, 6), read(1, 7, 8)];
    assert!(contradiction(&history).is_some());
}

#[test]
fn a_value_that_nobody_put_is_found() {
    assert_eq!(contradiction(&[read(9, 0, 1)]).unwrap().len(), 1);
}

#[test]
fn a_lost_answer_may_have_happened_late_or_never() {
    let never = [put(1, 0, Some(1)), put(2, 2, None), read(1, 3, 4)];
    assert_eq!(contradiction(&never), None);
    let late = [put(1, 0, Some(1)), put(2, 2, None), read(1, 3, 4), read(2, 5, 6), put(3, 7, Some(8))];
    assert_eq!(contradiction(&late), None);
    let emptied = [put(1, 0, Some(1)), delete(2, None), read(1, 3, 4), read_nothing(5, 6)];
    assert_eq!(contradiction(&emptied), None);
    let not_before_it_began = [put(1, 0, Some(1)), read(2, 2, 3), put(2, 4, None)];
    assert!(contradiction(&not_before_it_began).is_some());
}

#[test]
fn keys_are_checked_each_for_itself() {
    let other = |operation: Operation| Operation { key: "other".into(), ..operation };
    let faults =
        check(&[put(1, 0, Some(1)), read(1, 2, 3), other(put(2, 4, Some(5))), other(read_nothing(6, 7))]);
    assert_eq!(faults.iter().map(|fault| &*fault.key).collect::<Vec<_>>(), ["other"]);
    assert!(faults[0].to_string().contains("client 3: read other: nothing"));
}

#[test]
fn a_long_history_of_many_clients_is_decided_quickly() {
    let mut history = Vec::new();
    // Eight clients always overlap, and each tenth answer is lost.
    for n in 0..4_000u64 {
        let (began, ended) = (10 * n, 10 * n + 75);
        history.push(put(n + 1, began, (n % 10 != 0).then_some(ended)));
        history.push(read(n + 1, began + 76, began + 77));
    }
    let began = std::time::Instant::now();
    check(&history);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn a_recorder_keeps_order_drops_refusals_and_takes_silence_as_a_lost_answer() {
    let recorder = Recorder::new();
    let (one, two) = (recorder.new_value(), recorder.new_value());
    recorder.put(1, "k", one).acknowledged();
    recorder.put(1, "k", two).refused();
    recorder.read(2, "k").answered(Some(one));
    drop(recorder.delete(1, "k"));
    drop(recorder.read(2, "k"));
    let history = recorder.history();
    let actions: Vec<_> = history.iter().map(|operation| operation.action).collect();
    assert_eq!(actions, [Action::Put(one), Action::Read(Some(one)), Action::Delete]);
    assert_eq!((history[2].ended, recorder.answered()), (Ended::Never, 2));
    assert!(history[0].is_before(&history[1]));
    assert_eq!(contradiction(&history), None);
}

fn end_fault(history: &[Operation], found: Option<u64>) -> Option<EndFault> {
    let found: BTreeMap<_, _> = found.map(|value| ("k".to_owned(), Value(value))).into_iter().collect();
    check_end(history, &found).into_iter().next()
}

#[test]
fn what_is_there_at_the_end_must_be_the_last_that_was_acknowledged_or_asked_for() {
    let history = [put(1, 0, Some(1)), put(2, 2, Some(3)), put(3, 4, None)];
    assert_eq!(end_fault(&history, Some(2)), None);
    assert_eq!(end_fault(&history, Some(3)), None);
    assert!(matches!(end_fault(&history, Some(1)), Some(EndFault::Returned { .. })));
    assert!(matches!(end_fault(&history, Some(9)), Some(EndFault::Unasked { .. })));
    assert!(matches!(end_fault(&history, None), Some(EndFault::Lost { .. })));
    let deleted = [put(1, 0, Some(1)), delete(2, None)];
    assert_eq!(end_fault(&deleted, None), None);
    assert_eq!(end_fault(&deleted, Some(1)), None);
    let put_again = [put(1, 0, Some(1)), delete(2, Some(3)), put(2, 4, Some(5))];
    assert!(matches!(end_fault(&put_again, None), Some(EndFault::Lost { .. })));
    assert_eq!(end_fault(&[put(1, 0, None)], None), None);
}

/// All orders of all calls that an order must or may have, tried one by one.
fn brute(operations: &[Operation]) -> bool {
    fn go(rest: &[&Operation], content: Option<Value>) -> bool {
        if rest.iter().all(|operation| !operation.is_answered()) {
            return true;
        }
        rest.iter().enumerate().any(|(at, next)| {
            let blocked = rest.iter().any(|other| other.is_before(next));
            let after = match next.action {
                Action::Put(value) => Some(Some(value)),
                Action::Delete => Some(None),
                Action::Read(found) => (found == content).then_some(content),
            };
            let others: Vec<_> = [&rest[..at], &rest[at + 1..]].concat();
            !blocked && after.is_some_and(|content| go(&others, content))
        })
    }
    go(&operations.iter().collect::<Vec<_>>(), None)
}

/// Short histories of few values, most of them nearly right.
fn histories() -> impl Strategy<Value = Vec<Operation>> {
    let call = (0u8..3, 0u64..4, 0u64..12, 1u64..8, 0u8..5);
    proptest::collection::vec(call, 1..7).prop_map(|calls| {
        let build = |(n, (kind, value, began, length, lost)): (usize, (u8, u64, u64, u64, u8))| {
            let n = u64::try_from(n).unwrap();
            // Spread, so that no two times are equal.
            let (began, ended) = (began * 100 + n, (began + length) * 100 + 50 + n);
            let ended = (lost > 0).then_some(ended);
            match kind {
                // Values are unique: the n-th call puts the value n.
                0 => put(n, began, ended),
                1 if value == 0 => delete(began, ended),
                _ if value == 3 => read_nothing(began, ended.unwrap_or(began + 1)),
                _ => read(value, began, ended.unwrap_or(began + 1)),
            }
        };
        calls.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn invariant_the_search_agrees_with_trying_everything(history in histories()) {
        let part = contradiction(&history);
        prop_assert_eq!(part.is_none(), brute(&history));
        if let Some(part) = part {
            prop_assert!(!brute(&part), "the part shown is contradictory itself: {part:?}");
        }
    }
}
