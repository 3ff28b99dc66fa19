//! A certificate chain together with the key that it is for.

use std::{fmt, sync::Arc};

use holdfast_domain::{SpiffeId, UnixMs};
use holdfast_keys::{ClientKey, Signer, SoftSigner, sign::PrivateKeyError};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::key::{Ed25519Key, SignerKey};
use crate::{CertChain, PeerIdentity, VerifyError, leaf::Leaf};

/// What a process shows to its peers.
#[derive(Clone)]
pub struct Identity {
    chain: CertChain,
    leaf: Leaf,
    certified: Arc<CertifiedKey>,
    blocking: bool,
}

/// Why a chain and a key make no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The leaf is not one of ours.
    #[error("the leaf certificate: {0}")]
    Leaf(#[from] VerifyError),
    /// The certificate is for another key.
    #[error("the certificate is for another key")]
    KeyMismatch,
    /// The key could not be written.
    #[error("the key cannot be encoded")]
    KeyEncoding(#[source] PrivateKeyError),
    /// rustls could not load the key.
    #[error("the key cannot be used for TLS")]
    Key(#[source] rustls::Error),
}

impl Identity {
    /// An identity whose key may block, such as a TPM's. For the dialing end only: an accepting end with such
    /// a key would let a flood of clients starve it.
    ///
    /// The signer is called outside the async runtime's worker threads.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn from_signer(chain: CertChain, signer: Arc<dyn Signer>) -> Result<Self, IdentityError> {
        Self::new(chain, Arc::new(SignerKey(signer)), true)
    }

    /// An identity whose key is in memory. For both ends.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn from_soft(chain: CertChain, key: &SoftSigner) -> Result<Self, IdentityError> {
        let pkcs8 = key.expose_pkcs8_der().map_err(IdentityError::KeyEncoding)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_slice()));
        // Not through our own signer: aws-lc signs several times faster, and this is every inbound handshake.
        let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&der).map_err(IdentityError::Key)?;
        Self::new(chain, key, false)
    }

    /// An identity of an operator or client with an Ed25519 key.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn from_client_key(chain: CertChain, key: Arc<ClientKey>) -> Result<Self, IdentityError> {
        Self::new(chain, Arc::new(Ed25519Key(key)), false)
    }

    fn new(chain: CertChain, key: Arc<dyn SigningKey>, blocking: bool) -> Result<Self, IdentityError> {
        let leaf = Leaf::parse(chain.leaf())?;
        let ders = chain.ders().iter().map(|der| CertificateDer::from(der.clone())).collect();
        let certified = CertifiedKey::new(ders, key);
        certified.keys_match().map_err(|_| IdentityError::KeyMismatch)?;
        Ok(Self { chain, leaf, certified: Arc::new(certified), blocking })
    }

    /// Who this is.
    pub fn spiffe(&self) -> &SpiffeId {
        &self.leaf.identity.spiffe
    }

    /// All that the leaf says.
    pub fn peer_identity(&self) -> &PeerIdentity {
        &self.leaf.identity
    }

    /// Begin of the leaf's validity.
    pub fn not_before(&self) -> UnixMs {
        self.leaf.validity.not_before
    }

    /// End of the leaf's validity.
    pub fn not_after(&self) -> UnixMs {
        self.leaf.validity.not_after
    }

    /// The chain.
    pub fn chain(&self) -> &CertChain {
        &self.chain
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Whether signing blocks its thread.
    pub(crate) fn is_blocking(&self) -> bool {
        self.blocking
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.leaf.identity).finish()
    }
}
