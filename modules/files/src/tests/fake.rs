//! A partition in memory that keeps the contract of `Partition`, with faults on demand.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{CommandId, FileId, HomeId, Reason, UnixMs, UploadId};
use holdfast_sys_core::{
    Refusal,
    gate::HomeAccess,
    module::{
        CHUNK_BYTES_U64, CommitOutcome, Content, ContentId, Cursor, Op, Page, Partition, PartitionHost,
        Precondition, RecordKey, RouteInfo, Row, RowVersion, Scan, UPLOAD_TTL_MS, Upload, UploadSpec,
    },
};

/// All homes of a node; each is made when its client first comes.
#[derive(Default)]
pub(super) struct FakeHost(Mutex<BTreeMap<HomeId, Arc<FakePartition>>>);

impl FakeHost {
    pub(super) fn home(&self, home: HomeId) -> Arc<FakePartition> {
        let mut homes = self.0.lock().unwrap();
        Arc::clone(homes.entry(home).or_insert_with(|| Arc::new(FakePartition::new(home))))
    }
}

#[async_trait]
impl PartitionHost for FakeHost {
    async fn partition(&self, access: &HomeAccess, _: RouteInfo) -> Result<Arc<dyn Partition>, Refusal> {
        Ok(self.home(access.home()))
    }
}

pub(super) struct FakePartition {
    home: HomeId,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    rows: BTreeMap<RecordKey, (Vec<u8>, RowVersion)>,
    seen: BTreeSet<CommandId>,
    uploads: BTreeMap<UploadId, Staged>,
    content: BTreeMap<FileId, Vec<Bytes>>,
    version: u64,
    pub(super) now: UnixMs,
    pub(super) quota_bytes: u64,
    /// As many commits from now on are conflicts.
    pub(super) conflicts: u32,
    /// The next commit is applied and its answer lost.
    pub(super) lose_answer: bool,
    /// Chunks from this index on are refused.
    pub(super) broken_from: Option<u32>,
    /// Most rows of one page, to make callers follow cursors.
    pub(super) page: usize,
}

struct Staged {
    file: FileId,
    spec: UploadSpec,
    expires: UnixMs,
    chunks: BTreeMap<u32, Bytes>,
}

impl Staged {
    fn upload(&self) -> Upload {
        let whole: u64 =
            (0..).map_while(|index| self.chunks.get(&index)).map(|chunk| chunk.len() as u64).sum();
        Upload {
            upload: self.spec.upload,
            file: self.file,
            size: self.spec.size,
            durable_bytes: whole,
            tag: self.spec.tag.clone(),
            expires: self.expires,
        }
    }
}

impl FakePartition {
    fn new(home: HomeId) -> Self {
        let state = State { quota_bytes: 1 << 30, page: usize::MAX, now: UnixMs(1000), ..State::default() };
        Self { home, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Contents and uploads that are stored.
    pub(super) fn stored(&self) -> (usize, usize) {
        let state = self.state();
        (state.content.len(), state.uploads.len())
    }

    /// Flips a bit of a staged chunk.
    pub(super) fn damage(&self, upload: UploadId, index: u32) {
        let mut state = self.state();
        let chunk = state.uploads.get_mut(&upload).unwrap().chunks.get_mut(&index).unwrap();
        let mut bytes = chunk.to_vec();
        bytes[0] ^= 1;
        *chunk = bytes.into();
    }
}

impl State {
    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Is(key, version) => self.rows.get(key).is_some_and(|(_, stored)| stored == version),
            Precondition::Absent(key) => !self.rows.contains_key(key),
        }
    }

    fn possible(&self, op: &Op) -> bool {
        match op {
            Op::BeginUpload(spec) => !self.uploads.contains_key(&spec.upload),
            Op::PublishUpload(id) => {
                self.uploads.get(id).is_some_and(|staged| staged.upload().durable_bytes == staged.spec.size)
            }
            Op::Put { .. } | Op::Delete(_) | Op::DropUpload(_) | Op::DropContent(_) => true,
        }
    }

    fn apply(&mut self, op: Op) {
        self.version += 1;
        match op {
            Op::Put { key, value } => {
                assert!(value.len() <= holdfast_sys_core::limits::MAX_VALUE_BYTES);
                let version = RowVersion { version: self.version, etag: [7; 8] };
                self.rows.insert(key, (value, version));
            }
            Op::Delete(key) => drop(self.rows.remove(&key)),
            Op::BeginUpload(spec) => {
                let mut file = [0; 16];
                file[..8].copy_from_slice(&self.version.to_be_bytes());
                let expires = self.now.plus_ms(UPLOAD_TTL_MS);
                let staged = Staged { file: FileId::new(file), expires, chunks: BTreeMap::new(), spec };
                self.uploads.insert(staged.spec.upload, staged);
            }
            Op::PublishUpload(id) => {
                let staged = self.uploads.remove(&id).unwrap();
                self.content.insert(staged.file, staged.chunks.into_values().collect());
            }
            Op::DropUpload(id) => drop(self.uploads.remove(&id)),
            Op::DropContent(id) => drop(self.content.remove(&id)),
        }
    }
}

#[async_trait]
impl Partition for FakePartition {
    fn home(&self) -> HomeId {
        self.home
    }

    fn quota_bytes(&self) -> u64 {
        self.state().quota_bytes
    }

    fn now(&self) -> UnixMs {
        self.state().now
    }

    async fn get(&self, key: &RecordKey) -> Result<Option<Row>, Refusal> {
        // Others run between a read and the commit that builds on it.
        tokio::task::yield_now().await;
        let found = self.state().rows.get(key).cloned();
        Ok(found.map(|(value, version)| Row { key: key.clone(), value, version }))
    }

    async fn scan(&self, scan: &Scan, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Refusal> {
        assert!(limit > 0);
        let state = self.state();
        let from = cursor.map_or(0, |Cursor(bytes)| usize::from_be_bytes(bytes[..].try_into().unwrap()));
        let limit = limit.min(state.page);
        let all = state.rows.iter().filter(|(key, _)| key.starts_with(&scan.prefixes[0]));
        let rows: Vec<_> = all
            .skip(from)
            .take(limit)
            .map(|(key, (value, version))| Row { key: key.clone(), value: value.clone(), version: *version })
            .collect();
        let next = (rows.len() == limit).then(|| Cursor((from + limit).to_be_bytes().to_vec()));
        Ok(Page { rows, next })
    }

    async fn seen(&self, command: CommandId) -> Result<bool, Refusal> {
        Ok(self.state().seen.contains(&command))
    }

    async fn commit(
        &self,
        command: CommandId,
        preconditions: Vec<Precondition>,
        ops: Vec<Op>,
    ) -> Result<CommitOutcome, Refusal> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        if state.seen.contains(&command) {
            return Ok(CommitOutcome::Duplicate);
        }
        if state.conflicts > 0 {
            state.conflicts -= 1;
            return Ok(CommitOutcome::Conflict);
        }
        let holds = preconditions.iter().all(|precondition| state.holds(precondition));
        if !holds || !ops.iter().all(|op| state.possible(op)) {
            return Ok(CommitOutcome::Conflict);
        }
        ops.into_iter().for_each(|op| state.apply(op));
        state.seen.insert(command);
        if std::mem::take(&mut state.lose_answer) {
            return Err(Reason::NoQuorum.into());
        }
        Ok(CommitOutcome::Applied)
    }

    async fn upload(&self, upload: UploadId) -> Result<Option<Upload>, Refusal> {
        let state = self.state();
        Ok(state.uploads.get(&upload).map(Staged::upload).filter(|upload| upload.expires > state.now))
    }

    async fn uploads(&self) -> Result<Vec<Upload>, Refusal> {
        Ok(self.state().uploads.values().map(Staged::upload).collect())
    }

    async fn put_chunk(&self, upload: UploadId, index: u32, data: Bytes) -> Result<(), Refusal> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        if state.broken_from.is_some_and(|from| index >= from) {
            return Err(Reason::NoQuorum.into());
        }
        let staged = state.uploads.get_mut(&upload).ok_or(Reason::UploadUnknown)?;
        let rest = staged.spec.size - u64::from(index) * CHUNK_BYTES_U64;
        assert_eq!(data.len() as u64, rest.min(CHUNK_BYTES_U64), "chunk {index} has the wrong length");
        staged.chunks.insert(index, data);
        Ok(())
    }

    async fn open(&self, content: ContentId) -> Result<Arc<dyn Content>, Refusal> {
        let state = self.state();
        let chunks = match content {
            ContentId::Published(file) => state.content.get(&file).cloned(),
            ContentId::Staged(id) => {
                state.uploads.get(&id).map(|staged| staged.chunks.values().cloned().collect())
            }
        };
        Ok(Arc::new(FakeContent(chunks.ok_or(Reason::NotFound)?)))
    }
}

struct FakeContent(Vec<Bytes>);

#[async_trait]
impl Content for FakeContent {
    fn size(&self) -> u64 {
        self.0.iter().map(|chunk| chunk.len() as u64).sum()
    }

    async fn read_chunk(&self, index: u32) -> Result<Bytes, Refusal> {
        tokio::task::yield_now().await;
        self.0.get(index as usize).cloned().ok_or(Reason::NotFound.into())
    }
}
