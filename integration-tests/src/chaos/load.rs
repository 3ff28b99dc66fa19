//! Clients at work: small files of several accounts as registers, each call written down.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use holdfast_client::{
    Client, Error, ErrorKind,
    files::{FileName, Files},
};
use holdfast_domain::{Reason, Sha256Hash};
use holdfast_faults::{
    draw::Draw,
    history::{self, Operation, Recorder, Value},
};
use tokio::{runtime::Runtime, task::JoinHandle};

use crate::cluster::{Account, Cluster};

/// How long a call is tried. A scenario that must not fail a call takes less than this at any time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Registers of an account at a time.
const REGISTERS: usize = 4;
/// Calls of a client before it turns to new registers, so that no history grows long.
const CALLS_A_REGISTER: u64 = 120;
/// Longest pause between two calls of a client.
const PAUSE_MS: u64 = 60;
/// Unexpected errors that are kept for the report.
const KEPT_ERRORS: usize = 8;

/// The running clients.
pub struct Load {
    shared: Arc<Shared>,
    accounts: Vec<Account>,
    runtime: Runtime,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    recorder: Recorder,
    /// Which value a content is.
    contents: Mutex<HashMap<Sha256Hash, Value>>,
    stop: AtomicBool,
    answered: AtomicU64,
    lost: AtomicU64,
    errors: Mutex<Vec<String>>,
    folder: PathBuf,
}

/// Counts at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that were given up without an answer.
    pub lost: u64,
}

/// What a client works with.
struct Worker {
    shared: Arc<Shared>,
    number: u32,
    account: String,
    files: Files,
    draw: Draw,
    calls: u64,
}

impl Load {
    /// Starts this many clients for each account.
    ///
    /// # Errors
    /// A client cannot be opened.
    pub fn start(
        cluster: &Cluster,
        accounts: Vec<Account>,
        clients_each: u32,
        draw: &mut Draw,
    ) -> anyhow::Result<Self> {
        let folder = cluster.path("load");
        fs::create_dir_all(&folder).context("the folder of the load")?;
        let shared = Arc::new(Shared {
            recorder: Recorder::new(),
            contents: Mutex::default(),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            errors: Mutex::default(),
            folder,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut load = Self { shared, accounts, runtime, clients: vec![] };
        for number in 0..clients_each.saturating_mul(u32::try_from(load.accounts.len())?) {
            let at = usize::try_from(number)?.checked_rem(load.accounts.len()).unwrap_or(0);
            let account = load.accounts.get(at).context("no account")?;
            let client = load.open(cluster, account)?;
            let worker = Worker {
                shared: Arc::clone(&load.shared),
                number,
                account: account.context.clone(),
                files: client.files(),
                draw: Draw::new(draw.any()),
                calls: 0,
            };
            load.clients.push(load.runtime.spawn(worker.run()));
        }
        Ok(load)
    }

    fn open(&self, cluster: &Cluster, account: &Account) -> anyhow::Result<Client> {
        // Channels want to be made inside a runtime.
        let _inside = self.runtime.enter();
        cluster.client(account, PATIENCE)
    }

    /// Where things stand.
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { answered: of(&self.shared.answered), lost: of(&self.shared.lost) }
    }

    /// Errors that no fault explains: refusals, failures of the client.
    pub fn unexpected(&self) -> Vec<String> {
        self.shared.errors().clone()
    }

    /// Writes and reads once as each account, within the time: that everybody is served.
    ///
    /// # Errors
    /// Somebody is not.
    pub fn everybody_is_served(&self, cluster: &Cluster, within: Duration) -> anyhow::Result<()> {
        for account in &self.accounts {
            let client = self.open(cluster, account)?;
            let mut worker = self.worker(&client, account);
            let served = self.runtime.block_on(async {
                tokio::time::timeout(within, async {
                    while !worker.probe().await {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                })
                .await
            });
            if served.is_err() {
                let (within, last) = (within.as_secs(), self.unexpected().pop().unwrap_or_default());
                bail!("{} is not served within {within} s {last}", account.context);
            }
        }
        Ok(())
    }

    fn worker(&self, client: &Client, account: &Account) -> Worker {
        let (shared, files) = (Arc::clone(&self.shared), client.files());
        let account = account.context.clone();
        Worker { shared, number: u32::MAX, account, files, draw: Draw::new(0), calls: 0 }
    }

    /// Lets the clients end their calls.
    ///
    /// # Errors
    /// One of them panicked.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let clients = std::mem::take(&mut self.clients);
        self.runtime.block_on(async {
            for client in clients {
                client.await.context("a client of the load")?;
            }
            Ok(())
        })
    }

    /// Reads what there is after the last call, and judges all that the clients saw.
    ///
    /// # Errors
    /// Something was lost, is there unasked, or cannot be explained; or not everything can be read.
    pub fn judge(mut self, cluster: &Cluster) -> anyhow::Result<Counts> {
        self.stop()?;
        let mut found = BTreeMap::new();
        for account in &self.accounts {
            let client = self.open(cluster, account)?;
            let worker = self.worker(&client, account);
            self.runtime.block_on(worker.read_all(&mut found)).context("the last readings")?;
        }
        let history = self.shared.recorder.history();
        judge(&history, &found)?;
        let unexpected = self.unexpected();
        if !unexpected.is_empty() {
            bail!("errors that no fault explains:\n{}", unexpected.join("\n"));
        }
        Ok(self.counts())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.clients.iter().for_each(JoinHandle::abort);
    }
}

fn judge(history: &[Operation], found: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    let faults = history::check(history);
    let ends = history::check_end(history, found);
    if faults.is_empty() && ends.is_empty() {
        return Ok(());
    }
    let faults = faults.iter().map(ToString::to_string);
    let all: Vec<_> = faults.chain(ends.iter().map(ToString::to_string)).take(KEPT_ERRORS).collect();
    bail!("the history of {} calls does not hold:\n{}", history.len(), all.join("\n"))
}

impl Shared {
    fn errors(&self) -> MutexGuard<'_, Vec<String>> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contents(&self) -> MutexGuard<'_, HashMap<Sha256Hash, Value>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// A call without a good answer. Silence is what faults bring about; anything else is kept for the report.
    fn lost(&self, what: &str, error: &Error) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        let silent = error.kind() == ErrorKind::Unavailable || matches!(error, Error::Unknown { .. });
        let mut errors = self.errors();
        if !silent && errors.len() < KEPT_ERRORS {
            errors.push(format!("{what}: {}", holdfast_domain::causes(error)));
        }
    }
}

/// What a value looks like: mostly small, now and then a few rows or chunks.
fn content(value: Value) -> Vec<u8> {
    let times = match value.0 % 50 {
        0 => 4_000,
        1..5 => 300,
        _ => 1 + usize::try_from(value.0 % 30).unwrap_or(0),
    };
    value.0.to_be_bytes().repeat(times)
}

impl Worker {
    async fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let key = self.key();
            match self.draw.below(20) {
                0..9 => drop(self.put(&key).await),
                9..11 => self.delete(&key).await,
                _ => drop(self.read(&key).await),
            }
            self.calls += 1;
            tokio::time::sleep(Duration::from_millis(1 + self.draw.below(PAUSE_MS))).await;
        }
    }

    /// All clients of an account turn to new registers at about the same time.
    fn key(&mut self) -> String {
        let era = self.calls / CALLS_A_REGISTER;
        format!("{}/{era}/{}", self.account, self.draw.index(REGISTERS))
    }

    fn name(key: &str) -> Option<FileName> {
        FileName::new(key.as_bytes().to_vec()).ok()
    }

    /// Writes something nobody else writes, and reads it back.
    async fn probe(&mut self) -> bool {
        let key = format!("{}/probe", self.account);
        self.put(&key).await && self.read(&key).await
    }

    async fn put(&mut self, key: &str) -> bool {
        let Some(name) = Self::name(key) else { return false };
        let value = self.shared.recorder.new_value();
        let bytes = content(value);
        self.shared.contents().insert(Sha256Hash::of(&bytes), value);
        let file = self.shared.folder.join(format!("{}-{}", self.account, self.number));
        if fs::write(&file, &bytes).is_err() {
            return false;
        }
        let call = self.shared.recorder.put(self.number, key, value);
        match self.files.put(&name, &file, &|_| {}).await {
            Ok(_) => {
                call.acknowledged();
                self.shared.answered();
                true
            }
            Err(error) => {
                call.lost();
                self.shared.lost(&format!("put {key}"), &error);
                false
            }
        }
    }

    async fn delete(&mut self, key: &str) {
        let Some(name) = Self::name(key) else { return };
        let call = self.shared.recorder.delete(self.number, key);
        match self.files.remove(&name).await {
            Ok(()) => call.acknowledged(),
            // There was none: then it is deleted.
            Err(error) if error.kind() == ErrorKind::Refused(Reason::NotFound) => call.acknowledged(),
            Err(error) => {
                call.lost();
                return self.shared.lost(&format!("delete {key}"), &error);
            }
        }
        self.shared.answered();
    }

    async fn read(&mut self, key: &str) -> bool {
        let Some(name) = Self::name(key) else { return false };
        let call = self.shared.recorder.read(self.number, key);
        match self.files.stat(&name).await {
            Ok(file) => {
                // A content that nobody put is a value that nobody put.
                let value = self.shared.contents().get(&file.sha256).copied().unwrap_or(Value(u64::MAX));
                call.answered(Some(value));
            }
            Err(error) if error.kind() == ErrorKind::Refused(Reason::NotFound) => call.answered(None),
            Err(error) => {
                call.lost();
                self.shared.lost(&format!("read {key}"), &error);
                return false;
            }
        }
        self.shared.answered();
        true
    }

    /// All files of the account, with their contents.
    async fn read_all(mut self, found: &mut BTreeMap<String, Value>) -> anyhow::Result<()> {
        let mut listing = self.files.list(b"");
        let mut names = Vec::new();
        while let Some(page) = listing.next_page().await? {
            names.extend(page.into_iter().map(|file| file.name));
        }
        for name in names {
            let key = String::from_utf8_lossy(name.as_bytes()).into_owned();
            if !self.read(&key).await {
                bail!("{key} is listed and cannot be read");
            }
            let to = self.shared.folder.join(format!("{}-last", self.account));
            self.files.get(&name, holdfast_client::files::Target::File(to.clone()), &|_| {}).await?;
            let value = value_of(&to, &self.shared)?;
            found.insert(key, value);
        }
        Ok(())
    }
}

fn value_of(file: &Path, shared: &Shared) -> anyhow::Result<Value> {
    let bytes = fs::read(file).context("reading what was fetched")?;
    Ok(shared.contents().get(&Sha256Hash::of(&bytes)).copied().unwrap_or(Value(u64::MAX)))
}
