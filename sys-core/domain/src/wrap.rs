//! Keys in the only forms the registry ever sees: wrapped to a TPM or sealed to the officers.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, GroupId, Kcv, KeyGeneration, NodeId};

/// Output of MakeCredential (TPM 2.0 part 1, 24): opens only in the TPM that holds both the EK and the AK it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialBlob {
    /// TPM2B_ID_OBJECT contents.
    pub id_object: Vec<u8>,
    /// TPM2B_ENCRYPTED_SECRET contents.
    pub enc_secret: Vec<u8>,
}

/// A key on its way into a TPM: an import blob for the SRK, sealed under a credential for (EK, AK).
///
/// The credential is what proves, without trusting whoever challenged the newcomer, that AK and EK live in one TPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedBlob {
    /// Delivers the secret that opens `sealed`.
    pub credential: CredentialBlob,
    /// The SRK import blob under that secret.
    pub sealed: Vec<u8>,
}

/// Which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeySubject {
    /// The registry's own key.
    Crk,
    /// A shard group's database master key.
    Dmk(GroupId),
}

/// For whom, and the key in that form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WrapTarget {
    /// The officers' recovery key (HPKE).
    Recovery {
        /// Encapsulated key and ciphertext.
        sealed: Vec<u8>,
    },
    /// One machine's TPM.
    Tpm {
        /// The machine.
        node: NodeId,
        /// Name of its SRK.
        srk_name: Vec<u8>,
        /// The key.
        blob: WrappedBlob,
    },
}

/// One wrap as its maker signs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapRow {
    /// The cluster.
    pub cluster: ClusterId,
    /// Which key.
    pub subject: KeySubject,
    /// Which generation of it.
    pub generation: KeyGeneration,
    /// The wrap.
    pub target: WrapTarget,
    /// Checks the key after opening.
    pub kcv: Kcv,
    /// The machine that wrapped it, whose TLS key signs this row.
    pub by: NodeId,
}

/// Largest encoded [`WrapRow`] that anyone accepts, in bytes.
pub const MAX_WRAP: usize = 16 * 1024;
