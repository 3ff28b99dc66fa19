//! Operators' requests: signed by enough of them, once, in time.

use holdfast_domain::{BanSubject, ClusterId, NodeRole, OperatorKey, OperatorRequest, Reason};
use holdfast_keys::{Signer as _, SoftSigner};

use super::world::{HOUR, KEYS, Machine, World, operators, signed};
use crate::{Act, Applied};

fn allow() -> OperatorRequest {
    OperatorRequest::AllowEk { ek: Machine(1).ek(), role: NodeRole::Node }
}

fn change(operators: Vec<OperatorKey>, threshold: u8) -> OperatorRequest {
    OperatorRequest::SetOperators { operators, threshold, keep: vec![] }
}

#[test]
fn fewer_signatures_than_the_threshold_change_nothing() {
    let mut world = World::founded();
    let admission = world.request(allow());
    let stranger = SoftSigner::generate().unwrap();
    for by in [
        vec![("ann", &KEYS.ann)],
        vec![("ann", &KEYS.ann), ("ann", &KEYS.ann)],
        vec![("ann", &KEYS.ann), ("bob", &stranger)],
        vec![("ann", &KEYS.ann), ("eve", &stranger)],
        vec![],
    ] {
        assert_eq!(world.act(Act::Admit(signed(&admission, &by))), Err(Reason::AdmissionUnsigned));
    }
    assert!(world.state.allowed(Machine(1).ek()).is_none());
}

#[test]
fn a_request_applies_once() {
    let mut world = World::founded();
    let admission = world.request(allow());
    let admission = signed(&admission, &[("ann", &KEYS.ann), ("bob", &KEYS.bob)]);
    assert_eq!(world.act(Act::Admit(admission.clone())), Ok(Applied::Done));
    assert_eq!(world.act(Act::Admit(admission.clone())), Err(Reason::AdmissionReplayed));
    world.now = world.now.plus_ms(2 * HOUR);
    world.ask(OperatorRequest::Ban(BanSubject::Account(holdfast_domain::AccountId::new([1; 16])))).unwrap();
    assert_eq!(
        world.act(Act::Admit(admission)),
        Err(Reason::AdmissionReplayed),
        "nor after its serial is pruned"
    );
}

#[test]
fn requests_out_of_their_time_or_cluster_are_refused() {
    let mut world = World::founded();
    let both = [("ann", &KEYS.ann), ("bob", &KEYS.bob)];
    let mut late = world.request(allow());
    late.expires = world.now;
    assert_eq!(world.act(Act::Admit(signed(&late, &both))), Err(Reason::AdmissionReplayed));
    let mut long = world.request(allow());
    long.expires = long.issued.plus_ms(crate::limits::MAX_ADMISSION_LIFE_MS + 1);
    assert_eq!(world.act(Act::Admit(signed(&long, &both))), Err(Reason::AdmissionReplayed));
    let mut future = world.request(allow());
    future.issued = world.now.plus_ms(HOUR / 2);
    assert_eq!(world.act(Act::Admit(signed(&future, &both))), Err(Reason::ClockSkew));
    let mut foreign = world.request(allow());
    foreign.cluster = ClusterId::new([8; 16]);
    assert_eq!(world.act(Act::Admit(signed(&foreign, &both))), Err(Reason::WrongCluster));
}

#[test]
fn new_operators_sign_from_then_on_and_the_old_no_more() {
    let mut world = World::founded();
    let eve = SoftSigner::generate().unwrap();
    let set = vec![OperatorKey { name: "eve".parse().unwrap(), key: eve.public().to_point() }];
    let before = world.request(allow());
    world.ask(change(set, 1)).unwrap();
    assert_eq!(world.ask(allow()), Err(Reason::AdmissionUnsigned));
    let early = signed(&before, &[("eve", &eve)]);
    assert_eq!(world.act(Act::Admit(early)), Err(Reason::AdmissionUnsigned), "signed as the set before");
    let admission = world.request(allow());
    assert_eq!(world.act(Act::Admit(signed(&admission, &[("eve", &eve)]))), Ok(Applied::Done));
    assert_eq!(world.state.operator_chain().len(), 1, "replicas follow the chain from genesis");
}

#[test]
fn a_change_of_operators_voids_every_unused_admission_that_it_does_not_keep() {
    let mut world = World::founded();
    let kept = Machine(2).ek();
    for ek in [Machine(1).ek(), kept] {
        world.ask(OperatorRequest::AllowEk { ek, role: NodeRole::Node }).unwrap();
    }
    let request = OperatorRequest::SetOperators { operators: operators(), threshold: 2, keep: vec![kept] };
    world.ask(request).unwrap();
    assert!(world.state.allowed(Machine(1).ek()).is_none());
    assert!(world.state.allowed(kept).is_some());
    assert_eq!(world.join(Machine(1), NodeRole::Node), Err(Reason::EkNotAdmitted));
    assert!(world.join(Machine(2), NodeRole::Node).is_ok());
}

#[test]
fn no_set_of_operators_locks_everyone_out() {
    let mut world = World::founded();
    for (operators, threshold) in
        [(operators(), 3), (operators(), 0), (vec![], 1), ([operators(), operators()].concat(), 1)]
    {
        let request = change(operators, threshold);
        assert_eq!(world.ask(request), Err(Reason::Malformed));
    }
    let ban = OperatorRequest::Ban(BanSubject::Operator("bob".parse().unwrap()));
    assert_eq!(world.ask(ban.clone()), Err(Reason::Conflict), "both must sign");
    world.ask(change(operators(), 1)).unwrap();
    assert_eq!(world.ask(ban), Ok(Applied::Done));
    assert_eq!(world.ask(allow()), Err(Reason::AdmissionUnsigned), "a banned operator's signature is none");
    let request = change(operators(), 2);
    let admission = world.request(request);
    let outcome = world.act(Act::Admit(signed(&admission, &[("ann", &KEYS.ann)])));
    assert_eq!(outcome, Err(Reason::Conflict), "only one of the two could sign");
}

#[test]
fn nothing_is_done_before_the_cluster_is_founded_and_it_is_founded_once() {
    let mut world = World::empty();
    assert_eq!(world.ask(allow()), Err(Reason::NotReady));
    let found = || Act::Found(Box::new(super::world::found()));
    assert_eq!(world.act(found()), Ok(Applied::Done));
    assert_eq!(world.act(found()), Err(Reason::Conflict));
}

#[test]
fn a_cluster_without_a_second_way_to_its_key_is_refused() {
    let mut found = super::world::found();
    found.wraps.pop();
    assert_eq!(World::empty().act(Act::Found(Box::new(found))), Err(Reason::WrapMismatch));
}
