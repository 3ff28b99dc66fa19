//! Joins, again checked at the commit.

use holdfast_domain::{BanSubject, ClusterId, NodeId, NodeRole, OperatorRequest, PendingId, Reason, codec};

use super::world::{HOUR, KEYS, Machine, World, approval, evidence, pcrs, signed};
use crate::{Act, AdmittedBy, Applied, Joining, Renewal, TpmClock};

const NODE: NodeRole = NodeRole::Node;

fn joined(machine: Machine) -> Result<Applied, Reason> {
    Ok(Applied::Joined { node: machine.node(), replica: None })
}

#[test]
fn a_machine_that_nobody_admitted_is_refused() {
    let mut world = World::founded();
    assert_eq!(world.join(Machine(1), NODE), Err(Reason::EkNotAdmitted));
    assert!(world.state.member(Machine(1).node()).is_none());
}

#[test]
fn an_allowed_ek_joins_in_its_role_only() {
    let mut world = World::founded();
    world.ask(OperatorRequest::AllowEk { ek: Machine(1).ek(), role: NODE }).unwrap();
    assert_eq!(world.join(Machine(1), NodeRole::Registry), Err(Reason::RoleMismatch));
    assert_eq!(world.join(Machine(1), NODE), joined(Machine(1)));
    let member = world.state.member(Machine(1).node()).unwrap();
    assert_eq!(member.admitted_by, AdmittedBy::Ek);
    assert!(member.admission.is_some(), "replicas check what the operators signed");
}

#[test]
fn the_second_machine_with_one_ticket_is_refused() {
    let mut world = World::founded();
    let ticket = world.ticket(1, NODE);
    let join = |machine: Machine| Act::Join(Box::new(machine.joining(NODE, Some(ticket))));
    assert_eq!(world.act(join(Machine(1))), joined(Machine(1)));
    assert_eq!(world.act(join(Machine(2))), Err(Reason::TicketUsed));
    assert_eq!(world.act(join(Machine(1))), joined(Machine(1)), "its own machine lost the grant");
}

#[test]
fn an_expired_or_unknown_ticket_is_refused() {
    let mut world = World::founded();
    let ticket = world.ticket(1, NODE);
    world.now = world.now.plus_ms(HOUR);
    let act = Act::Join(Box::new(Machine(1).joining(NODE, Some(ticket))));
    assert_eq!(world.act(act), Err(Reason::TicketUnknown));
    let other = holdfast_domain::TicketPublic::new([9; 32]);
    let act = Act::Join(Box::new(Machine(1).joining(NODE, Some(other))));
    assert_eq!(world.act(act), Err(Reason::TicketUnknown));
}

#[test]
fn time_that_runs_backwards_revives_no_ticket() {
    let mut world = World::founded();
    let ticket = world.ticket(1, NODE);
    let early = world.now;
    world.now = early.plus_ms(2 * HOUR);
    let _ = world.join(Machine(2), NODE);
    world.now = early;
    let act = Act::Join(Box::new(Machine(1).joining(NODE, Some(ticket))));
    assert_eq!(world.act(act), Err(Reason::TicketUnknown));
}

#[test]
fn a_waiting_join_is_let_in_by_an_approval_that_names_its_ek() {
    let mut world = World::founded();
    let (pending, machine) = (PendingId::new([1; 16]), Machine(1));
    let wait = |pending| Act::JoinPending { pending, joining: Box::new(machine.joining(NODE, None)) };
    assert_eq!(world.act(wait(pending)), Ok(Applied::Pending(pending)));
    assert_eq!(world.act(wait(PendingId::new([2; 16]))), Ok(Applied::Pending(pending)), "it keeps its id");
    assert_eq!(world.join(machine, NODE), Err(Reason::PendingApproval));
    let approve = |ek| OperatorRequest::Approve { pending, ek, role: NODE };
    assert_eq!(world.ask(approve(Machine(2).ek())), Err(Reason::NodeIdMismatch));
    world.ask(approve(machine.ek())).unwrap();
    assert_eq!(world.join(machine, NODE), joined(machine));
    assert_eq!(world.state.pending().count(), 0);
}

#[test]
fn a_tpm_without_a_certificate_chain_needs_its_ek_on_the_allow_list() {
    let mut world = World::founded();
    let ticket = world.ticket(1, NODE);
    let (machine, pending) = (Machine(1), PendingId::new([1; 16]));
    let bare = |ticket| Box::new(Joining { anchor: None, ..machine.joining(NODE, ticket) });
    assert_eq!(world.act(Act::Join(bare(Some(ticket)))), Err(Reason::EkCertificate));
    assert_eq!(world.act(Act::JoinPending { pending, joining: bare(None) }), Err(Reason::EkNotAdmitted));
    world.ask(OperatorRequest::AllowEk { ek: machine.ek(), role: NODE }).unwrap();
    assert_eq!(world.act(Act::Join(bare(None))), joined(machine));
}

#[test]
fn a_node_id_that_is_not_its_eks_is_refused() {
    let mut world = World::founded();
    world.ask(OperatorRequest::AllowEk { ek: Machine(1).ek(), role: NODE }).unwrap();
    let joining = Machine(1).joining(NODE, None);
    let other = Joining { node: Machine(2).node(), ..joining.clone() };
    assert_eq!(world.act(Act::Join(Box::new(other))), Err(Reason::NodeIdMismatch));
    let foreign = Joining { node: NodeId::derive(ClusterId::new([8; 16]), &joining.ek_spki), ..joining };
    assert_eq!(world.act(Act::Join(Box::new(foreign))), Err(Reason::NodeIdMismatch));
}

#[test]
fn a_banned_machine_cannot_come_back_and_a_signed_unban_lets_it() {
    let mut world = World::founded();
    let machine = Machine(1);
    world.allow_and_join(machine, NODE);
    world.ask(OperatorRequest::Ban(BanSubject::Node(machine.node()))).unwrap();
    assert_eq!(world.join(machine, NODE), Err(Reason::EkBanned));
    world.ask(OperatorRequest::AllowEk { ek: machine.ek(), role: NODE }).unwrap();
    assert_eq!(world.join(machine, NODE), Err(Reason::EkBanned), "an allow is no unban");
    world.ask(OperatorRequest::Unban(BanSubject::Node(machine.node()))).unwrap();
    assert_eq!(world.join(machine, NODE), joined(machine));
}

#[test]
fn a_boot_state_that_is_not_approved_now_is_refused() {
    let mut world = World::founded();
    world.ask(OperatorRequest::AllowEk { ek: Machine(1).ek(), role: NODE }).unwrap();
    world.ask(OperatorRequest::ApprovePcrs(approval(NodeRole::Registry, 1))).unwrap();
    assert_eq!(world.join(Machine(1), NODE), Err(Reason::PcrNotApproved), "a higher epoch voids lower ones");
    world.ask(OperatorRequest::ApprovePcrs(approval(NODE, 1))).unwrap();
    assert_eq!(world.join(Machine(1), NODE), joined(Machine(1)));
}

#[test]
fn a_returning_registry_machine_gets_a_raft_id_that_was_never_used() {
    let mut world = World::founded();
    world.ask(OperatorRequest::AllowEk { ek: Machine(1).ek(), role: NodeRole::Registry }).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let Ok(Applied::Joined { replica: Some(replica), .. }) = world.join(Machine(1), NodeRole::Registry)
        else {
            panic!("no replica");
        };
        assert!(seen.insert(replica) && replica.0 > 1);
    }
    assert_eq!(world.state.member(Machine(1).node()).unwrap().incarnation, 3);
}

fn renewal(machine: Machine, clock: u64, safe: bool) -> Act {
    Act::Renew(Renewal {
        node: machine.node(),
        address: "10.0.0.9:7100".into(),
        listener: holdfast_domain::SpkiHash::new([9; 32]),
        clock: TpmClock { reset: 1, restart: 0, clock, safe },
        pcrs: pcrs(),
    })
}

#[test]
fn a_renewal_whose_clock_went_back_is_refused_unless_the_tpm_says_it_is_unsafe() {
    let mut world = World::founded();
    let machine = Machine(1);
    world.allow_and_join(machine, NODE);
    assert_eq!(world.act(renewal(machine, 5_000, true)), Ok(Applied::Done));
    assert_eq!(world.act(renewal(machine, 5_000, true)), Err(Reason::ClockReset));
    assert_eq!(world.act(renewal(machine, 4_000, false)), Ok(Applied::Done));
    assert_eq!(world.act(renewal(machine, 4_500, true)), Err(Reason::ClockReset), "unsafe lowers nothing");
}

#[test]
fn a_cleared_tpm_needs_a_fresh_admission() {
    let mut world = World::founded();
    let machine = Machine(1);
    world.allow_and_join(machine, NODE);
    world.act(renewal(machine, 5_000, true)).unwrap();
    let clock = TpmClock { reset: 0, restart: 0, clock: 10, safe: true };
    let back = Joining { clock, ..machine.joining(NODE, None) };
    assert_eq!(world.act(Act::Join(Box::new(back.clone()))), Err(Reason::ClockReset));
    world.ask(OperatorRequest::AllowEk { ek: machine.ek(), role: NODE }).unwrap();
    assert_eq!(world.act(Act::Join(Box::new(back))), joined(machine));
}

#[test]
fn new_keys_of_a_tickets_machine_need_the_ticket_again() {
    let mut world = World::founded();
    let ticket = world.ticket(1, NODE);
    let machine = Machine(1);
    world.act(Act::Join(Box::new(machine.joining(NODE, Some(ticket))))).unwrap();
    let first = world.state.member(machine.node()).unwrap().evidence.clone();
    world.act(Act::Join(Box::new(machine.joining(NODE, None)))).unwrap();
    assert_eq!(world.state.member(machine.node()).unwrap().evidence, first, "the signed evidence stays");
    let new_srk = |ticket| Joining { srk_name: vec![1, 2, 3], ..machine.joining(NODE, ticket) };
    assert_eq!(world.act(Act::Join(Box::new(new_srk(None)))), Err(Reason::EkNotAdmitted));
    assert_eq!(world.act(Act::Join(Box::new(new_srk(Some(ticket))))), joined(machine));
}

#[test]
fn evidence_for_another_cluster_or_role_is_refused() {
    let mut world = World::founded();
    world.ask(OperatorRequest::AllowEk { ek: Machine(1).ek(), role: NODE }).unwrap();
    let mut foreign = evidence(NODE, None);
    foreign.cluster = ClusterId::new([8; 16]);
    let with = |evidence: &_| Joining {
        evidence: codec::encode(evidence).unwrap(),
        ..Machine(1).joining(NODE, None)
    };
    assert_eq!(world.act(Act::Join(Box::new(with(&foreign)))), Err(Reason::WrongCluster));
    let other = evidence(NodeRole::Registry, None);
    assert_eq!(world.act(Act::Join(Box::new(with(&other)))), Err(Reason::RoleMismatch));
}

#[test]
fn addresses_are_host_and_port() {
    let mut world = World::founded();
    world.ask(OperatorRequest::AllowEk { ek: Machine(1).ek(), role: NODE }).unwrap();
    for address in ["", "host", ":7100", "host:0", "host:70000", "ho st:7100", "h\n:7100"] {
        let joining = Joining { address: address.into(), ..Machine(1).joining(NODE, None) };
        assert_eq!(world.act(Act::Join(Box::new(joining))), Err(Reason::Malformed), "{address:?}");
    }
    let joining = Joining { address: "[::1]:7100".into(), ..Machine(1).joining(NODE, None) };
    assert_eq!(world.act(Act::Join(Box::new(joining))), joined(Machine(1)));
}

#[test]
fn commands_of_a_banned_caller_are_refused() {
    let mut world = World::founded();
    world.allow_and_join(Machine(1), NODE);
    world.ask(OperatorRequest::Ban(BanSubject::Operator("bob".parse().unwrap()))).unwrap_err();
    let admission = world.request(OperatorRequest::Ban(BanSubject::Node(Machine(1).node())));
    let admission = signed(&admission, &[("ann", &KEYS.ann), ("bob", &KEYS.bob)]);
    world.act(Act::Admit(admission)).unwrap();
    let by = holdfast_domain::SpiffeSubject::Node(Machine(1).node());
    assert_eq!(world.act_by(by, renewal(Machine(1), 9_000, true)), Err(Reason::Banned));
}
