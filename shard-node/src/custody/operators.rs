//! The operators and what they signed, followed from the genesis record by this replica itself.
//!
//! Invariants: a chain of changes that was seen once is never replaced by another one, neither by a shorter one that hides a change nor by
//! one of operators who were removed. What former operators signed counts for machines only that every later change names: a key
//! that was removed can still sign, under any date.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use holdfast_domain::{
    Admission, ClusterId, EkHash, Genesis, OperatorKey, OperatorRequest, Reason, Sha256Hash, SignedAdmission,
    admission::MAX_ADMISSION, codec,
};
use holdfast_enrol::folder::{Folder, FolderError};
use holdfast_tpm_verify::{
    Denial,
    admission::{self, OperatorSet, VerifiedAdmission},
};

/// Largest signed admission: its bytes and a few signatures.
pub(super) const MAX_SIGNED_ADMISSION: usize = MAX_ADMISSION + 8192;
/// Hashes of the changes seen so far.
const FILE: &str = "identity/operators";
/// Held from reading the file until it is written: several groups may be handed over at once.
static REMEMBERING: Mutex<()> = Mutex::new(());

/// Every operator set since the genesis record, each signed in by the one before.
pub(super) struct OperatorChain {
    cluster: ClusterId,
    genesis: OperatorSet,
    changes: Vec<Change>,
}

/// A set, and which machines of the sets before it stay admitted.
struct Change {
    set: OperatorSet,
    keep: BTreeSet<EkHash>,
    hash: Sha256Hash,
}

impl OperatorChain {
    /// Follows the signed changes from the genesis record.
    pub(super) fn verify(genesis: &Genesis, links: &[Bytes]) -> Result<Self, Denial> {
        let cluster = genesis.cluster;
        let first = operators(0, &genesis.operators, genesis.operator_threshold)?;
        let mut chain = Self { cluster, genesis: first, changes: Vec::with_capacity(links.len()) };
        for (number, link) in (1..).zip(links) {
            let signed: SignedAdmission = codec::decode(link, MAX_SIGNED_ADMISSION)
                .map_err(|error| denial(Reason::Malformed, error.to_string()))?;
            let change = admission::verify(cluster, chain.current(), &signed)?.into_admission();
            let OperatorRequest::SetOperators { operators: next, threshold, keep } = change.request else {
                return Err(denial(Reason::Malformed, "a link that is no change of operators"));
            };
            chain.changes.push(Change {
                set: operators(number, &next, threshold)?,
                keep: keep.into_iter().collect(),
                // Of what was signed: the same change may come with other signatures.
                hash: Sha256Hash::of(&signed.bytes),
            });
        }
        Ok(chain)
    }

    fn current(&self) -> &OperatorSet {
        self.changes.last().map_or(&self.genesis, |change| &change.set)
    }

    /// Checks that this is the chain seen so far or continues it, and keeps it.
    pub(super) fn remember(&self, folder: &Folder) -> Result<Result<(), Denial>, FolderError> {
        let _writing = REMEMBERING.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<Sha256Hash> = folder.get(FILE)?.unwrap_or_default();
        if !self.continues(&known) {
            let detail = format!("not the {} changes of operators that were seen before", known.len());
            return Ok(Err(denial(Reason::AdmissionUnsigned, detail)));
        }
        if self.changes.len() > known.len() {
            folder.put(FILE, &self.hashes())?;
        }
        Ok(Ok(()))
    }

    fn continues(&self, known: &[Sha256Hash]) -> bool {
        self.hashes().starts_with(known)
    }

    fn hashes(&self) -> Vec<Sha256Hash> {
        self.changes.iter().map(|change| change.hash).collect()
    }

    /// Checks an admission under the very set that it names.
    pub(super) fn admission(
        &self,
        signed: &SignedAdmission,
        ek: EkHash,
    ) -> Result<VerifiedAdmission, Denial> {
        // The set's number is needed to find the keys; nothing else is used before the signatures hold.
        let claimed: Admission = codec::decode(&signed.bytes, MAX_ADMISSION)
            .map_err(|error| denial(Reason::Malformed, error.to_string()))?;
        let index = usize::try_from(claimed.set).unwrap_or(usize::MAX);
        let set = match index.checked_sub(1) {
            None => Some(&self.genesis),
            Some(change) => self.changes.get(change).map(|change| &change.set),
        };
        let unknown = || denial(Reason::AdmissionUnsigned, "signed as operators who are not known");
        let verified = admission::verify(self.cluster, set.ok_or_else(unknown)?, signed)?;
        if self.changes.iter().skip(index).all(|later| later.keep.contains(&ek)) {
            Ok(verified)
        } else {
            Err(denial(Reason::AdmissionUnsigned, "admitted by former operators, and not kept since"))
        }
    }
}

fn operators(number: u32, operators: &[OperatorKey], threshold: u8) -> Result<OperatorSet, Denial> {
    OperatorSet::new(number, operators, threshold)
        .map_err(|error| denial(Reason::AdmissionUnsigned, error.to_string()))
}

fn denial(reason: Reason, detail: impl Into<String>) -> Denial {
    Denial { reason, detail: detail.into() }
}

#[cfg(test)]
mod tests;
