//! A registry from its founding on, over real TLS and software TPMs, in one process.

#[cfg(test)]
mod world;

use std::time::Duration;

use holdfast_domain::{BanSubject, NodeRole, OperatorRequest};
use holdfast_proto::registry::v1::{PromoteVoterRequest, StatusReply};

use world::{Voter, World, eventually};

fn voters(status: &StatusReply) -> usize {
    status.voters.iter().filter(|row| row.is_voter).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_founded_grows_survives_its_leader_and_takes_a_ban() {
    let world = World::new();
    let mut first = world.found().await;
    first.start();
    let status = eventually("a leader", || async {
        world.status(&first).await.filter(|status| !status.leader.is_empty())
    })
    .await;
    assert_eq!(voters(&status), 1);

    let mut others = Vec::new();
    for number in 2..=3 {
        let machine = world.machine();
        world
            .submit(&first, OperatorRequest::AllowEk { ek: machine.ek().await, role: NodeRole::Registry })
            .await;
        let mut voter = machine.join(&world, &[first.address()]).await;
        voter.start();
        eventually("a learner", || async {
            world.status(&first).await.filter(|status| status.voters.len() == number)
        })
        .await;
        let promoted = PromoteVoterRequest { node_id: voter.node().as_bytes().to_vec().into() };
        world.operators(&first).await.promote_voter(promoted).await.unwrap();
        others.push(voter);
    }
    assert_eq!(voters(&world.status(&first).await.unwrap()), 3);

    // A request through a follower is applied by all, also after the first leader is gone.
    first.stop().await;
    let [second, third] = others.as_slice() else { panic!("two voters") };
    let status = eventually("another leader", || async {
        let status = world.status(second).await?;
        (!status.leader.is_empty() && status.leader != first.node().as_bytes().as_slice()).then_some(status)
    })
    .await;
    assert_eq!(status.voters.len(), 3);
    let ban = OperatorRequest::Ban(BanSubject::Node(first.node()));
    world.submit(third, ban).await;
    for voter in [second, third] {
        eventually("the ban, and the banned out of the group", || async {
            world.status(voter).await.filter(|status| status.bans == 1 && status.voters.len() == 2)
        })
        .await;
    }

    // The banned machine comes back and is not let in.
    first.start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.status(second).await.unwrap().voters.len(), 2);
    first.stop().await;
    for mut voter in others {
        voter.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_restarts_with_its_state_and_only_on_its_own_tpm() {
    let world = World::new();
    let mut voter: Voter = world.found().await;
    voter.start();
    let ek = world.machine().ek().await;
    eventually("a leader", || async {
        world.status(&voter).await.filter(|status| !status.leader.is_empty())
    })
    .await;
    world.submit(&voter, OperatorRequest::AllowEk { ek, role: NodeRole::Node }).await;
    // Keys stay sealed under the policy epoch of their sealing; the next start must open them all the same.
    world.submit(&voter, world.approval(1)).await;
    let before = world.audit(&voter).await;
    voter.stop().await;
    voter.start();
    let after = eventually("the same audit chain", || async {
        let audit = world.try_audit(&voter).await?;
        (!audit.is_empty()).then_some(audit)
    })
    .await;
    assert_eq!(before, after);
    voter.stop().await;

    let error = voter.start_on_another_tpm(&world).await;
    assert!(error.contains("tpm_swapped"), "{error}");
}
