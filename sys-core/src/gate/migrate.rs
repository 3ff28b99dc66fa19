//! Homes whose rows were written for an earlier version of their module.
//!
//! A home remembers the version that its rows are of. Whoever opens it first with a program of a later one makes the rows' steps, one version
//! after another, before any call is let in; a program of an earlier version lets nobody in. Any program may end at any moment:
//!
//! - A row and the marker that says that it is done change in one commit, on condition that the rows and the home's state are what was
//!   read. Whoever goes on skips rows with a marker, so no row is stepped twice, whoever began.
//! - When no row is left, the version and the order to sweep are one commit; markers go after that.
//!
//! ```text
//! state   \0schema                          → version, phase
//! marker  \0step<version> ‖ table ‖ key…    → nothing
//! ```
//! Tables are words, so neither meets a row or an index row. Index rows that a row had before are deleted as far as the new declaration can
//! tell; others lead to rows that do not bear them out, which look-ups leave out.
//!
//! Which version a home is of is asked for again every few seconds: a program that lost the home to one of a later version, and got it back
//! sooner than that, is the one case in which an earlier program reads later rows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use holdfast_domain::{CommandId, HomeId, Reason};

use crate::{
    errors::Refusal,
    limits::{MAX_COMMIT_OPS, MAX_KEPT_VERSIONS, MIGRATION_PAGE, MIGRATION_PATIENCE, VERSION_TTL},
    module::{CommitOutcome, Op, Partition, Precondition, RecordKey, Row, RowVersion},
    query::{Kind, NotAnEntity, rewritten},
};

/// The name of a home's state. No table is called like this.
const STATE: &[u8] = b"\0schema";

/// How rows of one table become rows of a version of their module.
///
/// Tables that a [`StandingSource`](super::StandingSource) reads are read without the gate, and so before their home was opened: their rows
/// must be readable in either form.
#[derive(Clone, Copy)]
pub struct Migration {
    /// The version that this leads to, from the one before.
    pub to: u32,
    /// The table.
    pub table: &'static str,
    /// A stored row of the version before, made into one of the new version under the same key; `None` deletes it. A function of the row
    /// alone: it may be asked again about a row whose commit did not happen.
    pub step: Step,
}

/// From a row as stored to what becomes of it.
pub type Step = fn(&[u8]) -> Result<Option<Vec<u8>>, NotAnEntity>;

/// One module's version, and the way there.
pub(super) struct Migrations {
    version: u32,
    steps: Vec<(Migration, &'static dyn Kind)>,
    /// Homes that were of this version lately.
    known: Mutex<HashMap<HomeId, Instant>>,
    /// Held by whoever migrates a home.
    at_work: Mutex<HashMap<HomeId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a home remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    version: u32,
    /// Markers of the steps to this version are left.
    sweeping: bool,
    /// The record, if there is one: a home without is of the first version.
    record: Option<RowVersion>,
}

impl Migrations {
    pub(super) fn new(version: u32, steps: Vec<(Migration, &'static dyn Kind)>) -> Self {
        Self { version, steps, known: Mutex::default(), at_work: Mutex::default() }
    }

    /// Returns once the home is of this program's version.
    ///
    /// # Errors
    /// `NotReady` for a home of a later version, and for one whose migration takes longer than a call may wait; it goes on with the next.
    pub(super) async fn ready(&self, partition: &dyn Partition) -> Result<(), Refusal> {
        let home = partition.home();
        if locked(&self.known).get(&home).is_some_and(|at| at.elapsed() < VERSION_TTL) {
            return Ok(());
        }
        let turn = Arc::clone(locked(&self.at_work).entry(home).or_default());
        let migrated = tokio::time::timeout(MIGRATION_PATIENCE, async {
            let _turn = turn.lock().await;
            self.migrate(partition).await
        });
        let migrated = migrated.await.unwrap_or_else(|_| Err(not_ready("the home is being migrated")));
        drop(turn);
        // Whoever waits holds it too, and the last one takes it away.
        locked(&self.at_work).retain(|_, turn| Arc::strong_count(turn) > 1);
        migrated?;
        let mut known = locked(&self.known);
        if known.len() >= MAX_KEPT_VERSIONS {
            known.clear();
        }
        known.insert(home, Instant::now());
        Ok(())
    }

    async fn migrate(&self, partition: &dyn Partition) -> Result<(), Refusal> {
        loop {
            let state = State::read(partition).await?;
            if state.version > self.version {
                let (home, ours) = (partition.home(), self.version);
                tracing::error!(
                    ?home,
                    theirs = state.version,
                    ours,
                    "the rows of a home are of a later version of this program's module"
                );
                return Err(not_ready("the home is of a later version of the module"));
            }
            if state.sweeping {
                self.sweep(partition, state).await?;
            } else if state.version < self.version {
                self.step(partition, state).await?;
            } else {
                return Ok(());
            }
        }
    }

    /// From one version to the next.
    async fn step(&self, partition: &dyn Partition, state: State) -> Result<(), Refusal> {
        let to = state.version.saturating_add(1);
        for (migration, kind) in self.steps.iter().filter(|(migration, _)| migration.to == to) {
            let prefix = record([migration.table.as_bytes().to_vec()])?;
            let mut cursor = None;
            loop {
                let page = partition.list(&prefix, cursor.as_ref(), MIGRATION_PAGE).await?;
                Pass { partition, state, migration, kind: *kind }.rows(page.rows).await?;
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        state.become_(partition, State { version: to, sweeping: true, record: None }).await
    }

    /// Takes the markers away.
    async fn sweep(&self, partition: &dyn Partition, state: State) -> Result<(), Refusal> {
        let prefix = record([marker_head(state.version)])?;
        loop {
            let page = partition.list(&prefix, None, MIGRATION_PAGE).await?;
            if page.rows.is_empty() && page.next.is_none() {
                return state.become_(partition, State { sweeping: false, ..state }).await;
            }
            let ops = page.rows.into_iter().map(|row| Op::Delete(row.key)).collect();
            commit(partition, vec![state.unchanged()?], ops).await?;
        }
    }
}

/// One step of one table.
struct Pass<'a> {
    partition: &'a dyn Partition,
    state: State,
    migration: &'a Migration,
    kind: &'static dyn Kind,
}

impl Pass<'_> {
    async fn rows(&self, rows: Vec<Row>) -> Result<(), Refusal> {
        let (mut preconditions, mut ops) = (vec![self.state.unchanged()?], Vec::new());
        for row in rows {
            let marker = self.marker(&row.key)?;
            if self.partition.get(&marker).await?.is_some() {
                continue;
            }
            let (conditions, changes) = self.row(row, marker)?;
            if ops.len() + changes.len() > MAX_COMMIT_OPS
                || preconditions.len() + conditions.len() > MAX_COMMIT_OPS
            {
                commit(self.partition, std::mem::take(&mut preconditions), std::mem::take(&mut ops)).await?;
                preconditions.push(self.state.unchanged()?);
            }
            preconditions.extend(conditions);
            ops.extend(changes);
        }
        if ops.is_empty() { Ok(()) } else { commit(self.partition, preconditions, ops).await }
    }

    fn row(&self, row: Row, marker: RecordKey) -> Result<([Precondition; 2], Vec<Op>), Refusal> {
        let failed = |error: &dyn std::error::Error| {
            let (table, to) = (self.migration.table, self.migration.to);
            let home = self.partition.home();
            let error = holdfast_domain::causes(error);
            tracing::error!(?home, table, to, %error, "a row cannot be migrated; its home stays closed");
            Refusal::new(Reason::NotReady).because(error)
        };
        let new = (self.migration.step)(&row.value).map_err(|error| failed(&error))?;
        let mut ops = rewritten(self.kind, &row, new).map_err(|error| failed(&error))?;
        ops.push(Op::Put { key: marker.clone(), value: Vec::new() });
        Ok(([Precondition::Is(row.key, row.version), Precondition::Absent(marker)], ops))
    }

    fn marker(&self, row: &RecordKey) -> Result<RecordKey, Refusal> {
        record([marker_head(self.migration.to)].into_iter().chain(row.components().iter().cloned()))
    }
}

impl State {
    async fn read(partition: &dyn Partition) -> Result<Self, Refusal> {
        let Some(row) = partition.get(&record([STATE.to_vec()])?).await? else {
            return Ok(Self { version: 1, sweeping: false, record: None });
        };
        let damaged =
            || Refusal::new(Reason::Internal).because("the version of a home's rows cannot be read");
        let [a, b, c, d, phase] = *row.value.as_slice() else { return Err(damaged()) };
        let sweeping = match phase {
            0 => false,
            1 => true,
            _ => return Err(damaged()),
        };
        Ok(Self { version: u32::from_be_bytes([a, b, c, d]), sweeping, record: Some(row.version) })
    }

    fn unchanged(&self) -> Result<Precondition, Refusal> {
        let key = record([STATE.to_vec()])?;
        Ok(self.record.map_or(Precondition::Absent(key.clone()), |version| Precondition::Is(key, version)))
    }

    async fn become_(&self, partition: &dyn Partition, next: Self) -> Result<(), Refusal> {
        let Self { version, sweeping, record: _ } = next;
        let value = [&version.to_be_bytes()[..], &[u8::from(sweeping)]].concat();
        let put = Op::Put { key: record([STATE.to_vec()])?, value };
        commit(partition, vec![self.unchanged()?], vec![put]).await
    }
}

fn marker_head(to: u32) -> Vec<u8> {
    [&b"\0step"[..], &to.to_be_bytes()].concat()
}

fn record(components: impl IntoIterator<Item = Vec<u8>>) -> Result<RecordKey, Refusal> {
    RecordKey::new(components).map_err(|error| Refusal::new(Reason::Internal).because(error))
}

/// Commits, or says that somebody else was at it: then whoever calls next reads what became of it.
async fn commit(
    partition: &dyn Partition,
    preconditions: Vec<Precondition>,
    ops: Vec<Op>,
) -> Result<(), Refusal> {
    let id = holdfast_keys::random_array().map_err(|error| Refusal::new(Reason::Internal).because(error))?;
    match partition.commit(CommandId::new(id), preconditions, ops).await? {
        CommitOutcome::Applied | CommitOutcome::Duplicate => Ok(()),
        CommitOutcome::Conflict => Err(not_ready("somebody else migrates the home")),
    }
}

fn not_ready(detail: &'static str) -> Refusal {
    Refusal::new(Reason::NotReady).because(detail)
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
