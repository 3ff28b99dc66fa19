//! Who may wrap which key to whom.

use holdfast_domain::{
    BanSubject, GroupId, KeyGeneration, KeySubject, NodeRole, OperatorRequest, Reason, Sha256Hash,
    WrapTarget, codec, wrap::MAX_WRAP,
};
use holdfast_keys::{labels, sign};

use super::world::{FOUNDER, Machine, World, operator, wrap};
use crate::{Act, Applied, plan};

const ONE: GroupId = GroupId(1);
const DMK: KeySubject = KeySubject::Dmk(ONE);

/// Group 1, its holder, and the other node.
fn world() -> (World, Machine, Machine) {
    let world = World::with_groups();
    let (holder, _) = world.holder(ONE);
    let other = if holder.0 == 1 { Machine(2) } else { Machine(1) };
    (world, holder, other)
}

#[test]
fn a_wrap_that_its_maker_did_not_sign_is_refused() {
    let (mut world, holder, other) = world();
    let row = wrap(DMK, 1, holder, Some(holder), 3);
    let row = codec::decode(&row.bytes, MAX_WRAP).unwrap();
    let forged = sign::sign_value(other.tls(), labels::WRAP_ROW, &row).unwrap();
    assert_eq!(world.act(Act::PutWraps(vec![forged])), Err(Reason::WrapSignature));
    let elsewhere = sign::sign_value(holder.tls(), labels::SHARD_MAP, &row).unwrap();
    assert_eq!(world.act(Act::PutWraps(vec![elsewhere])), Err(Reason::WrapSignature));
}

#[test]
fn a_groups_key_goes_only_from_its_replica_to_a_present_or_incoming_one() {
    let (mut world, holder, other) = world();
    let to_other = || Act::PutWraps(vec![wrap(DMK, 1, holder, Some(other), 3)]);
    assert_eq!(world.act(to_other()), Err(Reason::NotAMember), "the target is no replica");
    assert_eq!(world.act(Act::PutWraps(vec![wrap(DMK, 1, other, Some(other), 3)])), Err(Reason::NotAMember));
    let planned = plan::plan_move(&world.state, ONE, None, other.node()).unwrap().unwrap();
    world.put(operator("ann"), planned).unwrap();
    let learner = Act::PutWraps(vec![wrap(DMK, 2, other, Some(other), 9)]);
    assert_eq!(world.act(learner), Err(Reason::NotAMember), "a learner is not in charge");
    assert_eq!(world.act(to_other()), Ok(Applied::Done));
    assert_eq!(world.state.wraps_for(DMK, other.node()).len(), 1);
}

#[test]
fn a_banned_machine_neither_wraps_nor_receives() {
    let (mut world, holder, other) = world();
    let planned = plan::plan_move(&world.state, ONE, None, other.node()).unwrap().unwrap();
    world.put(operator("ann"), planned).unwrap();
    world.ask(OperatorRequest::Ban(BanSubject::Node(other.node()))).unwrap();
    let act = Act::PutWraps(vec![wrap(DMK, 1, holder, Some(other), 3)]);
    assert_eq!(world.act(act), Err(Reason::EkBanned));
    world.ask(OperatorRequest::Ban(BanSubject::Node(holder.node()))).unwrap();
    assert_eq!(world.act(Act::PutWraps(vec![wrap(DMK, 2, holder, None, 4)])), Err(Reason::Banned));
    assert!(world.state.wraps_for(DMK, holder.node()).is_empty());
}

#[test]
fn a_generation_has_one_check_value_and_the_next_follows_the_last() {
    let (mut world, holder, _) = world();
    let put = |generation, kcv| Act::PutWraps(vec![wrap(DMK, generation, holder, Some(holder), kcv)]);
    assert_eq!(world.act(put(1, 4)), Err(Reason::WrapMismatch));
    assert_eq!(world.act(put(3, 4)), Err(Reason::Conflict));
    assert_eq!(world.act(put(0, 4)), Err(Reason::Conflict));
    assert_eq!(world.act(put(2, 4)), Ok(Applied::Done));
    let two = vec![wrap(DMK, 3, holder, Some(holder), 5), wrap(DMK, 3, holder, None, 6)];
    assert_eq!(world.act(Act::PutWraps(two)), Err(Reason::WrapMismatch));
    assert_eq!(world.state.generation(DMK), Some(KeyGeneration(2)), "all rows or none");
}

#[test]
fn the_officers_wrap_is_written_once() {
    let (mut world, holder, _) = world();
    let kept = wrap(DMK, 1, holder, None, 3);
    let mut row: holdfast_domain::WrapRow = codec::decode(&kept.bytes, MAX_WRAP).unwrap();
    row.target = WrapTarget::Recovery { sealed: vec![9] };
    let other = sign::sign_value(holder.tls(), labels::WRAP_ROW, &row).unwrap();
    assert_eq!(world.act(Act::PutWraps(vec![other])), Err(Reason::Conflict));
    assert_eq!(world.act(Act::PutWraps(vec![kept])), Ok(Applied::Done));
}

#[test]
fn a_wrap_to_another_srk_than_the_attested_one_is_refused() {
    let (mut world, holder, _) = world();
    let row = wrap(DMK, 1, holder, Some(holder), 3);
    let mut row: holdfast_domain::WrapRow = codec::decode(&row.bytes, MAX_WRAP).unwrap();
    if let WrapTarget::Tpm { srk_name, .. } = &mut row.target {
        *srk_name = vec![66];
    }
    let row = sign::sign_value(holder.tls(), labels::WRAP_ROW, &row).unwrap();
    assert_eq!(world.act(Act::PutWraps(vec![row])), Err(Reason::SrkKey));
}

#[test]
fn the_registrys_key_goes_from_those_who_have_it_to_registry_machines() {
    let (mut world, node, _) = world();
    let put = |by, to| Act::PutWraps(vec![wrap(KeySubject::Crk, 1, by, Some(to), 1)]);
    assert_eq!(world.act(put(FOUNDER, node)), Err(Reason::NotAMember));
    assert_eq!(world.act(put(node, FOUNDER)), Err(Reason::NotAMember));
    world.allow_and_join(Machine(4), NodeRole::Registry);
    assert_eq!(world.act(put(Machine(4), Machine(4))), Err(Reason::NotAMember), "it does not have the key");
    assert_eq!(world.act(put(FOUNDER, Machine(4))), Ok(Applied::Done));
    assert_eq!(world.act(put(Machine(4), FOUNDER)), Ok(Applied::Done));
}

#[test]
fn secrets_are_replaced_only_by_who_read_them_and_only_under_a_key_that_all_voters_have() {
    let mut world = World::founded();
    let (generation, sealed) = world.state.secrets();
    let replaces = Sha256Hash::of(sealed);
    let put = |generation, replaces| Act::PutSecrets { generation, replaces, sealed: vec![9] };
    assert_eq!(world.act(put(generation, Sha256Hash::of(b"other"))), Err(Reason::Conflict));
    assert_eq!(world.act(put(KeyGeneration(2), replaces)), Err(Reason::WrapMismatch));
    assert_eq!(world.act(put(generation, replaces)), Ok(Applied::Done));
}

#[test]
fn a_registry_machine_is_a_learner_before_it_votes() {
    let mut world = World::founded();
    let machine = Machine(4);
    world.ask(OperatorRequest::AllowEk { ek: machine.ek(), role: NodeRole::Registry }).unwrap();
    let Ok(Applied::Joined { replica: Some(replica), node }) = world.join(machine, NodeRole::Registry) else {
        panic!("no replica");
    };
    let added = |replica| Act::VoterAdded {
        node,
        replica,
        address: "a:1".into(),
        spki: holdfast_domain::SpkiHash::new([4; 32]),
    };
    assert_eq!(world.act(Act::VoterPromoted(node)), Err(Reason::NotFound));
    assert_eq!(world.act(added(holdfast_domain::ReplicaId(1))), Err(Reason::Conflict));
    assert_eq!(world.act(added(replica)), Ok(Applied::Done));
    assert_eq!(world.act_by(operator("ann"), Act::PromoteVoter(node)), Ok(Applied::Done));
    assert!(world.state.voters().any(|voter| voter.state == crate::VoterState::Promoting));
    assert_eq!(world.act(Act::VoterPromoted(node)), Ok(Applied::Done));
    assert_eq!(world.act(added(replica)), Ok(Applied::Done), "only its address may change");
    assert!(world.state.voters().all(|voter| voter.state == crate::VoterState::Voter));
    assert_eq!(world.act(Act::VoterRemoved(node)), Ok(Applied::Done));
}
