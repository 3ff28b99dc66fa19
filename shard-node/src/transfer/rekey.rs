//! New keys for slots that came: the group that had them knew the old ones.
//!
//! A new SK for the slot, and for each of its partitions a new data key, for new writes. Old data keys stay until what they sealed is
//! written anew. The locator and the digest key stay: what they say is no secret worth a rewrite of every row.

use std::sync::Arc;

use holdfast_domain::{KeyGeneration, Slot};
use holdfast_keys::{SlotKey, SlotKeyring, keyring::GenerationError};
use holdfast_store::{KeyRange, ScanLimit, records::PartitionToken};

use super::{TransferError, drive::Mover};
use crate::{
    limits::MAX_COMMAND_BYTES,
    machine::{
        Command, MoveCommand, Outcome, PartitionKeyringRow, Rekeyed, Row as _, SlotKeyringRow, StateError,
        Table, fingerprint, slot_key,
    },
    partition::ShardGroup,
};

/// Slots that get new keys before anything else has its turn again.
const SLOTS_A_STEP: usize = 64;

impl Mover {
    /// Gives some slots with stale keys new ones.
    pub(super) async fn rekey(&self, shard: &Arc<ShardGroup>) -> Result<(), TransferError> {
        let stale = shard
            .blocking(|shard| {
                Ok(shard.state().read().slots_with(|row| row.stale_key && row.serves(row.epoch))?)
            })
            .await?;
        let stale: Vec<_> = stale.into_iter().filter(|slot| !self.is_too_large(shard.id(), *slot)).collect();
        for slot in stale.iter().copied().take(SLOTS_A_STEP) {
            let _writer = shard.writer(slot).await;
            let term = shard.term()?;
            let command = match shard.blocking(move |shard| Ok(new_keys(shard, slot))).await? {
                Ok(Some(command)) => command,
                Ok(None) => continue,
                Err(error @ TransferError::TooManyPartitions(_)) => {
                    // The others do not wait for it.
                    tracing::error!(group = %shard.id(), %error, "a slot that came keeps its keys");
                    self.skip_too_large(shard.id(), slot);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match shard.propose(term, &Command::Move(command)).await? {
                Outcome::Applied => {}
                // Another leader's keyring came first, or the slot goes on to the next group.
                Outcome::Conflict | Outcome::WrongSlot => {}
                outcome => return Err(TransferError::Log { group: shard.id(), step: "rekey", outcome }),
            }
        }
        tracing::debug!(group = %shard.id(), left = stale.len().saturating_sub(SLOTS_A_STEP), "new keys for slots that came");
        Ok(())
    }
}

/// The command that replaces a slot's keys. The caller has the slot's turn.
fn new_keys(shard: &ShardGroup, slot: Slot) -> Result<Option<MoveCommand>, TransferError> {
    let (reader, keys) = (shard.state().read(), shard.state().keys());
    let Some(row) = reader.slot(slot)?.filter(|row| row.stale_key) else {
        return Ok(None);
    };
    let Some(present) = reader.get_raw(Table::SlotKeyrings, &slot_key(slot))? else { return Ok(None) };
    let old = keys.open_slot(slot, &SlotKeyringRow::decode(&present)?)?;
    let SlotKeyring { slot: old_key, locator, digest } = old;
    let new = SlotKeyring { slot: SlotKey::generate()?, locator, digest };
    let (mut partitions, mut bytes) = (Vec::new(), 0);
    let mut rest = Some(KeyRange::prefix(slot_key(slot).to_vec()));
    while let Some(range) = rest {
        let page = reader.scan(Table::PartitionKeyrings, &range, ScanLimit::MAX)?;
        for row in &page.rows {
            let token = row.key.get(2..).and_then(|token| token.try_into().ok()).ok_or(StateError::Key)?;
            let partition = PartitionToken(token);
            let PartitionKeyringRow { min_generation: _, sealed } = PartitionKeyringRow::decode(&row.value)?;
            let mut keyring = keys.open_partition(&old_key, slot, partition, &sealed.0)?;
            let next = KeyGeneration(keyring.data.newest().0.0.saturating_add(1));
            match keyring.data.rotate(next) {
                Ok(()) => {}
                // Until old ones retire, new writes go on under the newest there is.
                Err(GenerationError::TooMany) => {
                    tracing::warn!(group = %shard.id(), slot = slot.number(), "too many data keys for another one");
                }
                Err(error) => return Err(holdfast_keys::keyring::KeyringError::from(error).into()),
            }
            let sealed = keys.seal_partition(&new.slot, slot, partition, &keyring)?;
            bytes += sealed.len() + 64;
            partitions.push(Rekeyed {
                partition: token,
                previous: fingerprint(&row.value),
                sealed: sealed.into(),
            });
        }
        rest = page.next.map(|next| range.starting_at(next));
    }
    if bytes > MAX_COMMAND_BYTES - 4096 {
        return Err(TransferError::TooManyPartitions(slot.number()));
    }
    let SlotKeyringRow { generation, sealed } = keys.seal_slot(slot, &new)?;
    let (epoch, previous) = (row.epoch, fingerprint(&present));
    Ok(Some(MoveCommand::RekeySlot { slot, epoch, previous, generation, sealed, partitions }))
}
