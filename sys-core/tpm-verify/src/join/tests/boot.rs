//! Lines 14 to 17: PCRs, clock, event log.

use super::*;
use holdfast_domain::{PcrValue, PolicyEpoch};

#[test]
fn line_14_a_quote_of_other_pcrs_is_denied() {
    let fixture = Fixture::soft();
    let whole = fixture.evidence();
    let other = PcrSelection::try_from(vec![0, 8]).unwrap();
    let quote = fixture.resigned(&whole.quote.attest, |attest| {
        let Body::Quote { selection, .. } = &mut attest.body else { panic!("a quote") };
        *selection = other.clone();
    });
    let evidence = JoinEvidence { quote, ..whole.clone() };
    assert_eq!(denied(&fixture, &evidence), Reason::PcrSelection);
    let evidence = JoinEvidence { selection: other.clone(), ..whole.clone() };
    assert_eq!(denied(&fixture, &evidence), Reason::PcrSelection);
    let context = VerifyContext { selection: &other, ..fixture.context() };
    assert_eq!(verify(&context, &whole).unwrap_err().reason, Reason::PcrSelection);
}

#[test]
fn line_14_values_that_are_not_the_quoted_ones_are_denied() {
    let fixture = Fixture::soft();
    let whole = fixture.evidence();
    let mut changed = whole.clone();
    changed.pcrs[1].digest[0] ^= 1;
    let mut swapped = whole.clone();
    swapped.pcrs.reverse();
    let mut missing = whole.clone();
    missing.pcrs.pop();
    let mut more = whole.clone();
    more.pcrs.push(PcrValue { index: 8, digest: [1; 32] });
    let mut renamed = whole;
    renamed.pcrs[1].index = 8;
    for evidence in [changed, swapped, missing, more, renamed] {
        assert_eq!(denied(&fixture, &evidence), Reason::PcrDigest);
    }
}

#[test]
fn line_15_unmeasured_pcrs_are_denied_where_measurement_is_wanted() {
    for start in [[0; 32], [0xff; 32]] {
        let mut fixture = Fixture::soft();
        fixture.join.pcrs[1].digest = start;
        let evidence = fixture.evidence();
        assert_eq!(denied(&fixture, &evidence), Reason::PcrUnmeasured);
        fixture.unmeasured = UnmeasuredPcrs::Accept;
        verify(&fixture.context(), &evidence).unwrap();
    }
}

#[test]
fn line_16_a_clock_that_does_not_grow_is_denied() {
    let mut fixture = Fixture::soft();
    let now = fixture.join.clock;
    let evidence = fixture.evidence();
    for earlier in [
        ClockInfo { clock_ms: now.clock_ms - 1, ..now },
        ClockInfo { restart_count: 0, clock_ms: u64::MAX, ..now },
        ClockInfo { reset_count: now.reset_count - 1, restart_count: 9, clock_ms: u64::MAX, ..now },
    ] {
        fixture.last_clock = Some(earlier);
        verify(&fixture.context(), &evidence).unwrap();
    }
    for later in [
        now,
        ClockInfo { clock_ms: now.clock_ms + 1, ..now },
        ClockInfo { restart_count: now.restart_count + 1, clock_ms: 0, ..now },
        ClockInfo { reset_count: now.reset_count + 1, restart_count: 0, clock_ms: 0, ..now },
    ] {
        fixture.last_clock = Some(later);
        assert_eq!(denied(&fixture, &evidence), Reason::ClockReset);
    }
}

#[test]
fn line_16_nothing_is_demanded_of_an_unsafe_clock() {
    let mut fixture = Fixture::soft();
    fixture.last_clock = Some(ClockInfo { clock_ms: u64::MAX, ..fixture.join.clock });
    fixture.join.clock.safe = false;
    verify(&fixture.context(), &fixture.evidence()).unwrap();
}

#[test]
fn line_17_an_event_log_must_replay_to_the_quote() {
    let mut fixture = Fixture::soft();
    let (log, pcrs) = crate::event_log::sample();
    fixture.join.pcrs = pcrs;
    let whole = fixture.evidence();
    let evidence = JoinEvidence { event_log: Some(log.clone()), ..whole.clone() };
    verify(&fixture.context(), &evidence).unwrap();
    let cut = log[..log.len() - 1].to_vec();
    let huge = vec![0; crate::limits::EVENT_LOG_MAX + 1];
    for log in [cut, huge, Vec::new()] {
        let evidence = JoinEvidence { event_log: Some(log), ..whole.clone() };
        assert_eq!(denied(&fixture, &evidence), Reason::EventLog);
    }
    let other = Fixture::soft();
    let evidence = JoinEvidence { event_log: Some(log), ..other.evidence() };
    assert_eq!(denied(&other, &evidence), Reason::EventLog);
}

#[test]
fn boot_states_without_an_approval_for_role_and_epoch_are_denied() {
    let fixture = Fixture::soft();
    let node = verify(&fixture.context(), &fixture.evidence()).unwrap();
    let cluster = fixture.join.cluster;
    let approve = |role, epoch, pcrs: &[PcrValue]| {
        crate::approval::tests::approve(cluster, role, PolicyEpoch(epoch), &fixture.join.selection, pcrs)
    };
    let mut other_pcrs = fixture.join.pcrs.clone();
    other_pcrs[0].digest[0] ^= 1;
    let wrong = [
        approve(NodeRole::Registry, 2, &fixture.join.pcrs),
        approve(NodeRole::Node, 1, &fixture.join.pcrs),
        approve(NodeRole::Node, 2, &other_pcrs),
    ];
    let denial = node.require_approved(PolicyEpoch(2), &wrong).unwrap_err();
    assert_eq!(denial.reason, Reason::PcrNotApproved);
    node.require_approved(PolicyEpoch(2), &[approve(NodeRole::Node, 2, &fixture.join.pcrs)]).unwrap();
}
