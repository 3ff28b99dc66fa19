//! Whether this disk is the newest that the machine had: its TPM counts, and the folder remembers what it counted.
//!
//! The TPM counts up when the node starts, when it stops, and while it runs at most every ten minutes and only if anything was
//! acknowledged since. An image of the disk is out of date as soon as the TPM counted once more than the image knows of. Then none of its
//! replicas is believed: each counts as rolled back, asks to be replaced under a new id, and one that is alone in its group serves nobody.
//! The folder also remembers how far each replica was, for the case that only a part of the disk was put back.
//!
//! Invariants: the folder says durably that the TPM is about to count before it counts, so a crash in between condemns nobody; what was put
//! back stays so over restarts until it is deleted; a disk that was put back makes the TPM count only when a new replica comes to it, so
//! that the newest disk, if it is found again, is still the newest; no request waits for any of this.

mod kept;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use holdfast_consensus::Floor;
use holdfast_domain::{
    Sha256Hash,
    codec::{self, CodecError},
};
use holdfast_enrol::{
    folder::{Folder, FolderError},
    member::files,
};
use holdfast_keys::{
    LocalKey, WrapKey,
    aead::{self, AeadError},
    derive,
    hash::LenPrefixed,
    labels,
};
use holdfast_tpm_node::{CounterName, Tpm, TpmError};

pub use self::kept::{Cause, Held};
use self::kept::{Kept, Verdict};
use crate::groups::Runtime;

/// Pause between two checkpoints of a node that runs.
const INTERVAL: Duration = Duration::from_secs(600);
/// Largest checkpoint, in bytes: some 50 a replica.
const MAX_BYTES: usize = 1 << 20;

/// Why a checkpoint was not read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The TPM's counter.
    #[error("the TPM's counter of checkpoints")]
    Tpm(#[from] TpmError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The seal.
    #[error("{} does not open: it is another machine's or was changed: remove the folder and join again", .0.display())]
    Seal(std::path::PathBuf, #[source] AeadError),
    /// Something that was sealed here does not decode, or the other way round.
    #[error("a checkpoint")]
    Codec(#[from] CodecError),
    /// The process ends.
    #[error("interrupted by the end of the process")]
    Interrupted,
}

/// See the module.
pub struct Checkpoints {
    folder: Arc<Folder>,
    tpm: Tpm,
    key: WrapKey,
    name: CounterName,
    kept: Mutex<Kept>,
    /// The TPM counted more than the folder says, and all that was on the disk is not believed.
    is_behind: AtomicBool,
    /// Held while one is made.
    making: tokio::sync::Mutex<()>,
}

impl Checkpoints {
    /// Compares the folder with the TPM, and makes a checkpoint. `stored` are the replicas on the disk.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn open(
        folder: Arc<Folder>,
        tpm: Tpm,
        local: &LocalKey,
        stored: &BTreeSet<Held>,
    ) -> Result<Self, CheckpointError> {
        let settings = folder.settings();
        let name = LenPrefixed::new(labels::CHECKPOINT_COUNTER).field(settings.cluster.as_bytes());
        let name = Sha256Hash::of(name.field(settings.node.as_bytes()).as_bytes());
        let checkpoints = Self {
            key: derive::checkpoint_key(local),
            name: CounterName(*name.as_bytes()),
            kept: Mutex::default(),
            is_behind: AtomicBool::new(false),
            making: tokio::sync::Mutex::default(),
            folder,
            tpm,
        };
        let known = checkpoints.read()?;
        let counted = checkpoints.tpm.counter(checkpoints.name).await?;
        let verdict = Kept::judge(known.as_ref(), counted);
        let mut known = known.unwrap_or_default();
        match verdict {
            Verdict::Newest => {}
            Verdict::PutBack(_) if stored.is_empty() => {}
            Verdict::PutBack(cause) => {
                tracing::error!(%cause, replicas = stored.len(), "disk_rolled_back: no replica on this disk is believed");
                checkpoints.is_behind.store(true, Ordering::Release);
                let all =
                    stored.iter().map(|held| (*held, known.put_back.get(held).copied().unwrap_or(cause)));
                known.put_back = all.collect();
            }
            Verdict::TpmPutBack => {
                tracing::error!(
                    ?counted,
                    known = known.count,
                    "the TPM counts less than it did: its state was put back"
                );
            }
        }
        *checkpoints.lock() = known;
        if !checkpoints.is_behind.load(Ordering::Acquire) {
            checkpoints.make(stored, &BTreeMap::new()).await?;
        }
        Ok(checkpoints)
    }

    /// Where a replica must be, at least, if anything is known of it.
    pub fn floor(&self, held: Held) -> Option<Floor> {
        let kept = self.lock();
        if kept.put_back.contains_key(&held) {
            return Some(Floor::BEYOND);
        }
        kept.floors.get(&held).copied()
    }

    /// Why a replica is not believed, if that is so.
    pub fn cause(&self, held: Held) -> Option<Cause> {
        self.lock().put_back.get(&held).copied()
    }

    /// Makes a checkpoint, if there is anything new to say.
    ///
    /// # Errors
    /// See [`CheckpointError`]. What was known stays as it was, and is compared as before.
    pub async fn refresh(
        &self,
        stored: &BTreeSet<Held>,
        reached: &BTreeMap<Held, Floor>,
    ) -> Result<(), CheckpointError> {
        let is_new = {
            let kept = self.lock();
            if self.is_behind.load(Ordering::Acquire) {
                stored.iter().any(|held| !kept.put_back.contains_key(held))
            } else {
                !kept.says_the_same(&kept.next(kept.count, stored, reached))
            }
        };
        if is_new { self.make(stored, reached).await } else { Ok(()) }
    }

    async fn make(
        &self,
        stored: &BTreeSet<Held>,
        reached: &BTreeMap<Held, Floor>,
    ) -> Result<(), CheckpointError> {
        let _making = self.making.lock().await;
        self.announce(stored, reached).await?;
        let counted = self.tpm.count_up(self.name).await?;
        let settled = Kept { count: counted, coming: false, ..self.lock().clone() };
        self.write(settled).await?;
        self.is_behind.store(false, Ordering::Release);
        Ok(())
    }

    /// Says durably that the TPM is about to count. It may have counted when it was asked the last time and its answer was lost.
    async fn announce(
        &self,
        stored: &BTreeSet<Held>,
        reached: &BTreeMap<Held, Floor>,
    ) -> Result<(), CheckpointError> {
        let counted = self.tpm.counter(self.name).await?.unwrap_or_default();
        let next = self.lock().next(counted, stored, reached);
        self.write(next).await
    }

    async fn write(&self, kept: Kept) -> Result<(), CheckpointError> {
        let sealed = self.seal(&kept)?;
        let folder = Arc::clone(&self.folder);
        let writing = tokio::task::spawn_blocking(move || folder.put(files::CHECKPOINT, &sealed));
        writing.await.map_err(|_| CheckpointError::Interrupted)??;
        *self.lock() = kept;
        Ok(())
    }

    fn read(&self) -> Result<Option<Kept>, CheckpointError> {
        let Some(sealed) = self.folder.get::<Vec<u8>>(files::CHECKPOINT)? else { return Ok(None) };
        let opened = aead::open(&self.key, self.context().as_bytes(), &sealed);
        let opened =
            opened.map_err(|source| CheckpointError::Seal(self.folder.part(files::CHECKPOINT), source))?;
        Ok(Some(codec::decode(&opened, MAX_BYTES)?))
    }

    fn seal(&self, kept: &Kept) -> Result<Vec<u8>, CheckpointError> {
        let sealed = aead::seal(&self.key, self.context().as_bytes(), &codec::encode(kept)?);
        sealed.map_err(|source| CheckpointError::Seal(self.folder.part(files::CHECKPOINT), source))
    }

    fn context(&self) -> LenPrefixed {
        LenPrefixed::new(labels::CHECKPOINT).field(&self.name.0)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime {
    /// Makes a checkpoint of how far the replicas here are.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub async fn checkpoint(&self) -> Result<(), CheckpointError> {
        let stored = self.consensus.stored().into_iter().collect();
        let running = self.consensus.running();
        let reached =
            running.iter().filter_map(|raft| Some(((raft.id(), raft.replica()), raft.acknowledged()?)));
        self.checkpoints.refresh(&stored, &reached.collect()).await
    }
}

/// Makes checkpoints for ever.
pub async fn keep_checkpoints(runtime: Arc<Runtime>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if let Err(error) = runtime.checkpoint().await {
            tracing::warn!(error = %holdfast_domain::causes(&error), "no checkpoint; the last one goes on to count");
        }
    }
}

#[cfg(test)]
mod tests;
