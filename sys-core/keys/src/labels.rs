//! Every label under which a key is derived, sealed or signed with. One purpose, one label, for ever: a changed format gets a new one.

/// The name of a purpose. Only this file makes them, so that no two purposes share one unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(&'static str);

impl Label {
    /// The label's bytes.
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }
}

macro_rules! labels {
    ($($(#[$meta:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$meta])* pub const $name: Label = Label(concat!("holdfast/", $text));)*

        /// All of them, for the test that none repeats.
        #[cfg(test)]
        const ALL: &[Label] = &[$($name),*];
    };
}

labels! {
    // Derived keys
    /// Key check values.
    KCV = "kcv/1";
    /// Sealing record values of one tablespace.
    VALUE_KEY = "val/1";
    /// Tokens of names in one index of one tablespace.
    TOKEN_KEY = "name/1";
    /// Sealing with a secret that only one TPM recovers from a credential.
    CREDENTIAL_WRAP_KEY = "credential-wrap/1";
    /// Sealing the consensus log of one process.
    LOG_KEY = "log/1";
    /// Sealing snapshots on disk.
    SNAPSHOT_KEY = "snapshot/1";
    /// Sealing what a node remembers of its TPM's counter.
    CHECKPOINT_KEY = "checkpoint/1";
    /// Sealing list cursors.
    CURSOR_KEY = "cursor/1";
    /// Sealing one kind of the registry's own secrets.
    REGISTRY_SECRET_KEY = "registry-secret/1";

    // Names in a TPM
    /// The counter of one data folder.
    CHECKPOINT_COUNTER = "checkpoint-counter/1";

    // Sealed forms
    /// What a node remembers of its TPM's counter.
    CHECKPOINT = "checkpoint-seal/1";
    /// A slot keyring under a DMK.
    SLOT_KEYRING = "slot-keyring/1";
    /// A partition keyring under a slot key.
    PARTITION_KEYRING = "partition-keyring/1";
    /// Anything sealed to the recovery key.
    RECOVERY_SEAL = "recovery-seal/1";
    /// Which key a recovery-sealed wrap is of.
    RECOVERY_WRAP = "recovery-wrap/1";
    /// Anything sealed to the transfer key of a slot move.
    TRANSFER_SEAL = "transfer-seal/1";
    /// Which move a transfer key is of.
    TRANSFER_INFO = "transfer-info/1";
    /// The private half of a transfer key under a DMK.
    TRANSFER_SECRET = "transfer-secret/1";
    /// The check inside a recovery secret that is split into shares.
    RECOVERY_CHECK = "recovery-check/1";
    /// The checksum of a share's text.
    RECOVERY_SHARE = "recovery-share/1";

    // Proofs by HMAC
    /// Proof of a join ticket.
    TICKET_PROOF = "ticket-proof/1";

    // Signatures
    /// The genesis record, by the cluster root.
    GENESIS = "sign/genesis/1";
    /// The operator set, by operators.
    OPERATOR_SET = "sign/operator-set/1";
    /// An admission (allow, approve, unban and the like), by an operator.
    ADMISSION = "sign/admission/1";
    /// A row with a wrapped key, by the node that wrapped it.
    WRAP_ROW = "sign/wrap-row/1";
    /// The transfer key of a slot move, by the node that leads the receiving group.
    TRANSFER_KEY = "sign/transfer-key/1";
    /// The shard map, by the map key.
    SHARD_MAP = "sign/shard-map/1";
    /// The opening of a session, by a client.
    SESSION = "sign/session/1";
    /// A client's registration, by the client.
    REGISTRATION = "sign/registration/1";
    /// A change of an account's keys or rights, by one of its keys, its recovery key or a set-up token.
    DEVICES = "sign/devices/1";
    /// A key that a login's password admits, by that key.
    SIGN_IN = "sign/sign-in/1";
    /// One browser request, by a client.
    CLIENT_REQUEST = "sign/client-request/1";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_no_label_serves_two_purposes() {
        let distinct: std::collections::BTreeSet<_> = ALL.iter().collect();
        assert_eq!(distinct.len(), ALL.len());
    }
}
