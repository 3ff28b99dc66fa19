use proptest::prelude::*;

use super::*;

const PATIENCE: u64 = 10_000;

fn pause(step: Step) -> u64 {
    let Step::Again { after_ms, .. } = step else { panic!("gave up") };
    after_ms
}

#[test]
fn a_stale_map_is_replaced_and_tried_at_once() {
    let mut retry = Retry::new(PATIENCE, 0);
    let step = retry.after(Failure::StaleMap(NewerMap::Attached), 1, 0);
    assert_eq!(step, Step::Again { after_ms: 0, map: MapStep::TakeAttached });
    let step = retry.after(Failure::StaleMap(NewerMap::Elsewhere), 2, 0);
    assert!(matches!(step, Step::Again { after_ms: 1.., map: MapStep::AskServer }));
}

#[test]
fn a_final_failure_is_never_repeated() {
    assert_eq!(Retry::new(u64::MAX, 0).after(Failure::Final, 0, 0), Step::GiveUp);
}

#[test]
fn patience_counts_from_the_last_progress() {
    let mut retry = Retry::new(PATIENCE, 0);
    retry.progressed(9_000);
    assert!(matches!(retry.after(Failure::NoServer, 15_000, 0), Step::Again { .. }));
    assert_eq!(retry.left_ms(15_000), 4_000);
    assert_eq!(retry.after(Failure::NoServer, 19_000, 0), Step::GiveUp);
}

#[test]
fn the_servers_of_a_round_are_asked_at_once_and_a_round_without_help_looks_for_a_map() {
    let mut retry = Retry::new(PATIENCE, 0);
    for _ in 0..2 {
        let next = retry.after(Failure::NextServer, 0, 0);
        assert_eq!(next, Step::Again { after_ms: 0, map: MapStep::Keep });
    }
    let over = retry.after(Failure::NoServer, 0, 0);
    assert!(matches!(over, Step::Again { after_ms: 1.., map: MapStep::Refresh }));
}

#[test]
fn servers_that_send_us_in_circles_get_pauses() {
    let mut retry = Retry::new(PATIENCE, 0);
    let pauses: Vec<_> = (0..3 * MAX_ROUND).map(|_| pause(retry.after(Failure::NextServer, 0, 0))).collect();
    assert!(pauses.iter().filter(|pause| **pause > 0).count() >= 2);
}

/// A leader that dies is replaced in one or two seconds: nobody then sleeps for long.
#[test]
fn rounds_come_often_in_the_first_seconds_and_less_often_later() {
    let (mut retry, mut now) = (Retry::new(60_000, 0), 0);
    while now < 50_000 {
        let pause = pause(retry.after(Failure::NoServer, now, 0));
        assert!(now > 1_500 || pause <= ROUND_PAUSE_MS, "{pause} ms at {now}");
        assert!(now < 40_000 || pause == LONGEST_PAUSE_MS, "{pause} ms at {now}");
        now += pause;
    }
}

#[test]
fn a_hand_over_is_looked_at_every_few_milliseconds() {
    let (mut retry, mut now) = (Retry::new(60_000, 0), 0);
    for _ in 0..MOVING_TRIES {
        let pause = pause(retry.after(Failure::Moving, now, 0));
        assert_eq!(pause, MOVING_PAUSE_MS);
        now += pause;
    }
    assert!(pause(retry.after(Failure::Moving, now, 0)) > MOVING_PAUSE_MS);
}

fn failures() -> impl Strategy<Value = Failure> {
    prop_oneof![
        Just(Failure::StaleMap(NewerMap::Attached)),
        Just(Failure::StaleMap(NewerMap::Elsewhere)),
        Just(Failure::NextServer),
        Just(Failure::NoServer),
        Just(Failure::Moving),
        Just(Failure::Busy),
    ]
}

proptest! {
    #[test]
    fn invariant_every_sequence_ends_within_patience(
        tries in prop::collection::vec((failures(), any::<u16>(), 0u64..3_000), 1..400),
        patience in 0u64..60_000,
    ) {
        let (mut retry, mut now) = (Retry::new(patience, 0), 0);
        for (failure, jitter, took) in tries {
            // No try takes longer than is left.
            now += took.min(retry.left_ms(now));
            let Step::Again { after_ms, .. } = retry.after(failure, now, jitter) else { break };
            prop_assert!(after_ms <= LONGEST_PAUSE_MS);
            now += after_ms;
            prop_assert!(now < patience);
        }
    }

    /// Servers that answer in no time cannot keep a client busy: pauses alone use the patience up.
    #[test]
    fn invariant_there_are_finitely_many_tries(
        kinds in prop::collection::vec((failures(), any::<u16>()), 1..8),
        patience in 0u64..20_000,
    ) {
        let (mut retry, mut now, mut tries) = (Retry::new(patience, 0), 0, 0u64);
        for (failure, jitter) in kinds.iter().cycle() {
            let Step::Again { after_ms, .. } = retry.after(*failure, now, *jitter) else { break };
            now += after_ms;
            tries += 1;
            prop_assert!(tries <= 64 + patience);
        }
    }
}
