//! Migrations that end at every step, and two at once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{AccountId, ClientId, FieldValue, Fields, UnixMs, UploadId};

use super::*;
use crate::{
    module::{Content, ContentId, Cursor, Page, Scan, Upload},
    query::{Entity as _, MessageSchema, RowKey},
    testing::MemoryHome,
};
use holdfast_sample_api::v1::NoteRow;
use prost::Message as _;

/// A partition whose commits fail from the given one on: as if the program had ended, before or after the commit took effect.
struct Failing {
    inner: Arc<dyn Partition>,
    left: AtomicU32,
    after: bool,
}

impl Failing {
    fn new(home: &Arc<MemoryHome>, commits: u32, after: bool) -> Self {
        Self { inner: home.partition(ClientId::new([1; 16])), left: AtomicU32::new(commits), after }
    }
}

#[async_trait]
impl Partition for Failing {
    fn home(&self) -> HomeId {
        self.inner.home()
    }
    fn quota_bytes(&self) -> u64 {
        self.inner.quota_bytes()
    }
    fn now(&self) -> UnixMs {
        self.inner.now()
    }
    async fn get(&self, key: &RecordKey) -> Result<Option<Row>, Refusal> {
        self.inner.get(key).await
    }
    async fn scan(&self, scan: &Scan, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Refusal> {
        self.inner.scan(scan, cursor, limit).await
    }
    async fn seen(&self, command: CommandId) -> Result<bool, Refusal> {
        self.inner.seen(command).await
    }
    async fn commit(
        &self,
        command: CommandId,
        preconditions: Vec<Precondition>,
        ops: Vec<Op>,
    ) -> Result<CommitOutcome, Refusal> {
        if self.left.load(Ordering::Relaxed) == 0 {
            if self.after {
                self.inner.commit(command, preconditions, ops).await?;
            }
            return Err(Reason::NoQuorum.into());
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
        self.inner.commit(command, preconditions, ops).await
    }
    async fn upload(&self, upload: UploadId) -> Result<Option<Upload>, Refusal> {
        self.inner.upload(upload).await
    }
    async fn uploads(&self) -> Result<Vec<Upload>, Refusal> {
        self.inner.uploads().await
    }
    async fn put_chunk(&self, upload: UploadId, index: u32, data: Bytes) -> Result<(), Refusal> {
        self.inner.put_chunk(upload, index, data).await
    }
    async fn open(&self, content: ContentId) -> Result<Arc<dyn Content>, Refusal> {
        self.inner.open(content).await
    }
}

fn kind() -> &'static dyn Kind {
    Box::leak(Box::new(
        MessageSchema::read(holdfast_sample_api::DESCRIPTORS, "holdfast.sample.v1.NoteRow").unwrap(),
    ))
}

/// Counts each row's steps, so that a row that is stepped twice shows; notes of `gone` are deleted.
fn count(bytes: &[u8]) -> Result<Option<Vec<u8>>, NotAnEntity> {
    let mut note = <NoteRow as prost::Message>::decode(bytes).unwrap();
    note.size += 1;
    note.author = format!("author {}", note.size);
    Ok((!note.tags.contains(&"gone".to_owned())).then(|| note.encode_to_vec()))
}

fn hard(_: &[u8]) -> Result<Option<Vec<u8>>, NotAnEntity> {
    Err(NotAnEntity { entity: "Note".to_owned(), detail: "no".to_owned() })
}

fn to(version: u32, step: Step) -> Migrations {
    let steps = (2..=version).map(|to| (Migration { to, table: "notes", step }, kind()));
    Migrations::new(version, steps.collect())
}

const ROWS: u8 = 70;

/// A home of the first version, each tenth note to go.
async fn old_home() -> Arc<MemoryHome> {
    let home = MemoryHome::new(AccountId::new([1; 16]));
    for id in 0..ROWS {
        let tags = if id % 10 == 0 { vec!["gone".to_owned()] } else { Vec::new() };
        let note = NoteRow { id: vec![id].into(), author: "author 0".to_owned(), tags, ..NoteRow::default() };
        let row = Row { key: name(id), value: Vec::new(), version: RowVersion { version: 0, etag: [0; 8] } };
        for op in rewritten(kind(), &row, Some(note.encode_to_vec())).unwrap() {
            let Op::Put { key, value } = op else { panic!("{op:?}") };
            home.plant(key, value);
        }
    }
    home
}

fn name(id: u8) -> RecordKey {
    let key = RowKey::new([FieldValue::Text(format!("{id:02x}"))]).unwrap();
    let [FieldValue::Text(text)] = key.values() else { panic!("{key:?}") };
    RecordKey::new([b"notes".to_vec(), [b"t", text.as_bytes()].concat()]).unwrap()
}

/// Every row was stepped so often, what was to go is gone, indexes are exact, no marker is left, and the home is of this version.
fn assert_migrated(home: &MemoryHome, version: u32) {
    let (mut notes, mut index, mut states) = (0, 0, 0);
    for row in home.records() {
        match row.key.components()[0].as_slice() {
            b"notes" => {
                let note = <NoteRow as prost::Message>::decode(row.value.as_slice()).unwrap();
                assert_eq!(note.size, u64::from(version - 1), "each row is stepped once");
                let author: Fields = note.fields();
                assert_eq!(author["author"], FieldValue::Text(format!("author {}", version - 1)));
                notes += 1;
            }
            STATE => {
                assert_eq!(row.value, [&version.to_be_bytes()[..], &[0]].concat());
                states += 1;
            }
            head if head.starts_with(b"notes\0") => {
                assert_eq!(row.key.components()[1], format!("tauthor {}", version - 1).as_bytes());
                index += 1;
            }
            head => panic!("{head:?} is left"),
        }
    }
    assert_eq!((notes, index, states), (63, 63, 1));
}

#[tokio::test]
async fn a_home_of_an_earlier_version_is_migrated_before_it_is_opened() {
    let home = old_home().await;
    let partition = home.partition(ClientId::new([1; 16]));
    to(4, count).ready(&*partition).await.unwrap();
    assert_migrated(&home, 4);
}

#[tokio::test]
async fn a_migration_that_ends_at_any_commit_goes_on_where_it_was() {
    for after in [false, true] {
        let mut ended = 0;
        for commits in 0.. {
            let home = old_home().await;
            let refused = to(3, count).ready(&Failing::new(&home, commits, after)).await;
            if refused.is_ok() {
                break;
            }
            ended += 1;
            // Once more it ends soon, and then another program comes to the end.
            let _ = to(3, count).ready(&Failing::new(&home, 1, after)).await;
            to(3, count).ready(&*home.partition(ClientId::new([2; 16]))).await.unwrap();
            assert_migrated(&home, 3);
        }
        assert!(ended >= 10, "{ended}");
    }
}

#[tokio::test]
async fn several_programs_and_callers_at_once_step_each_row_once() {
    let home = old_home().await;
    let programs = [to(3, count), to(3, count)];
    let open = |program: usize, caller: u8| {
        let partition = home.partition(ClientId::new([caller; 16]));
        let program = &programs[program];
        async move {
            // Who meets another program at work comes again, as clients do.
            while let Err(refusal) = program.ready(&*partition).await {
                assert_eq!(refusal.reason(), Reason::NotReady);
                tokio::task::yield_now().await;
            }
        }
    };
    futures::future::join_all((0..12).map(|caller| open(usize::from(caller % 2), caller))).await;
    assert_migrated(&home, 3);
}

#[tokio::test]
async fn an_earlier_program_lets_nobody_into_a_later_home() {
    let home = old_home().await;
    let partition = home.partition(ClientId::new([1; 16]));
    to(3, count).ready(&*partition).await.unwrap();
    let before = home.records();
    for earlier in [1, 2] {
        assert_eq!(to(earlier, count).ready(&*partition).await.unwrap_err().reason(), Reason::NotReady);
    }
    assert_eq!(home.records(), before);
}

/// Serves the sample as version 2 with these ways to it.
async fn build(steps: &'static [Migration]) -> Result<crate::PlatformServer, crate::server::StartError> {
    let text = include_str!("../../../sample-api/holdfast/sample/v1/sample.proto");
    let text = text.replace("tablespace: \"sample\"", "tablespace: \"sample\", version: 2");
    let set: &'static [u8] = crate::rules::tests::compiled("sample.proto", &text).leak();
    let gated = crate::gate::Gated {
        module: "sample",
        policies: "permit(principal, action, resource);",
        host: crate::testing::MemoryHost::empty(),
        standings: crate::testing::Standings::none(),
    };
    crate::PlatformServer::builder(
        crate::testing::TRUST_DOMAIN.parse().unwrap(),
        crate::BanList::new(),
        holdfast_certs::PinnedPeers::none(),
        crate::Clock::new(|| UnixMs(0)),
    )
    .descriptors(set)
    .service(Unserved)
    .module(gated)
    .migrations("sample", steps)
    .build()
    .await
}

/// The name of the sample's service, and nothing else of it.
#[derive(Clone)]
struct Unserved;

impl tonic::server::NamedService for Unserved {
    const NAME: &'static str = "holdfast.sample.v1.Samples";
}

impl tower_service::Service<http::Request<tonic::body::Body>> for Unserved {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<tonic::body::Body>) -> Self::Future {
        std::future::pending()
    }
}

#[tokio::test]
async fn a_version_that_no_way_leads_to_and_ways_that_lead_nowhere_stop_the_start() {
    const WAY: Migration = Migration { to: 2, table: "notes", step: count };
    assert!(build(&[WAY]).await.is_ok());
    for (steps, named) in [
        (&[][..], "no way leads to version 2"),
        (&[Migration { to: 3, ..WAY }][..], "no version 3"),
        (&[WAY, Migration { to: 1, ..WAY }][..], "no version 1"),
        (&[Migration { table: "note", ..WAY }][..], "a table note"),
    ] {
        let refused = build(steps).await.err().unwrap().to_string();
        assert!(refused.contains(named), "{refused}");
    }
}

#[tokio::test]
async fn a_module_without_versions_leaves_nothing_in_its_homes() {
    let home = MemoryHome::new(AccountId::new([1; 16]));
    to(1, count).ready(&*home.partition(ClientId::new([1; 16]))).await.unwrap();
    assert!(home.records().is_empty());
}

#[tokio::test]
async fn a_row_that_cannot_be_stepped_keeps_its_home_closed_and_whole() {
    let home = old_home().await;
    let before = home.records();
    let refused = to(2, hard).ready(&*home.partition(ClientId::new([1; 16]))).await.unwrap_err();
    assert_eq!((refused.reason(), home.records()), (Reason::NotReady, before));
}
