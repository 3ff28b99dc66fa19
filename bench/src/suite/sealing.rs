//! Sealed records beside plain ones of the same size on the same engine: each operation writes one record and reads it back.

use anyhow::Context as _;
use bytes::Bytes;
use holdfast_domain::{AccountId, ClusterId, KeyGeneration, Slot};
use holdfast_keys::{LocatorKey, PartitionKeyring, aead::NonceBatch, random_array};
use holdfast_store::{
    Batch, Engine, SledEngine,
    engine::SledOptions,
    records::{
        Head, RecordCodec, RecordVersion, RowKind, StoredRecord, Tablespace, TablespaceSpec, partition_token,
    },
};

use super::Setting;
use crate::{
    figure::{Aim, Figure},
    measure::turns::{self, Count, Pair},
};

const TABLE: TablespaceSpec =
    TablespaceSpec { id: Tablespace(1), module: "files", name: "files", indexes: &[] };

/// Different records, so that pages split and caches miss as they do with real ones.
const RECORDS: u64 = 4096;

/// What happens to a write before it is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is made durable, as every acknowledged write is.
    Sync,
    /// Nothing: shows what sealing costs where no system call hides it.
    Nothing,
}

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let reference = "the same without sealing";
    let figure = |name: &str, size, then| {
        let Pair { ours, reference: plain } = measure(setting, size, then)?;
        anyhow::Ok(Figure::new(name, "us", ours).against(plain, reference))
    };
    Ok(vec![
        figure("sealed write and read, 256 B: CPU", 256, Then::Sync)?,
        figure("sealed write and read, 4 KiB: CPU", 4096, Then::Sync)?.aiming(Aim::RatioAtMost(1.1)),
        figure("sealed write and read, 256 B, not synced: CPU", 256, Then::Nothing)?,
        figure("sealed write and read, 4 KiB, not synced: CPU", 4096, Then::Nothing)?,
    ])
}

fn measure(setting: &Setting, size: usize, then: Then) -> anyhow::Result<Pair> {
    let path = |kind| setting.folder().join(format!("{kind}-{size}-{then:?}"));
    let open = |kind| SledEngine::open(&path(kind), &SledOptions::default());
    let (mut sealed, mut plain) = (Sealed::new(open("sealed")?, size)?, Plain::new(open("plain")?, size));
    // Without a sync, writing is left to threads of the engine, which catch up at any time.
    let count = if then == Then::Sync { Count::Process } else { Count::Thread };
    turns::compare(setting.span, count, &mut || sealed.operation(then), &mut || plain.operation(then))
}

/// Writes one record.
fn write(engine: &SledEngine, key: Bytes, value: Bytes, then: Then) -> anyhow::Result<()> {
    let mut batch = Batch::new();
    batch.put(key, value);
    engine.write(batch)?;
    if then == Then::Sync {
        engine.barrier()?;
    }
    Ok(())
}

/// The name of one of the records, as its module sees it.
fn components(number: u64) -> [Vec<u8>; 2] {
    [b"f".to_vec(), format!("folder/file-{:08}", number % RECORDS).into_bytes()]
}

/// Makes the body differ from all before: the engine does not write what is there already.
fn stamp(body: &mut [u8], number: u64) {
    for (to, from) in body.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
}

/// What policies and lists see of it.
const FIELDS: &[u8] = &[1; 56];

struct Sealed {
    engine: SledEngine,
    codec: RecordCodec,
    body: Vec<u8>,
    count: u64,
}

impl Sealed {
    fn new(engine: SledEngine, size: usize) -> anyhow::Result<Self> {
        let (cluster, home) = (ClusterId::new(random_array()?), AccountId::new(random_array()?));
        let partition = partition_token(&LocatorKey::generate()?, home);
        let keyring = PartitionKeyring::generate(KeyGeneration(1))?;
        let codec = RecordCodec::new(cluster, Slot::of_home(cluster, home), partition, &TABLE, &keyring);
        Ok(Self { engine, codec, body: vec![7; size], count: 0 })
    }

    fn operation(&mut self, then: Then) -> anyhow::Result<()> {
        self.count += 1;
        stamp(&mut self.body, self.count);
        let components = components(self.count);
        let key = self.codec.key(RowKind::PRIMARY, &components, b"")?;
        let head = Head { components: components.to_vec(), fields: FIELDS.to_vec() };
        let mut nonces = NonceBatch::draw(2)?;
        let record = self.codec.seal(&mut nonces, &key, RecordVersion(self.count), &head, &self.body)?;
        write(&self.engine, key.as_bytes().clone(), record.as_bytes().clone(), then)?;
        let read = self.engine.get(key.as_bytes())?.context("what was written is there")?;
        let opened = self.codec.open(&key, &StoredRecord::parse(read)?)?;
        anyhow::ensure!(opened.body.len() == self.body.len(), "what was written is not what was read");
        Ok(())
    }
}

struct Plain {
    engine: SledEngine,
    body: Vec<u8>,
    count: u64,
}

impl Plain {
    fn new(engine: SledEngine, size: usize) -> Self {
        Self { engine, body: vec![7; size], count: 0 }
    }

    fn operation(&mut self, then: Then) -> anyhow::Result<()> {
        self.count += 1;
        stamp(&mut self.body, self.count);
        let [kind, name] = components(self.count);
        // As long as a sealed record's key, and as well spread.
        let spread = (self.count % RECORDS).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let key = Bytes::from([&[0; 24], spread.as_slice(), &[0; 8], &kind, &name].concat());
        write(&self.engine, key.clone(), Bytes::from([FIELDS, &self.body].concat()), then)?;
        let read = self.engine.get(&key)?.context("what was written is there")?;
        anyhow::ensure!(
            read.len() == FIELDS.len() + self.body.len(),
            "what was written is not what was read"
        );
        Ok(())
    }
}
