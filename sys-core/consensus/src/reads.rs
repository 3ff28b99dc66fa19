//! Linearizable reads: all that wait share the next round of confirmation, which starts after they asked.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::limits;
use crate::net::wire::{self, Request, Response};
use crate::replica::Replica;

/// Patience for one round.
const ROUND: Duration = Duration::from_secs(2);

/// Asks for the index that a read must wait for; `None` when nobody confirmed a lead.
pub(crate) type Ask = oneshot::Sender<Option<u64>>;

/// Runs until the queue's senders are gone or the replica stops.
pub(crate) async fn run(replica: Arc<Replica>, mut queue: mpsc::Receiver<Ask>) {
    let mut asked = Vec::new();
    loop {
        let received = tokio::select! {
            received = queue.recv_many(&mut asked, limits::PROPOSE_QUEUE) => received,
            () = replica.stopped() => 0,
        };
        if received == 0 {
            return;
        }
        let index = confirm(&replica).await;
        for ask in asked.drain(..) {
            let _ = ask.send(index);
        }
    }
}

/// One round, here or at the leader.
async fn confirm(replica: &Arc<Replica>) -> Option<u64> {
    replica.rouse().await;
    if replica.leads() {
        return confirm_here(replica).await;
    }
    let leader = replica.leader()?;
    let payload = wire::encode(&Request::ReadIndex).ok()?;
    let answer = replica.peers().call(leader, payload, ROUND).await.ok()?;
    match wire::decode(&answer) {
        Ok(Response::ReadIndex(index)) => index,
        Ok(_) | Err(_) => None,
    }
}

/// One round as the leader: a quorum confirms the lead.
pub(crate) async fn confirm_here(replica: &Replica) -> Option<u64> {
    let _entered = replica.enter()?;
    let round = replica.raft().get_read_log_id(ReadPolicy::ReadIndex);
    let (read, _) = timeout(ROUND, round).await.ok()?.ok()?;
    Some(read.index())
}
