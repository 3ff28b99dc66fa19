//! Shallow rotation: a new generation of the group's key, and the slot keyrings sealed under it. What a replica that left could open stays
//! what it was; what is made from now on is not for it.

use holdfast_domain::{GroupDescriptor, KeyGeneration, Reason, ReplicaDescriptor, ReplicaId, ReplicaState};
use holdfast_proto::{node::v1::ReadinessReply, registry::v1::ReplicaReport};
use holdfast_store::{KeyRange, ScanLimit};
use holdfast_sys_core::Refusal;

use super::{Runtime, StepError, report::report};
use crate::{
    custody::{self, CustodyError, Newcomer},
    machine::{
        Command, GroupRow, IncomingRow, Outcome, Row as _, SlotKeyringRow, SlotStatus, StateError, Table,
        fingerprint, slot_of,
    },
    partition::{ShardGroup, refusals},
};

/// Slot keyrings that are sealed anew by commands in flight at once.
const RESEALED_AT_ONCE: usize = 256;

impl Runtime {
    /// Rotates to a generation after `above`, as the leader. Can be repeated, by another leader too.
    pub(super) async fn rotate(
        &self,
        descriptor: &GroupDescriptor,
        own: ReplicaId,
        above: KeyGeneration,
    ) -> Result<(), StepError> {
        let group = descriptor.group;
        let shard = self.hosted.get(group).ok_or(StepError::NotInMap("a running replica"))?;
        let keys = shard.state().keys();
        if keys.newest() < above {
            self.receive_keys(group).await?;
        }
        if keys.newest() <= above {
            self.make_generation(descriptor, own).await?;
        }
        let newest = keys.newest();
        self.spread_key(descriptor, own, newest).await?;
        // The fence first: what was sealed under an older key and is still under way is refused behind it.
        let fence = Command::RequireGeneration { generation: newest };
        shard.propose(shard.term()?, &fence).await?;
        reseal_slots(&shard).await?;
        report(self, (group, own), ReplicaReport::Rotated, newest.0.into()).await
    }

    /// Makes the next generation, or takes over the one that another leader made.
    async fn make_generation(&self, descriptor: &GroupDescriptor, own: ReplicaId) -> Result<(), StepError> {
        let group = descriptor.group;
        let shard = self.hosted.get(group).ok_or(StepError::NotInMap("a running replica"))?;
        let mut others = Vec::new();
        for replica in descriptor.replicas.iter().filter(|replica| replica.replica != own) {
            let checked = match self.check_standing(replica) {
                Ok(()) => Newcomer::check(&self.keeper, replica.node).await.map_err(StepError::from),
                Err(banned) => Err(banned),
            };
            match checked {
                Ok(newcomer) => others.push(newcomer),
                // It leaves, and need not be able to.
                Err(_) if replica.state == ReplicaState::Leaving => {}
                Err(error) => return Err(error),
            }
        }
        let approvals = self.view.borrow().approvals.clone();
        let wrap_all = |dmk: &holdfast_keys::Dmk| {
            others.iter().map(|newcomer| newcomer.wrap(&self.keeper, dmk, &approvals)).collect()
        };
        match custody::rotate(&self.keeper, group, wrap_all).await {
            Ok((generation, dmk)) => {
                tracing::info!(%group, %generation, "new generation of the group's key");
                shard.state().keys().push(generation, dmk).map_err(CustodyError::Generation)?;
                Ok(())
            }
            Err(CustodyError::Overtaken(..)) => self.receive_keys(group).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Until a majority and all that answer have the key: a replica that meets it in the log without having it stands still.
    async fn spread_key(
        &self,
        descriptor: &GroupDescriptor,
        own: ReplicaId,
        generation: KeyGeneration,
    ) -> Result<(), StepError> {
        let lacks = |said: &ReadinessReply| said.key_generation < generation.0;
        let mut answers = self.ask_all(descriptor, own, generation.0).await;
        let lacking: Vec<_> = answers.iter().filter(|(_, said)| lacks(said)).map(|(id, _)| *id).collect();
        for id in &lacking {
            // Who wrapped it to this one may have left since.
            self.wrap(descriptor.group, &self.listed(descriptor.group, *id)?).await?;
        }
        if !lacking.is_empty() {
            answers = self.ask_all(descriptor, own, generation.0).await;
        }
        let stays =
            |id: ReplicaId| descriptor.replica(id).is_some_and(|of| of.state != ReplicaState::Leaving);
        let mut staying = answers.iter().filter(|(id, _)| stays(*id));
        let all_have_it = staying.all(|(_, said)| !lacks(said));
        let is_voter = |replica: &&ReplicaDescriptor| {
            replica.replica == own || answers.iter().any(|(id, _)| *id == replica.replica)
        };
        let voters = descriptor.voters().count();
        let enough = descriptor.voters().filter(is_voter).count() > voters / 2;
        if all_have_it && enough {
            Ok(())
        } else {
            Err(StepError::KeyNotSpread { group: descriptor.group, generation })
        }
    }
}

/// Seals every slot keyring under the newest generation that is not, as the leader.
pub(super) async fn reseal_slots(shard: &ShardGroup) -> Result<(), Refusal> {
    loop {
        let stale = shard.blocking(stale_keyrings).await?;
        if stale.is_empty() {
            return Ok(());
        }
        let term = shard.term()?;
        let sealed = stale.iter().map(|command| shard.propose(term, command));
        let outcomes = futures::future::try_join_all(sealed).await?;
        // Who overtook one sealed it anew, too; but a round without any progress would be followed by another.
        if !outcomes.contains(&Outcome::Applied) {
            let detail = format!("slot keyrings are not sealed anew: {:?}", outcomes.first());
            return Err(Refusal::new(Reason::NotReady).because(detail));
        }
    }
}

/// Commands for the next slots whose keyrings are under an older generation. Blocks.
fn stale_keyrings(shard: &ShardGroup) -> Result<Vec<Command>, Refusal> {
    let (reader, keys) = (shard.state().read(), shard.state().keys());
    let newest = keys.newest();
    let mut stale = Vec::new();
    for row in reader.scan(Table::SlotKeyrings, &KeyRange::all(), ScanLimit::MAX)?.rows {
        let keyring = SlotKeyringRow::decode(&row.value)?;
        let slot = slot_of(&row.key).ok_or(StateError::Key)?;
        let Some(slot_row) = reader.slot(slot)? else { continue };
        if keyring.generation >= newest || slot_row.status == SlotStatus::Left {
            continue;
        }
        let opened = keys.open_slot(slot, &keyring).map_err(StateError::from)?;
        let SlotKeyringRow { generation, sealed } =
            keys.seal_slot(slot, &opened).map_err(StateError::from)?;
        let (epoch, previous) = (slot_row.epoch, Some(fingerprint(&row.value)));
        stale.push(Command::PutSlotKeyring { slot, epoch, previous, generation, sealed });
        if stale.len() >= RESEALED_AT_ONCE {
            break;
        }
    }
    drop(reader);
    let transfer_key = crate::transfer::resealed_transfer_key(shard);
    stale.extend(transfer_key.map_err(|error| refusals::because(Reason::Internal, &error))?);
    Ok(stale)
}

/// The oldest generation that commands may still bring. Blocks.
pub(super) fn fenced_below(shard: &ShardGroup) -> Result<KeyGeneration, Refusal> {
    Ok(shard.state().read().get::<GroupRow>(&[])?.unwrap_or_default().min_generation)
}

/// The oldest generation that anything in the state is sealed under. Blocks.
pub(super) fn oldest_key_in_use(shard: &ShardGroup) -> Result<Option<KeyGeneration>, Refusal> {
    let reader = shard.state().read();
    let page = reader.scan(Table::SlotKeyrings, &KeyRange::all(), ScanLimit::MAX)?;
    let incoming = reader.get::<IncomingRow>(&[])?.filter(IncomingRow::is_open);
    let rows = page.rows.iter().map(|row| SlotKeyringRow::decode(&row.value));
    let generations = rows.map(|row| row.map(|row| row.generation)).collect::<Result<Vec<_>, _>>()?;
    Ok(generations.into_iter().chain(incoming.map(|row| row.generation)).min())
}
