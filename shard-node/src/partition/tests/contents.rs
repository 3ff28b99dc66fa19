//! Uploads, content, housekeeping and replicas' chunks.

use bytes::Bytes;
use holdfast_domain::{FileId, Reason, UploadId};
use holdfast_sys_core::{
    errors::Refusal,
    module::{CHUNK_BYTES, CommitOutcome, Content, ContentId, Op, Partition, UPLOAD_TTL_MS, UploadSpec},
};

use super::support::*;
use crate::{content::Housekeeping, machine::Table, partition::ShardGroup};

fn upload_id(number: u8) -> UploadId {
    UploadId::new([number; 16])
}

fn chunk(index: usize, len: usize) -> Bytes {
    let byte = |at: usize| u8::try_from((at * 31 + index * 7) % 251).unwrap();
    (0..len).map(byte).collect()
}

fn len_of(index: usize, size: usize) -> usize {
    (size - index * CHUNK_BYTES).min(CHUNK_BYTES)
}

async fn commit(home: &dyn Partition, op: Op) -> CommitOutcome {
    home.commit(fresh_id(), vec![], vec![op]).await.unwrap()
}

async fn begin(home: &dyn Partition, number: u8, size: usize) -> CommitOutcome {
    let size = u64::try_from(size).unwrap();
    commit(
        home,
        Op::BeginUpload(UploadSpec { upload: upload_id(number), size, tag: b"my-secret-tag".to_vec() }),
    )
    .await
}

async fn send(home: &dyn Partition, number: u8, index: usize, size: usize) -> Result<(), Refusal> {
    home.put_chunk(upload_id(number), u32::try_from(index).unwrap(), chunk(index, len_of(index, size))).await
}

async fn durable(home: &dyn Partition, number: u8) -> u64 {
    home.upload(upload_id(number)).await.unwrap().unwrap().durable_bytes
}

/// Begins, sends and publishes.
async fn store(home: &dyn Partition, number: u8, size: usize) -> FileId {
    assert_eq!(begin(home, number, size).await, CommitOutcome::Applied);
    for index in 0..size.div_ceil(CHUNK_BYTES) {
        send(home, number, index, size).await.unwrap();
    }
    let file = home.upload(upload_id(number)).await.unwrap().unwrap().file;
    assert_eq!(commit(home, Op::PublishUpload(upload_id(number))).await, CommitOutcome::Applied);
    file
}

async fn check(content: &dyn Content, size: usize) {
    assert_eq!(content.size(), u64::try_from(size).unwrap());
    let chunks = size.div_ceil(CHUNK_BYTES);
    for index in 0..chunks {
        let read = content.read_chunk(u32::try_from(index).unwrap()).await.unwrap();
        assert!(read == chunk(index, len_of(index, size)), "chunk {index}");
    }
    let past = content.read_chunk(u32::try_from(chunks).unwrap()).await.unwrap_err();
    assert_eq!(past.reason(), Reason::NotFound);
}

fn reason<T>(result: Result<T, Refusal>) -> Reason {
    result.map(|_| ()).unwrap_err().reason()
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_sent_in_any_order_published_read_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let (home, size) = (node.home(1).await, 3 * CHUNK_BYTES + 100);
    assert_eq!(reason(send(&*home, 1, 0, size).await), Reason::UploadUnknown);
    assert_eq!(begin(&*home, 1, size).await, CommitOutcome::Applied);
    assert_eq!(begin(&*home, 1, size).await, CommitOutcome::Conflict);
    let upload = home.upload(upload_id(1)).await.unwrap().unwrap();
    assert_eq!(
        (upload.size, upload.durable_bytes, &*upload.tag),
        (u64::try_from(size).unwrap(), 0, b"my-secret-tag".as_slice())
    );
    send(&*home, 1, 1, size).await.unwrap();
    assert_eq!(durable(&*home, 1).await, 0);
    send(&*home, 1, 0, size).await.unwrap();
    assert_eq!(durable(&*home, 1).await, 2 * 256 * 1024);
    check(&*home.open(ContentId::Staged(upload_id(1))).await.unwrap(), 2 * CHUNK_BYTES).await;
    // Again is fine, other content in its place is not.
    send(&*home, 1, 0, size).await.unwrap();
    assert_eq!(reason(home.put_chunk(upload_id(1), 0, chunk(5, CHUNK_BYTES)).await), Reason::Conflict);
    for (index, len) in [(2, 5), (3, 99), (3, CHUNK_BYTES), (4, 100), (4, 0)] {
        assert_eq!(reason(home.put_chunk(upload_id(1), index, chunk(0, len)).await), Reason::Malformed);
    }
    assert_eq!(commit(&*home, Op::PublishUpload(upload_id(1))).await, CommitOutcome::Conflict);
    send(&*home, 1, 3, size).await.unwrap();
    send(&*home, 1, 2, size).await.unwrap();
    assert_eq!(durable(&*home, 1).await, u64::try_from(size).unwrap());
    assert_eq!(reason(home.open(ContentId::Published(upload.file)).await), Reason::NotFound);
    assert_eq!(commit(&*home, Op::PublishUpload(upload_id(1))).await, CommitOutcome::Applied);
    assert_eq!(home.upload(upload_id(1)).await.unwrap(), None);
    assert_eq!(commit(&*home, Op::PublishUpload(upload_id(1))).await, CommitOutcome::Conflict);
    let content = home.open(ContentId::Published(upload.file)).await.unwrap();
    check(&*content, size).await;
    assert_eq!(reason(node.home(2).await.open(ContentId::Published(upload.file)).await), Reason::NotFound);

    assert_eq!(commit(&*home, Op::DropContent(upload.file)).await, CommitOutcome::Applied);
    assert_eq!(reason(home.open(ContentId::Published(upload.file)).await), Reason::NotFound);
    assert_eq!(reason(content.read_chunk(0).await), Reason::NotFound);
    assert_eq!(commit(&*home, Op::DropContent(upload.file)).await, CommitOutcome::Applied);
    assert!(node.shard.state().verify_digests().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_content_and_content_of_several_pages_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    for (number, size) in [(1, 0), (2, 1), (3, 257 * CHUNK_BYTES - 1)] {
        let file = store(&*home, number, size).await;
        check(&*home.open(ContentId::Published(file)).await.unwrap(), size).await;
        commit(&*home, Op::DropContent(file)).await;
    }
    // Pages and rows go with the next rounds.
    let mut housekeeping = Housekeeping::default();
    for _ in 0..2 {
        node.shard.maintain(&mut housekeeping).await.unwrap();
    }
    for table in [Table::Files, Table::Pages] {
        let left = node.shard.state().read().scan(
            table,
            &holdfast_store::KeyRange::all(),
            holdfast_store::ScanLimit::MAX,
        );
        assert_eq!(left.unwrap().rows, vec![]);
    }
    assert_eq!(node.shard.segments().stats().chunks, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_a_kill_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let (home, size) = (node.home(1).await, 4 * CHUNK_BYTES);
    let kept = store(&*home, 7, CHUNK_BYTES + 5).await;
    begin(&*home, 1, size).await;
    for index in 0..3 {
        send(&*home, 1, index, size).await.unwrap();
    }
    let image = image_of(dir.path());
    drop(home);
    node.stop().await;
    for folder in [dir.path(), image.path()] {
        let node = Node::start(folder).await;
        let home = node.home(1).await;
        assert_eq!(durable(&*home, 1).await, 3 * 256 * 1024);
        send(&*home, 1, 3, size).await.unwrap();
        let file = home.upload(upload_id(1)).await.unwrap().unwrap().file;
        assert_eq!(commit(&*home, Op::PublishUpload(upload_id(1))).await, CommitOutcome::Applied);
        node.shard.maintain(&mut Housekeeping::default()).await.unwrap();
        check(&*home.open(ContentId::Published(file)).await.unwrap(), size).await;
        check(&*home.open(ContentId::Published(kept)).await.unwrap(), CHUNK_BYTES + 5).await;
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_upload_is_gone_and_swept_and_live_content_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let kept = store(&*home, 7, CHUNK_BYTES + 5).await;
    for number in 1..=3 {
        begin(&*home, number, 2 * CHUNK_BYTES).await;
        send(&*home, number, 0, 2 * CHUNK_BYTES).await.unwrap();
    }
    commit(&*home, Op::DropUpload(upload_id(2))).await;
    assert_eq!(home.uploads().await.unwrap().len(), 2);
    node.wait(UPLOAD_TTL_MS - 1);
    begin(&*home, 4, 5).await;
    let mut housekeeping = Housekeeping::default();
    node.shard.maintain(&mut housekeeping).await.unwrap();
    assert_eq!(home.uploads().await.unwrap().len(), 3);
    node.wait(1);
    assert_eq!(home.upload(upload_id(1)).await.unwrap(), None);
    assert_eq!(reason(send(&*home, 1, 1, 2 * CHUNK_BYTES).await), Reason::UploadUnknown);
    assert_eq!(commit(&*home, Op::PublishUpload(upload_id(1))).await, CommitOutcome::Conflict);
    // An id that is taken again before it is swept begins anew.
    assert_eq!(begin(&*home, 3, 5).await, CommitOutcome::Applied);
    assert_eq!(durable(&*home, 3).await, 0);
    for _ in 0..3 {
        node.shard.maintain(&mut housekeeping).await.unwrap();
    }
    let left = home.uploads().await.unwrap();
    assert_eq!(
        left.iter().map(|upload| upload.upload).collect::<std::collections::BTreeSet<_>>(),
        [upload_id(3), upload_id(4)].into()
    );
    assert_eq!(node.shard.segments().stats().chunks, 2);
    check(&*home.open(ContentId::Published(kept)).await.unwrap(), CHUNK_BYTES + 5).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_that_were_lost_are_made_again_from_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let (kept, gone) = (store(&*home, 1, CHUNK_BYTES).await, store(&*home, 2, CHUNK_BYTES).await);
    commit(&*home, Op::DropContent(gone)).await;
    // As if the leader had died between the commands and the marks: chunks staged, and one that belongs to nobody.
    let segments = node.shard.segments();
    for (upload, staged) in [(gone, 1u8), (FileId::new([0xff; 16]), 2), (FileId::new([0; 16]), 3)] {
        let chunk = holdfast_store::segments::NewChunk {
            id: holdfast_store::segments::ChunkId([staged; 16]),
            upload: UploadId::new(*upload.as_bytes()),
            index: 0,
            state: holdfast_store::segments::ChunkState::Staged,
            staged_at: node.node.clock.now(),
        };
        segments.append(&chunk, b"sealed").unwrap();
    }
    let mut housekeeping = Housekeeping::default();
    node.shard.maintain(&mut housekeeping).await.unwrap();
    // A young chunk without a row may be ahead of the command that begins its file.
    assert_eq!(segments.stats().chunks, 2);
    node.wait(crate::limits::ORPHAN_GRACE_MS);
    node.shard.maintain(&mut housekeeping).await.unwrap();
    assert_eq!((segments.stats().chunks, segments.stats().staged), (1, 0));
    check(&*home.open(ContentId::Published(kept)).await.unwrap(), CHUNK_BYTES).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_uploads_in_one_home_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    for number in 0..64 {
        assert_eq!(begin(&*home, number, 1).await, CommitOutcome::Applied);
    }
    let spec = UploadSpec { upload: upload_id(99), size: 1, tag: vec![] };
    let refused = home.commit(fresh_id(), vec![], vec![Op::BeginUpload(spec.clone())]).await;
    assert_eq!(reason(refused), Reason::Overloaded);
    assert_eq!(home.uploads().await.unwrap().len(), 64);
    let large = Op::BeginUpload(UploadSpec { size: u64::MAX, ..spec });
    assert_eq!(reason(home.commit(fresh_id(), vec![], vec![large]).await), Reason::Malformed);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_fetches_the_chunks_that_manifests_name_and_no_others() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, target) = (Node::start(dir.path()).await, Node::start(other_dir.path()).await);
    let size = 2 * CHUNK_BYTES + 1;
    let file = store(&*source.home(1).await, 1, size).await;
    begin(&*source.home(1).await, 2, size).await;
    send(&*source.home(1).await, 2, 0, size).await.unwrap();
    install(&source, &target).await;

    let missing = target.shard.missing_chunks(10).await.unwrap();
    assert_eq!(missing.len(), 3);
    assert_eq!(target.shard.missing_chunks(2).await.unwrap().len(), 2);
    let mut first = source.shard.export_chunk(missing[0]).await.unwrap().unwrap();
    let sealed = std::mem::replace(&mut first.sealed, Bytes::from_static(b"another"));
    assert_eq!(reason(target.shard.import_chunk(first.clone()).await), Reason::HashMismatch);
    first.sealed = sealed;
    first.index += 1;
    assert_eq!(reason(target.shard.import_chunk(first).await), Reason::HashMismatch);
    for id in source.shard.chunk_ids().await.unwrap() {
        let chunk = source.shard.export_chunk(id).await.unwrap().unwrap();
        target.shard.import_chunk(chunk).await.unwrap();
    }
    target.shard.sync_chunks().await.unwrap();
    assert_eq!(target.shard.missing_chunks(10).await.unwrap(), vec![]);
    target.shard.maintain(&mut Housekeeping::default()).await.unwrap();
    let home = target.home(1).await;
    check(&*home.open(ContentId::Published(file)).await.unwrap(), size).await;
    // The upload under way goes on where it was.
    assert_eq!(durable(&*home, 2).await, 256 * 1024);
    source.stop().await;
    target.stop().await;
}

/// Gives one node's state to another, as a snapshot would.
async fn install(source: &Node, target: &Node) {
    let mut snapshot = Vec::new();
    source.shard.state().machine().snapshot().unwrap().write_to(&mut snapshot).unwrap();
    let mut machine = target.shard.state().machine();
    let meta = machine.load_meta().unwrap().unwrap();
    machine.install(&mut snapshot.as_slice(), &meta).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_grows_and_still_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let file = store(&*home, 1, 5).await;
    begin(&*home, 2, 5).await;
    // A reserve that no disk has.
    let options =
        holdfast_store::segments::SegmentOptions { reserve_bytes: u64::MAX / 2, ..Default::default() };
    let segments = holdfast_store::SegmentStore::open(&dir.path().join("full"), options).unwrap();
    let (raft, state) = (node.shard.raft().clone(), node.shard.state().clone());
    node.node.groups.insert(ShardGroup::open(raft, state, segments.into(), node.node.clock.clone()));
    let full = node.home(1).await;
    assert_eq!(reason(send(&*full, 2, 0, 5).await), Reason::DiskFull);
    let put = Op::Put { key: name(["a"]), value: vec![1] };
    assert_eq!(reason(full.commit(fresh_id(), vec![], vec![put]).await), Reason::DiskFull);
    assert!(full.get(&name(["a"])).await.is_ok());
    assert_eq!(commit(&*full, Op::DropContent(file)).await, CommitOutcome::Applied);
    node.stop().await;
}
