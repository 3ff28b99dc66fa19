//! A client's credential directory. It exists, with its key, before the cluster knows it: a registration whose reply was lost is
//! repeated with the same key.

use std::{path::Path, path::PathBuf, sync::Arc};

use holdfast_certs::{CertChain, Identity};
use holdfast_domain::{RootHash, SpiffeSubject};
use holdfast_keys::ClientKey;

use super::{
    ClientDescription, CredentialError,
    directory::{Directory, MAP, VOTERS},
};
use crate::{config::RegistryAddress, trust::Trust, voters::VotersFile};

const DESCRIPTION: &str = "client.toml";
const KEY: &str = "client.key";
const CHAIN: &str = "client.chain";
const UPLOADS: &str = "uploads";

/// A registered client: ids, key, certificate, cluster.
pub struct ClientCredential {
    directory: Directory,
    description: ClientDescription,
    key: Arc<ClientKey>,
    chain: CertChain,
    trust: Trust,
}

/// A client whose key exists and whose registration may not.
pub(crate) struct NewClientCredential {
    directory: Directory,
    description: ClientDescription,
    key: Arc<ClientKey>,
    trust: Trust,
}

impl NewClientCredential {
    /// Makes a directory with a new key, or finds the one that an earlier try left.
    pub(crate) fn prepare(
        dir: &Path,
        trust: Trust,
        describe: impl FnOnce(&Trust) -> ClientDescription,
        key: ClientKey,
    ) -> Result<Self, CredentialError> {
        let directory = Directory::create(dir)?;
        if let Some(text) = directory.read_optional(DESCRIPTION)? {
            let description = parse(&directory, &text)?;
            directory.check_pin(trust.root_hash(), description.root_hash)?;
            if directory.read_optional(CHAIN)?.is_some() {
                let client = description.client.to_string();
                return Err(CredentialError::Exists { dir: dir.to_owned(), client });
            }
            let key = read_key(&directory)?;
            return Ok(Self { directory, description, key, trust });
        }
        let description = describe(&trust);
        let pem = key.expose_pkcs8_pem().map_err(|_| CredentialError::Unwritable)?;
        directory.write(KEY, pem.as_bytes())?;
        directory.write_trust(&trust)?;
        let toml = description.to_toml().map_err(|_| CredentialError::Unwritable)?;
        directory.write(DESCRIPTION, toml.as_bytes())?;
        Ok(Self { directory, description, key: Arc::new(key), trust })
    }

    pub(crate) fn description(&self) -> &ClientDescription {
        &self.description
    }

    pub(crate) fn key(&self) -> &ClientKey {
        &self.key
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The cluster certified the key.
    pub(crate) fn complete(self, chain: CertChain) -> Result<ClientCredential, CredentialError> {
        let Self { directory, description, key, trust } = self;
        let credential = ClientCredential { directory, description, key, chain, trust };
        credential.checked_identity()?;
        credential.directory.write_chain(CHAIN, &credential.chain)?;
        Ok(credential)
    }
}

impl ClientCredential {
    /// Reads a directory. `pin`, where given, is the cluster that it must belong to.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn open(dir: &Path, pin: Option<RootHash>) -> Result<Self, CredentialError> {
        let directory = Directory::open(dir)?;
        let description = parse(&directory, &directory.read(DESCRIPTION)?)?;
        directory.check_pin(pin.unwrap_or(description.root_hash), description.root_hash)?;
        let ClientDescription { cluster, trust_domain, root_hash, .. } = &description;
        let trust = directory.read_trust(*root_hash, *cluster, trust_domain)?;
        let key = read_key(&directory)?;
        let chain = directory.read_chain(CHAIN)?;
        let credential = Self { directory, description, key, chain, trust };
        credential.checked_identity()?;
        Ok(credential)
    }

    /// The public part.
    pub fn description(&self) -> &ClientDescription {
        &self.description
    }

    /// The private key.
    pub fn key(&self) -> &Arc<ClientKey> {
        &self.key
    }

    /// The cluster.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What connections show: for this key, this client, and this account as its home.
    ///
    /// # Errors
    /// [`CredentialError::Identity`], [`CredentialError::Subject`].
    pub fn checked_identity(&self) -> Result<Identity, CredentialError> {
        let file = || self.directory.path(CHAIN);
        let identity = Identity::from_client_key(self.chain.clone(), Arc::clone(&self.key))
            .map_err(|source| CredentialError::Identity { file: file(), source })?;
        let ClientDescription { client, account, .. } = &self.description;
        let expected = SpiffeSubject::Client(*client);
        let peer = identity.peer_identity();
        let home = peer.home.map(|home| home.account);
        if peer.spiffe.subject == expected && home == Some(*account) {
            return Ok(identity);
        }
        let of = |home: Option<_>| home.map_or_else(String::new, |home| format!(" of account {home}"));
        Err(CredentialError::Subject {
            file: file(),
            expected: format!("{expected}{}", of(Some(*account))),
            actual: format!("{}{}", peer.spiffe.subject, of(home)),
        })
    }

    /// Keeps a renewed chain, which must be for the same key, client and account.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn replace_chain(&mut self, chain: CertChain) -> Result<Identity, CredentialError> {
        let old = std::mem::replace(&mut self.chain, chain);
        match self.checked_identity() {
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

    /// Where the newest shard map is kept.
    pub(crate) fn map_file(&self) -> PathBuf {
        self.directory.path(MAP)
    }

    /// Which registries are remembered.
    pub(crate) fn voters_file(&self) -> VotersFile {
        VotersFile::new(self.directory.path(VOTERS))
    }

    /// Where ids of unfinished uploads are kept.
    pub(crate) fn uploads_dir(&self) -> PathBuf {
        self.directory.path(UPLOADS)
    }

    /// The registries that were known at registration.
    pub fn registries(&self) -> &[RegistryAddress] {
        &self.description.registries
    }
}

fn parse(directory: &Directory, text: &[u8]) -> Result<ClientDescription, CredentialError> {
    ClientDescription::parse(&String::from_utf8_lossy(text))
        .map_err(|problem| directory.description(DESCRIPTION, problem))
}

fn read_key(directory: &Directory) -> Result<Arc<ClientKey>, CredentialError> {
    let pem = directory.read(KEY)?;
    let text = std::str::from_utf8(&pem).unwrap_or_default();
    let key = ClientKey::from_pkcs8_pem(text)
        .map_err(|source| CredentialError::Key { file: directory.path(KEY), source })?;
    Ok(Arc::new(key))
}

#[cfg(test)]
mod tests {
    use holdfast_certs::testing::TestCluster;
    use holdfast_domain::{AccountId, ClientId, Home};

    use super::*;
    use crate::trust::testing::Founded;

    fn prepare(dir: &Path, founded: &Founded, client: u8) -> Result<NewClientCredential, CredentialError> {
        let describe = |trust: &Trust| ClientDescription {
            cluster: trust.cluster(),
            trust_domain: trust.trust_domain().clone(),
            root_hash: trust.root_hash(),
            registries: vec!["127.0.0.1:7000".parse().unwrap()],
            account: AccountId::new([8; 16]),
            client: ClientId::new([client; 16]),
        };
        NewClientCredential::prepare(dir, founded.trust(), describe, ClientKey::generate().unwrap())
    }

    #[test]
    fn an_unfinished_registration_keeps_its_key_and_a_finished_one_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client");
        let cluster = TestCluster::fresh().unwrap();
        let subject = SpiffeSubject::Client(ClientId::new([1; 16]));
        let stranger = ClientKey::generate().unwrap();
        let home = Home { account: AccountId::new([8; 16]), quota_bytes: 1 };
        let wrong = cluster.issue(subject, stranger.public().into(), Some(home)).unwrap();
        let founded = Founded::new(cluster, None);
        let first = prepare(&path, &founded, 1).unwrap();
        let second = prepare(&path, &founded, 2).unwrap();
        assert_eq!(first.description(), second.description(), "ids are kept too");
        assert_eq!(first.key().public(), second.key().public());
        assert!(matches!(second.complete(wrong), Err(CredentialError::Identity { .. })));
    }

    #[test]
    fn a_directory_of_another_cluster_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let ours = Founded::new(TestCluster::fresh().unwrap(), None);
        let theirs = Founded::new(TestCluster::fresh().unwrap(), None);
        prepare(dir.path().join("c").as_path(), &ours, 1).unwrap();
        assert!(matches!(
            prepare(dir.path().join("c").as_path(), &theirs, 1),
            Err(CredentialError::OtherCluster { .. })
        ));
    }
}
