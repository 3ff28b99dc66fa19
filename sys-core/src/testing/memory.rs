//! A partition in memory that keeps the contract of [`Partition`] for records, with faults on demand. It has no content.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{ClientId, CommandId, HomeId, Reason, Sha256Hash, UnixMs, UploadId};

use crate::{
    errors::Refusal,
    limits::{MAX_COMMIT_OPS, MAX_SCAN_PREFIXES, MAX_SCAN_VISITS, MAX_VALUE_BYTES},
    module::{
        CommitOutcome, Content, ContentId, Cursor, Op, Page, Partition, Precondition, RecordKey, Row,
        RowVersion, Scan, Upload,
    },
};

/// One home's records, which its clients reach through [`MemoryPartition`]s.
pub struct MemoryHome {
    home: HomeId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<Place, Row>,
    seen: BTreeSet<CommandId>,
    cursors: Vec<(Sha256Hash, Position)>,
    version: u64,
    turns: u8,
    conflicts: u32,
    lose_answer: bool,
    page: Option<usize>,
}

/// Where a record is: the order is not the names', as on disk.
type Place = Sha256Hash;

/// Which prefix of a scan, and the last visited place under it.
type Position = (usize, Place);

/// What one client holds of a home.
pub struct MemoryPartition {
    home: Arc<MemoryHome>,
    client: ClientId,
}

impl MemoryHome {
    /// An empty home.
    pub fn new(home: impl Into<HomeId>) -> Arc<Self> {
        Arc::new(Self { home: home.into(), state: Mutex::default() })
    }

    /// A client's way to it.
    pub fn partition(self: &Arc<Self>, client: ClientId) -> Arc<dyn Partition> {
        Arc::new(MemoryPartition { home: Arc::clone(self), client })
    }

    /// All records.
    pub fn records(&self) -> Vec<Row> {
        self.state().rows.values().cloned().collect()
    }

    /// Puts a record there behind everybody's back.
    pub fn plant(&self, key: RecordKey, value: Vec<u8>) {
        self.state().apply(Op::Put { key, value });
    }

    /// As many commits from now on are conflicts.
    pub fn conflict(&self, times: u32) {
        self.state().conflicts = times;
    }

    /// The next commit is applied and its answer lost.
    pub fn lose_answer(&self) {
        self.state().lose_answer = true;
    }

    /// Most rows of one page, to make callers follow cursors.
    pub fn limit_pages(&self, rows: usize) {
        self.state().page = Some(rows);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others run, sooner or later.
    async fn take_turns(&self) {
        let turns = {
            let mut state = self.state();
            state.turns = state.turns.wrapping_mul(5).wrapping_add(3);
            state.turns >> 6
        };
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}

fn place(key: &RecordKey) -> Place {
    Sha256Hash::of(format!("{:?}", key.components()).as_bytes())
}

fn malformed(detail: &str) -> Refusal {
    Refusal::new(Reason::Malformed).because(detail)
}

impl State {
    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Is(key, version) => {
                self.rows.get(&place(key)).is_some_and(|row| row.version == *version)
            }
            Precondition::Absent(key) => !self.rows.contains_key(&place(key)),
        }
    }

    fn apply(&mut self, op: Op) {
        self.version += 1;
        match op {
            Op::Put { key, value } => {
                let version = RowVersion { version: self.version, etag: [7; 8] };
                self.rows.insert(place(&key), Row { key, value, version });
            }
            Op::Delete(key) => drop(self.rows.remove(&place(&key))),
            Op::BeginUpload(_) | Op::PublishUpload(_) | Op::DropUpload(_) | Op::DropContent(_) => {}
        }
    }

    fn scan(
        &mut self,
        scan: &Scan,
        bound_to: Sha256Hash,
        from: Option<Position>,
        limit: usize,
    ) -> Result<Page, Refusal> {
        let limit = limit.max(1).min(self.page.unwrap_or(usize::MAX));
        let (first, mut after) = from.map_or((0, None), |(prefix, place)| (prefix, Some(place)));
        let (mut rows, mut visits) = (Vec::new(), 0);
        for (number, prefix) in scan.prefixes.iter().enumerate().skip(first) {
            let after = after.take();
            for (at, visited) in &self.rows {
                if after.is_some_and(|after| *at <= after) || !visited.key.starts_with(prefix) {
                    continue;
                }
                let row = match scan.select.target(&visited.key)? {
                    None => Some(visited),
                    Some(target) => {
                        visits += 1;
                        self.rows.get(&place(&target))
                    }
                };
                visits += 1;
                if let Some(row) = row
                    && scan.select.admits(&visited.key, row)?
                {
                    rows.push(row.clone());
                }
                if rows.len() >= limit || visits >= MAX_SCAN_VISITS {
                    let next = Cursor(self.cursors.len().to_be_bytes().to_vec());
                    self.cursors.push((bound_to, (number, *at)));
                    return Ok(Page { rows, next: Some(next) });
                }
            }
        }
        Ok(Page { rows, next: None })
    }
}

#[async_trait]
impl Partition for MemoryPartition {
    fn home(&self) -> HomeId {
        self.home.home
    }

    fn quota_bytes(&self) -> u64 {
        u64::MAX
    }

    fn now(&self) -> UnixMs {
        UnixMs(1000)
    }

    async fn get(&self, key: &RecordKey) -> Result<Option<Row>, Refusal> {
        self.home.take_turns().await;
        Ok(self.home.state().rows.get(&place(key)).cloned())
    }

    async fn scan(&self, scan: &Scan, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Refusal> {
        self.home.take_turns().await;
        if scan.prefixes.len() > MAX_SCAN_PREFIXES {
            return Err(malformed("too many prefixes"));
        }
        let context = format!("{} {:?} {:?}", self.client, scan.prefixes, scan.bound_to);
        let bound_to = Sha256Hash::of(context.as_bytes());
        let mut state = self.home.state();
        let from = cursor.map(|Cursor(bytes)| {
            let number = bytes.as_slice().try_into().map(usize::from_be_bytes).ok();
            let found = number.and_then(|number| state.cursors.get(number));
            let (_, from) = found
                .filter(|(to, _)| *to == bound_to)
                .ok_or_else(|| malformed("not a cursor of this scan"))?;
            Ok::<_, Refusal>(*from)
        });
        let from = from.transpose()?;
        state.scan(scan, bound_to, from, limit)
    }

    async fn seen(&self, command: CommandId) -> Result<bool, Refusal> {
        Ok(self.home.state().seen.contains(&command))
    }

    async fn commit(
        &self,
        command: CommandId,
        preconditions: Vec<Precondition>,
        ops: Vec<Op>,
    ) -> Result<CommitOutcome, Refusal> {
        self.home.take_turns().await;
        let too_large = |op: &Op| matches!(op, Op::Put { value, .. } if value.len() > MAX_VALUE_BYTES);
        if ops.len().max(preconditions.len()) > MAX_COMMIT_OPS || ops.iter().any(too_large) {
            return Err(malformed("beyond the limits"));
        }
        let mut state = self.home.state();
        if state.seen.contains(&command) {
            return Ok(CommitOutcome::Duplicate);
        }
        if state.conflicts > 0 {
            state.conflicts -= 1;
            return Ok(CommitOutcome::Conflict);
        }
        if !preconditions.iter().all(|precondition| state.holds(precondition)) {
            return Ok(CommitOutcome::Conflict);
        }
        ops.into_iter().for_each(|op| state.apply(op));
        state.seen.insert(command);
        if std::mem::take(&mut state.lose_answer) {
            Err(Reason::NoQuorum.into())
        } else {
            Ok(CommitOutcome::Applied)
        }
    }

    async fn upload(&self, _: UploadId) -> Result<Option<Upload>, Refusal> {
        Ok(None)
    }

    async fn uploads(&self) -> Result<Vec<Upload>, Refusal> {
        Ok(Vec::new())
    }

    async fn put_chunk(&self, _: UploadId, _: u32, _: Bytes) -> Result<(), Refusal> {
        Err(Reason::UploadUnknown.into())
    }

    async fn open(&self, _: ContentId) -> Result<Arc<dyn Content>, Refusal> {
        Err(Reason::NotFound.into())
    }
}
