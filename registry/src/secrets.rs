//! The registry's own secrets in their sealed form: both authorities and the map key, replicated only under the CRK.

use holdfast_certs::{Authority, IssueError};
use holdfast_domain::{
    ClusterId, KeyGeneration,
    codec::{self, CodecError},
};
use holdfast_keys::{AeadError, Crk, LenPrefixed, SoftSigner, aead, derive, labels, sign::PrivateKeyError};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    authority::{Authorities, WrongKinds},
    core::Secrets,
};

/// Largest opened form.
const MAX_PLAIN: usize = 32 * 1024;
/// The kind of secret, which is part of its sealing key.
const KIND: &str = "authorities";

/// Why secrets cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SecretsError {
    /// Another key, another cluster, or damaged.
    #[error("the registry's sealed secrets do not open with the key that this machine has")]
    Refused(#[from] AeadError),
    /// Opened to something else.
    #[error("the registry's secrets have another form than this version knows")]
    Form(#[from] CodecError),
    /// A key in them is none.
    #[error("a key among the registry's secrets")]
    Key(#[from] PrivateKeyError),
    /// An authority in them is none.
    #[error("an authority among the registry's secrets")]
    Authority(#[from] IssueError),
    /// The authorities in them are not one of each kind.
    #[error("the authorities among the registry's secrets")]
    Kinds(#[from] WrongKinds),
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Plain {
    registry_certificate: Vec<u8>,
    registry_key: Vec<u8>,
    workload_certificate: Vec<u8>,
    workload_key: Vec<u8>,
    map_key: Vec<u8>,
}

/// Seals secrets under their CRK, for the replicated state.
pub(crate) fn seal(secrets: &Secrets, cluster: ClusterId) -> Result<Vec<u8>, SecretsError> {
    let Secrets { crk, generation: _, authorities, map_key } = secrets;
    let (registry, workload) = authorities.both();
    let (registry_certificate, registry_key) = registry.to_parts()?;
    let (workload_certificate, workload_key) = workload.to_parts()?;
    let plain = Plain {
        registry_certificate,
        registry_key: registry_key.to_vec(),
        workload_certificate,
        workload_key: workload_key.to_vec(),
        map_key: map_key.expose_pkcs8_der()?.to_vec(),
    };
    let bytes = Zeroizing::new(codec::encode(&plain)?);
    Ok(aead::seal(&derive::registry_secret_key(crk, KIND), &context(cluster), &bytes)?)
}

/// Opens what the replicated state holds.
pub(crate) fn open(
    crk: Crk,
    generation: KeyGeneration,
    cluster: ClusterId,
    sealed: &[u8],
) -> Result<Secrets, SecretsError> {
    let key = derive::registry_secret_key(&crk, KIND);
    let bytes = aead::open_secret(&key, &context(cluster), sealed)?;
    let plain: Plain = codec::decode(&bytes, MAX_PLAIN)?;
    let authority = |certificate: &[u8], key: &[u8]| -> Result<Authority, SecretsError> {
        Ok(Authority::from_parts(certificate.to_vec(), SoftSigner::from_pkcs8_der(key)?)?)
    };
    let registry = authority(&plain.registry_certificate, &plain.registry_key)?;
    let workload = authority(&plain.workload_certificate, &plain.workload_key)?;
    let map_key = SoftSigner::from_pkcs8_der(&plain.map_key)?;
    Ok(Secrets { crk, generation, authorities: Authorities::new(registry, workload)?, map_key })
}

fn context(cluster: ClusterId) -> Vec<u8> {
    LenPrefixed::new(labels::REGISTRY_SECRET_KEY).field(cluster.as_bytes()).into_bytes()
}

#[cfg(test)]
mod tests {
    use holdfast_certs::testing::TestCluster;
    use holdfast_keys::Signer as _;

    use super::*;

    fn copy(crk: &Crk) -> Crk {
        Crk::from_bytes(*crk.expose_for_wrapping())
    }

    #[test]
    fn secrets_open_with_their_key_in_their_cluster_only() {
        let TestCluster { registry, workload, .. } = TestCluster::fresh().unwrap();
        let (generation, cluster) = (KeyGeneration(1), ClusterId::new([7; 16]));
        let secrets = Secrets {
            crk: Crk::generate().unwrap(),
            generation,
            authorities: Authorities::new(registry, workload).unwrap(),
            map_key: SoftSigner::generate().unwrap(),
        };
        let sealed = seal(&secrets, cluster).unwrap();
        let opened = open(copy(&secrets.crk), generation, cluster, &sealed).unwrap();
        assert_eq!(opened.map_key.public(), secrets.map_key.public());
        assert!(open(Crk::generate().unwrap(), generation, cluster, &sealed).is_err());
        assert!(open(copy(&secrets.crk), generation, ClusterId::new([8; 16]), &sealed).is_err());
    }
}
