//! A new key in place of this device's. It is made in `next/` inside the credential directory, and the directory changes places with it
//! only when the cluster knows the key: whatever breaks off in between is finished by the next try.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use holdfast_domain::{ClientId, Reason};
use holdfast_keys::{ClientKey, devices::Change, random_array};
use holdfast_proto::registry::v1 as pb;

use crate::{
    Client, Error, StorageError,
    client::{bytes_of, renew},
    credential::{ClientDescription, CredentialError, NewClientCredential},
};

const NEXT: &str = "next";

impl Client {
    /// Replaces this device's key by a new one, in one step. Afterwards the directory is the new key's: open it again.
    ///
    /// # Errors
    /// See [`Error`]. After an [`Error::Unknown`] or the like, repeat it.
    pub async fn rotate(self, dir: &Path) -> Result<(), Error> {
        let client = ClientId::new(random_array()?);
        let now = self.credential().description().clone();
        let describe = |_: &_| ClientDescription { client, ..now };
        let staged = dir.join(NEXT);
        let trust = self.credential().trust().clone();
        let new = match NewClientCredential::prepare(&staged, trust, describe, ClientKey::generate()?) {
            Ok(new) => new,
            // Only the directories have yet to change places.
            Err(CredentialError::Exists { .. }) => return Ok(settle(dir)?),
            Err(error) => return Err(error.into()),
        };
        let strangers = self.strangers();
        let chain = match renew(&strangers, new.description(), new.key(), new.trust()).await {
            // Not asked for yet, or the answer of an earlier try was lost on the way there.
            Err(Error::Refused { reason: Reason::NotFound, .. }) => {
                let asked = self.ask(&new).await;
                let renewed = renew(&strangers, new.description(), new.key(), new.trust()).await;
                // The old key's connections are closed as it ends, maybe before the answer came: the new one knows better.
                match (asked, renewed) {
                    (_, Ok(chain)) => chain,
                    (Err(error), Err(_)) | (Ok(()), Err(error)) => return Err(error),
                }
            }
            other => other?,
        };
        new.complete(chain)?;
        Ok(settle(dir)?)
    }

    async fn ask(&self, new: &NewClientCredential) -> Result<(), Error> {
        let (client, key) = (new.description().client, new.key().public());
        let change = Change::Rotate { client, key: key.as_bytes() };
        let call = |mut to: holdfast_proto::registry::v1::clients_client::ClientsClient<_>,
                    message: Vec<u8>,
                    signature| {
            let request = pb::RotateDeviceRequest {
                client_id: client.as_bytes().to_vec().into(),
                key: key.as_bytes().to_vec().into(),
                signature,
                proof: bytes_of(new.key().sign_raw(&message)),
            };
            async move { to.rotate_device(request).await }
        };
        self.devices().change("replace this device's key", change, call).await
    }
}

/// Puts a finished `next/` in its directory's place, also where an earlier try was cut off. Nothing happens when there is none.
pub(crate) fn settle(dir: &Path) -> Result<(), StorageError> {
    let old = beside(dir);
    let failed = |path: &Path| StorageError::io("replace", path);
    if dir.exists() {
        let staged = dir.join(NEXT);
        if !staged.join("client.chain").exists() {
            return Ok(());
        }
        remove(&old)?;
        fs::rename(dir, &old).map_err(failed(dir))?;
    }
    if old.join(NEXT).exists() {
        fs::rename(old.join(NEXT), dir).map_err(failed(dir))?;
        remove(&old)?;
    }
    Ok(())
}

fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".old");
    dir.with_file_name(name)
}

fn remove(dir: &Path) -> Result<(), StorageError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StorageError::io("remove", dir)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    #[test]
    fn directories_change_places_once_the_new_key_is_known_wherever_it_was_cut_off() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("me");
        write(&dir, "client.key", "old");
        write(&dir.join(NEXT), "client.key", "new");
        settle(&dir).unwrap();
        assert_eq!(
            fs::read_to_string(dir.join("client.key")).unwrap(),
            "old",
            "the cluster does not know it yet"
        );
        write(&dir.join(NEXT), "client.chain", "chain");
        // Cut off between the two renames.
        fs::rename(&dir, beside(&dir)).unwrap();
        for _ in 0..2 {
            settle(&dir).unwrap();
            assert_eq!(fs::read_to_string(dir.join("client.key")).unwrap(), "new");
            assert!(!beside(&dir).exists() && !dir.join(NEXT).exists());
        }
    }
}
