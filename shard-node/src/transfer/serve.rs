//! The source's side, as the target's leader calls it.

use std::sync::Arc;

use holdfast_domain::{
    BanSubject, GroupId, Lineage, MapEpoch, NodeId, Reason, ReplicaState, Signature64, Signed, SlotMove,
    codec,
};
use holdfast_keys::TransferPublic;
use holdfast_proto::node::v1::{
    BeginTransferReply, BeginTransferRequest, PullSlotsRequest, SlotRows, transfer_server::Transfer,
};
use holdfast_sys_core::{Caller, Refusal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    TransferError,
    key::{Binding, TransferKey},
    piece::Piece,
};
use crate::{
    groups::Runtime,
    limits::MAX_MOVED_ROWS,
    machine::{
        Command, Fence, MoveCommand, MovedRow, Outcome, OutgoingRow, Position, Row as _, SlotKeyringRow,
        Table, slot_of,
    },
    partition::{ShardGroup, refusals},
};

/// Pieces that wait for the target: 2 MiB.
const QUEUE: usize = 4;
/// Longest encoded position.
const MAX_POSITION: usize = 2048;

/// Who calls, the map's lineage, the move, and our replica.
type Allowed = (NodeId, Lineage, SlotMove, Arc<ShardGroup>);

/// The service.
pub struct TransferService(Arc<Runtime>);

impl TransferService {
    /// Over this node's replicas.
    pub const fn new(runtime: Arc<Runtime>) -> Self {
        Self(runtime)
    }

    /// The move out of a group of which the map names the caller as a voter of the target, and our replica if it leads.
    fn allowed(&self, caller: &Caller, group: u32) -> Result<Allowed, Refusal> {
        let group = GroupId(group);
        let Caller::Node(caller) = caller else { return Err(Reason::NotPermitted.into()) };
        let view = self.0.view.borrow();
        let map = &view.map.as_ref().ok_or(Reason::NotReady)?.map;
        let found = map.moves.iter().find(|of| of.from == group).ok_or(Reason::NotReady)?;
        let votes =
            |of: &holdfast_domain::ReplicaDescriptor| of.node == *caller && of.state == ReplicaState::Voter;
        let named = map.group(found.to).is_some_and(|target| target.replicas.iter().any(votes));
        if !named || view.bans.contains(&BanSubject::Node(*caller)) {
            return Err(Reason::NotAMember.into());
        }
        let shard = self.0.hosted.get(group).ok_or(Reason::NotReady)?;
        shard.term()?;
        Ok((*caller, map.lineage, found.clone(), shard))
    }
}

#[tonic::async_trait]
impl Transfer for TransferService {
    type PullSlotsStream = ReceiverStream<Result<SlotRows, Status>>;

    async fn begin_transfer(
        &self,
        request: Request<BeginTransferRequest>,
    ) -> Result<Response<BeginTransferReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let BeginTransferRequest { group, key, signature } = request.into_inner();
        let (by, lineage, slots, shard) = self.allowed(&caller, group)?;
        if slots.give_up {
            return Err(Refusal::new(Reason::Conflict).because("the move is given up").into());
        }
        let signature = signature.as_ref().try_into().map_err(|_| Refusal::new(Reason::Malformed))?;
        let signed = Signed::from_parts(key.to_vec(), Signature64(signature));
        let key = TransferKey::verify(&self.0.keeper, by, &signed).await.map_err(refused)?;
        let SlotMove { since, from, to, slots, give_up: _ } = slots;
        let expected = Binding { cluster: shard.state().keys().cluster(), since, from, to };
        if key.binding != expected || key.by != by {
            return Err(Refusal::new(Reason::Malformed).because("the transfer key is another move's").into());
        }
        let transfer_key = key.transfer_public().0;
        let command = MoveCommand::BeginMove { since, to, slots, lineage, transfer_key };
        propose(&shard, "begin", command).await.map_err(refused)?;
        tracing::info!(group = %shard.id(), %to, since = since.0, "slots begin to move");
        Ok(Response::new(BeginTransferReply {}))
    }

    async fn pull_slots(
        &self,
        request: Request<PullSlotsRequest>,
    ) -> Result<Response<Self::PullSlotsStream>, Status> {
        let caller = Caller::of(&request)?.clone();
        let PullSlotsRequest { group, since, position, freeze } = request.into_inner();
        let (_, _, slots, shard) = self.allowed(&caller, group)?;
        if slots.since != MapEpoch(since) {
            return Err(Refusal::new(Reason::Conflict).because("another move is under way").into());
        }
        let position: Position =
            codec::decode(&position, MAX_POSITION).map_err(|_| Refusal::new(Reason::Malformed))?;
        if freeze {
            let command = MoveCommand::FreezeSlots { since: slots.since };
            propose(&shard, "freeze", command).await.map_err(refused)?;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(send(Arc::clone(&self.0), shard, slots.since, position, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn propose(shard: &ShardGroup, step: &'static str, command: MoveCommand) -> Result<(), TransferError> {
    match shard.propose(shard.term()?, &Command::Move(command)).await? {
        Outcome::Applied => Ok(()),
        outcome => Err(TransferError::Log { group: shard.id(), step, outcome }),
    }
}

/// Sends pieces until nothing is left to send at that moment. Who stops reading stops this.
async fn send(
    runtime: Arc<Runtime>,
    shard: Arc<ShardGroup>,
    since: MapEpoch,
    mut position: Position,
    sender: mpsc::Sender<Result<SlotRows, Status>>,
) {
    loop {
        runtime.note_pulled(shard.id(), since, position.clone());
        let from = position.clone();
        let read = shard.blocking(move |shard| read(shard, since, &from).map_err(refusal)).await;
        let (message, last) = match read {
            Ok((piece, last)) => {
                position = piece.to.clone();
                match piece.encode() {
                    Ok(bytes) => (Ok(SlotRows { piece: bytes.into() }), last),
                    Err(error) => (Err(refused(error)), true),
                }
            }
            Err(refusal) => (Err(refusal.into()), true),
        };
        if sender.send(message).await.is_err() || last {
            return;
        }
    }
}

/// The next piece, and whether it is the last for now.
fn read(shard: &ShardGroup, since: MapEpoch, from: &Position) -> Result<(Piece, bool), TransferError> {
    let reader = shard.state().read();
    let outgoing = reader.outgoing()?.filter(|row| row.since == since && row.is_open());
    let Some(outgoing) = outgoing else {
        return Err(Refusal::new(Reason::NotReady).because("the move has not begun here").into());
    };
    let pulled = reader.pull(&outgoing, from, MAX_MOVED_ROWS)?;
    // A fence with rows would not fit; and it must be of a state in which these were the last.
    let complete = pulled.caught_up && pulled.rows.is_empty() && pulled.to == *from;
    let fence: Option<Fence> = if complete { reader.fence(since)? } else { None };
    let frozen = matches!(outgoing.phase, crate::machine::OutgoingPhase::Frozen { .. });
    drop(reader);
    let rows = give(shard, &outgoing, pulled.rows)?;
    // Of frozen slots the fence is the last; of others, whatever is.
    let last = if frozen { fence.is_some() } else { pulled.caught_up };
    Ok((Piece { rows, to: pulled.to, fence }, last))
}

/// Slot keyrings go sealed to the transfer key.
fn give(
    shard: &ShardGroup,
    outgoing: &OutgoingRow,
    rows: Vec<MovedRow>,
) -> Result<Vec<MovedRow>, TransferError> {
    let keys = shard.state().keys();
    let binding =
        Binding { cluster: keys.cluster(), since: outgoing.since, from: keys.group(), to: outgoing.to };
    let to = TransferPublic(outgoing.transfer_key);
    let mut given = Vec::with_capacity(rows.len());
    for row in rows {
        let is_keyring = row.table == Table::SlotKeyrings.number();
        given.push(match (&row.value, slot_of(&row.key.0)) {
            (Some(value), Some(slot)) if is_keyring => {
                let keyring = keys.open_slot(slot, &SlotKeyringRow::decode(&value.0)?)?;
                let sealed = to.seal(&binding.of_slot(slot), &keyring)?;
                MovedRow { value: Some(sealed.into()), ..row }
            }
            _ => row,
        });
    }
    Ok(given)
}

fn refusal(error: TransferError) -> Refusal {
    match error {
        TransferError::Refused(refusal) => refusal,
        TransferError::Signature { .. } | TransferError::Newcomer(_) => {
            refusals::because(Reason::NotPermitted, &error)
        }
        TransferError::Log { .. } => refusals::because(Reason::Conflict, &error),
        error => refusals::because(Reason::Internal, &error),
    }
}

fn refused(error: TransferError) -> Status {
    refusal(error).into()
}
