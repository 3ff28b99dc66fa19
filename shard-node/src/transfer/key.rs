//! The transfer key: bound to its move, signed by the machine that leads the target, verified by the source.

use holdfast_domain::{ClusterId, GroupId, MapEpoch, NodeId, Signed, Slot};
use holdfast_enrol::member::Member;
use holdfast_keys::{
    KeyGeneration, LenPrefixed, TransferPublic, TransferSecret, labels, sign_value, verify_value,
};
use serde::{Deserialize, Serialize};

use super::TransferError;
use crate::{
    custody::{Keeper, Newcomer},
    machine::{Blob, Command, GroupKeys, IncomingRow, MoveCommand},
    partition::ShardGroup,
};

/// Longest encoded [`TransferKey`].
const MAX_TRANSFER_KEY: usize = 256;

/// A move, as far as keys are bound to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Binding {
    pub(super) cluster: ClusterId,
    pub(super) since: MapEpoch,
    pub(super) from: GroupId,
    pub(super) to: GroupId,
}

/// What the target's leader signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TransferKey {
    pub(super) binding: Binding,
    pub(super) public: [u8; 32],
    pub(super) by: NodeId,
}

impl Binding {
    /// Under what one slot's keyring is sealed to the transfer key.
    pub(super) fn of_slot(&self, slot: Slot) -> Vec<u8> {
        self.prefixed().number(slot.number()).into_bytes()
    }

    /// Under what the private half is sealed.
    fn of_secret(&self, generation: KeyGeneration) -> Vec<u8> {
        self.prefixed().number(generation.0).into_bytes()
    }

    fn prefixed(&self) -> LenPrefixed {
        let Self { cluster, since, from, to } = self;
        LenPrefixed::new(labels::TRANSFER_INFO)
            .field(cluster.as_bytes())
            .number(since.0)
            .number(from.0)
            .number(to.0)
    }

    /// Seals a private half under the newest DMK of the target.
    pub(super) fn seal(
        &self,
        keys: &GroupKeys,
        secret: &TransferSecret,
    ) -> Result<(KeyGeneration, Blob), TransferError> {
        keys.with_newest(|generation, dmk| {
            let sealed = secret.seal(dmk, &self.of_secret(generation))?;
            Ok((generation, sealed.into()))
        })
    }

    /// Opens a private half.
    pub(super) fn open(
        &self,
        keys: &GroupKeys,
        generation: KeyGeneration,
        sealed: &Blob,
    ) -> Result<TransferSecret, TransferError> {
        let unknown = || holdfast_keys::keyring::GenerationError::Unknown(generation);
        let opened =
            keys.with(generation, |dmk| TransferSecret::unseal(dmk, &self.of_secret(generation), &sealed.0));
        let opened = opened.ok_or_else(|| holdfast_keys::keyring::KeyringError::from(unknown()))?;
        Ok(opened?)
    }
}

impl TransferKey {
    /// Signs with the TPM's TLS key.
    pub(super) async fn sign(self, member: &Member) -> Result<Signed<Self>, TransferError> {
        let signer = member.machine.signer();
        let signing = tokio::task::spawn_blocking(move || sign_value(&signer, labels::TRANSFER_KEY, &self));
        Ok(signing.await.map_err(|_| TransferError::Interrupted)??)
    }

    /// Verifies the machine that shows a key as if it were a newcomer of the own group, and its signature.
    pub(super) async fn verify(
        keeper: &Keeper,
        by: NodeId,
        signed: &Signed<Self>,
    ) -> Result<Self, TransferError> {
        let newcomer = Newcomer::check(keeper, by).await?;
        verify_value(signed, newcomer.tls(), labels::TRANSFER_KEY, MAX_TRANSFER_KEY)
            .map_err(|source| TransferError::Signature { by, source })
    }

    pub(super) const fn transfer_public(&self) -> TransferPublic {
        TransferPublic(self.public)
    }
}

/// The command that seals the transfer key of a move into this group under its newest DMK, if that is not done. Blocks.
pub(crate) fn resealed(shard: &ShardGroup) -> Result<Option<Command>, TransferError> {
    let keys = shard.state().keys();
    let row = shard.state().read().get::<IncomingRow>(&[])?;
    let Some(row) = row.filter(|row| row.is_open() && row.generation < keys.newest()) else {
        return Ok(None);
    };
    let IncomingRow { since, from, slots, generation, sealed, public, phase: _ } = row;
    let binding = Binding { cluster: keys.cluster(), since, from, to: keys.group() };
    let (generation, sealed) = binding.seal(keys, &binding.open(keys, generation, &sealed)?)?;
    Ok(Some(Command::Move(MoveCommand::PutTransferKey { since, from, slots, generation, sealed, public })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(fill: u8) -> GroupKeys {
        let dmk = holdfast_keys::Dmk::from_bytes([fill; 32]);
        GroupKeys::new(ClusterId::new([1; 16]), GroupId(2), KeyGeneration(1), dmk)
    }

    #[test]
    fn a_private_half_opens_for_its_own_move_and_group_only() {
        let binding = Binding {
            cluster: ClusterId::new([1; 16]),
            since: MapEpoch(3),
            from: GroupId(1),
            to: GroupId(2),
        };
        let secret = TransferSecret::generate().unwrap();
        let (generation, sealed) = binding.seal(&keys(1), &secret).unwrap();
        let open = |binding: Binding, fill| binding.open(&keys(fill), generation, &sealed);
        assert_eq!(open(binding, 1).unwrap().public(), secret.public());
        assert!(open(binding, 2).is_err());
        assert!(open(Binding { since: MapEpoch(4), ..binding }, 1).is_err());
        assert!(open(Binding { from: GroupId(9), ..binding }, 1).is_err());
        assert!(binding.open(&keys(1), KeyGeneration(7), &sealed).is_err());
        let slot = |number| Slot::try_from(number).unwrap();
        assert_ne!(binding.of_slot(slot(1)), binding.of_slot(slot(2)));
    }
}
