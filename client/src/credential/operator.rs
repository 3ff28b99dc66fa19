//! An operator's credential directory.

use std::path::Path;

use holdfast_certs::{CertChain, Identity};
use holdfast_domain::{RootHash, SpiffeSubject};
use holdfast_keys::SoftSigner;

use super::{
    CredentialError, OperatorDescription,
    directory::{Directory, VOTERS},
};
use crate::{trust::Trust, voters::VotersFile};

pub(super) const DESCRIPTION: &str = "operator.toml";
pub(super) const KEY: &str = "operator.key";
pub(super) const CHAIN: &str = "operator.chain";
pub(super) const POLICY_KEY: &str = "pcr-policy.key";

/// An operator: name, key, certificate, cluster.
pub struct OperatorCredential {
    directory: Directory,
    description: OperatorDescription,
    key: SoftSigner,
    chain: CertChain,
    trust: Trust,
}

impl OperatorCredential {
    /// Reads a directory. `pin`, where given, is the cluster that it must belong to.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn open(dir: &Path, pin: Option<RootHash>) -> Result<Self, CredentialError> {
        let directory = Directory::open(dir)?;
        let text = directory.read(DESCRIPTION)?;
        let description = OperatorDescription::parse(&String::from_utf8_lossy(&text))
            .map_err(|problem| directory.description(DESCRIPTION, problem))?;
        directory.check_pin(pin.unwrap_or(description.root_hash), description.root_hash)?;
        let key = read_key(&directory, KEY, &directory.read(KEY)?)?;
        let OperatorDescription { cluster, trust_domain, root_hash, .. } = &description;
        let trust = directory.read_trust(*root_hash, *cluster, trust_domain)?;
        let chain = directory.read_chain(CHAIN)?;
        let credential = Self { description, key, chain, trust, directory };
        let identity = credential.identity()?;
        let expected = SpiffeSubject::Operator(credential.description.name.clone());
        if identity.spiffe().subject != expected {
            let actual = identity.spiffe().subject.to_string();
            let file = credential.directory.path(CHAIN);
            return Err(CredentialError::Subject { file, expected: expected.to_string(), actual });
        }
        Ok(credential)
    }

    /// Writes a new directory, as the program that begins a cluster does.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn create(
        dir: &Path,
        description: OperatorDescription,
        key: SoftSigner,
        chain: CertChain,
        trust: Trust,
        policy_key: Option<&SoftSigner>,
    ) -> Result<Self, CredentialError> {
        let directory = Directory::create(dir)?;
        let toml = description.to_toml().map_err(|_| CredentialError::Unwritable)?;
        directory.write(DESCRIPTION, toml.as_bytes())?;
        for (name, key) in [(KEY, Some(&key)), (POLICY_KEY, policy_key)] {
            let Some(key) = key else { continue };
            let pem = key.expose_pkcs8_pem().map_err(|_| CredentialError::Unwritable)?;
            directory.write(name, pem.as_bytes())?;
        }
        directory.write_chain(CHAIN, &chain)?;
        directory.write_trust(&trust)?;
        Ok(Self { directory, description, key, chain, trust })
    }

    /// The public part.
    pub fn description(&self) -> &OperatorDescription {
        &self.description
    }

    /// What connections show.
    ///
    /// # Errors
    /// [`CredentialError::Identity`].
    pub fn identity(&self) -> Result<Identity, CredentialError> {
        Identity::from_soft(self.chain.clone(), &self.key)
            .map_err(|source| CredentialError::Identity { file: self.directory.path(CHAIN), source })
    }

    /// Signs in the operator's name.
    pub fn signer(&self) -> &SoftSigner {
        &self.key
    }

    /// The cluster.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Which registries are remembered.
    pub(crate) fn voters_file(&self) -> VotersFile {
        VotersFile::new(self.directory.path(VOTERS))
    }

    /// The key that approves boot states, read for each use; `None` for an operator who has none.
    ///
    /// # Errors
    /// When the file is there and is no key, or others can reach it.
    pub fn policy_signer(&self) -> Result<Option<SoftSigner>, CredentialError> {
        let pem = self.directory.read_optional(POLICY_KEY)?;
        pem.map(|pem| read_key(&self.directory, POLICY_KEY, &pem)).transpose()
    }

    /// Keeps a renewed chain, which must be for the same key.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn replace_chain(&mut self, chain: CertChain) -> Result<Identity, CredentialError> {
        let old = std::mem::replace(&mut self.chain, chain);
        match self.identity() {
            Ok(identity) => {
                self.directory.write_chain(CHAIN, &self.chain)?;
                Ok(identity)
            }
            Err(error) => {
                self.chain = old;
                Err(error)
            }
        }
    }
}

fn read_key(directory: &Directory, name: &str, pem: &[u8]) -> Result<SoftSigner, CredentialError> {
    let text = std::str::from_utf8(pem).unwrap_or_default();
    SoftSigner::from_pkcs8_pem(text)
        .map_err(|source| CredentialError::Key { file: directory.path(name), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use holdfast_certs::testing::TestCluster;
    use holdfast_keys::Signer as _;

    use super::*;
    use crate::trust::testing::Founded;

    fn create(dir: &Path) -> OperatorCredential {
        let cluster = TestCluster::fresh().unwrap();
        let key = SoftSigner::generate().unwrap();
        let subject = SpiffeSubject::Operator("admin".parse().unwrap());
        let chain = cluster.issue(subject, key.public().into(), None).unwrap();
        let founded = Founded::new(cluster, None);
        let trust = founded.trust();
        let description = OperatorDescription {
            cluster: trust.cluster(),
            trust_domain: trust.trust_domain().clone(),
            root_hash: trust.root_hash(),
            registries: vec!["127.0.0.1:7000".parse().unwrap()],
            name: "admin".parse().unwrap(),
        };
        OperatorCredential::create(dir, description, key, chain, trust, Some(&founded.policy_signer)).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator");
        let written = create(&path);
        let read = OperatorCredential::open(&path, Some(written.trust().root_hash())).unwrap();
        assert_eq!(read.description(), written.description());
        assert_eq!(read.signer().public(), written.signer().public());
        assert!(read.policy_signer().unwrap().is_some());
        std::fs::remove_file(path.join(POLICY_KEY)).unwrap();
        assert!(read.policy_signer().unwrap().is_none());
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator");
        create(&path);
        for name in [DESCRIPTION, KEY, CHAIN, "genesis", "root.der"] {
            let file = path.join(name);
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
            let error = OperatorCredential::open(&path, None).err().unwrap();
            assert!(holdfast_domain::causes(&error).contains("chmod 600"), "{name}: {error}");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert!(OperatorCredential::open(&path, None).is_ok());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(OperatorCredential::open(&path, None), Err(CredentialError::Mode { .. })));
    }

    #[test]
    fn a_credential_of_another_cluster_or_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        create(&one);
        create(&two);
        let wrong = OperatorCredential::open(&one, Some(RootHash::new([9; 32])));
        assert!(matches!(wrong, Err(CredentialError::OtherCluster { .. })));
        std::fs::copy(two.join(KEY), one.join(KEY)).unwrap();
        assert!(matches!(OperatorCredential::open(&one, None), Err(CredentialError::Identity { .. })));
        std::fs::copy(one.join("genesis"), two.join("genesis")).unwrap();
        assert!(matches!(OperatorCredential::open(&two, None), Err(CredentialError::Trust { .. })));
    }
}
