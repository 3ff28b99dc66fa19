//! The SDK against servers that fail on request.

mod fakes;
mod routing;
mod voters;

use std::{os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use fakes::Fake;
pub(crate) use fakes::Fault;
use holdfast_domain::{OrgId, Reason, RootHash};
use holdfast_keys::{OneTime, OneTimeKind};

use crate::{
    Client, Error, ErrorKind, Registering,
    config::{Context, ContextKind},
    files::{FileError, FileName, Files, GetTree, PutTree, Target, TreeEvent},
};

const PATIENCE: Duration = Duration::from_secs(5);
/// Three chunks and a bit.
const LARGE: usize = 800_001;

pub(crate) struct Bench {
    pub(crate) fake: Fake,
    dir: tempfile::TempDir,
    pub(crate) client: Client,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let fake = Fake::start().await;
        let dir = tempfile::tempdir().unwrap();
        let client = register(&fake, &dir.path().join("client"), fake.root_hash()).await.unwrap();
        Self { fake, dir, client }
    }

    pub(crate) fn files(&self) -> Files {
        self.client.files()
    }

    fn local(&self, name: &str, content: &[u8]) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn put(&self, content: &[u8]) -> Result<crate::files::File, Error> {
        self.files().put(&name("n"), &self.local("source", content), &|_| ()).await
    }

    async fn get(&self) -> Result<Vec<u8>, Error> {
        let target = self.dir.path().join("target");
        self.files().get(&name("n"), Target::File(target.clone()), &|_| ()).await?;
        Ok(std::fs::read(target).unwrap())
    }

    pub(crate) fn calls(&self, of: &str) -> usize {
        self.fake.state().calls.iter().filter(|call| **call == of).count()
    }
}

async fn register(fake: &Fake, dir: &Path, root_hash: RootHash) -> Result<Client, Error> {
    let invite = OneTime::generate(OneTimeKind::Invite).unwrap();
    let registries = vec!["127.0.0.1:1".parse().unwrap(), fake.registry_address().parse().unwrap()];
    Client::init(Registering { registries, root_hash, invite: &invite, dir, patience: PATIENCE }).await
}

fn name(text: &str) -> FileName {
    FileName::new(text.as_bytes().to_vec()).unwrap()
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[tokio::test]
async fn a_client_registers_past_a_dead_registry_and_opens_again() {
    let bench = Bench::new().await;
    let info = bench.client.info();
    assert_eq!(info.quota_bytes, 1 << 30);
    let context = Context {
        kind: ContextKind::Client,
        registries: vec![bench.fake.registry_address().parse().unwrap()],
        root_hash: bench.fake.root_hash(),
        credential: bench.dir.path().join("client"),
    };
    let again = Client::open(&context, PATIENCE).await.unwrap();
    assert_eq!(again.info().description.client, info.description.client);
    again.files().usage().await.unwrap();
    let twice = register(&bench.fake, &context.credential, bench.fake.root_hash()).await;
    assert!(matches!(twice, Err(Error::Credential(_))));
}

#[tokio::test]
async fn another_root_than_the_pinned_one_is_refused_at_once() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let error = register(&fake, &dir.path().join("c"), RootHash::new([1; 32])).await.err().unwrap();
    // The dead registry comes first and is tried again; the live one is no question of patience.
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    assert!(!dir.path().join("c").exists());
}

#[tokio::test]
async fn small_and_large_files_come_back_as_they_were() {
    let bench = Bench::new().await;
    for len in [0, 1, 16 * 1024, 16 * 1024 + 1, LARGE] {
        let file = bench.put(&content(len)).await.unwrap();
        assert_eq!(file.size, u64::try_from(len).unwrap());
        assert_eq!(bench.get().await.unwrap(), content(len));
    }
    assert_eq!((bench.calls("put_small"), bench.calls("commit")), (3, 2));
    let left = std::fs::read_dir(bench.dir.path().join("client/uploads")).unwrap().count();
    assert_eq!(left, 0, "finished uploads are forgotten");
}

#[tokio::test]
async fn every_call_about_an_organisations_files_names_its_home() {
    let bench = Bench::new().await;
    let org = OrgId::new([7; 16]);
    let files = bench.client.files_of(org.into());
    for len in [1, LARGE] {
        files.put(&name("n"), &bench.local("source", &content(len)), &|_| ()).await.unwrap();
        let target = Target::File(bench.dir.path().join("target"));
        files.get(&name("n"), target, &|_| ()).await.unwrap();
    }
    files.list(b"").next_page().await.unwrap();
    files.usage().await.unwrap();
    files.remove(&name("n")).await.unwrap();
    let homes = std::mem::take(&mut bench.fake.state().homes);
    assert!(homes.len() >= 9 && homes.iter().all(|home| *home == Some(org.into())), "{homes:?}");
    bench.files().usage().await.unwrap();
    assert_eq!(bench.fake.state().homes, [None]);
}

#[tokio::test]
async fn an_upload_that_breaks_goes_on_where_it_was_durable() {
    let bench = Bench::new().await;
    bench.fake.fail_with([Fault::CutAppend(300_000), Fault::CutAppend(600_000)]);
    bench.put(&content(LARGE)).await.unwrap();
    assert_eq!(bench.get().await.unwrap(), content(LARGE));
    assert_eq!(bench.fake.state().appended, LARGE, "nothing durable was sent twice");
}

#[tokio::test]
async fn an_upload_whose_home_moves_before_the_commit_is_sent_again() {
    let bench = Bench::new().await;
    bench.fake.fail_with([Fault::LeaveBehind]);
    bench.put(&content(LARGE)).await.unwrap();
    assert_eq!(bench.get().await.unwrap(), content(LARGE));
    assert_eq!(bench.fake.state().appended, 2 * LARGE);
}

#[tokio::test]
async fn an_upload_goes_on_in_a_later_process() {
    let bench = Bench::new().await;
    bench.fake.fail_with([Fault::CutAppend(500_000), Fault::Refuse(Reason::Banned)]);
    assert!(bench.put(&content(LARGE)).await.is_err());
    let before = bench.fake.state().appended;
    assert!((500_000..LARGE).contains(&before));
    let source = bench.dir.path().join("source");
    bench.files().put(&name("n"), &source, &|_| ()).await.unwrap();
    assert_eq!(bench.fake.state().appended, LARGE);
    assert_eq!(bench.get().await.unwrap(), content(LARGE));
}

#[tokio::test]
async fn an_upload_that_the_service_forgot_begins_anew() {
    let bench = Bench::new().await;
    bench.fake.fail_with([Fault::CutAppend(300_000), Fault::Refuse(Reason::UploadUnknown)]);
    bench.put(&content(LARGE)).await.unwrap();
    assert_eq!(bench.get().await.unwrap(), content(LARGE));
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_and_a_wrong_content_is_never_kept() {
    let bench = Bench::new().await;
    bench.put(&content(LARGE)).await.unwrap();
    bench.fake.fail_with([Fault::CutGet(300_000), Fault::CutGet(0), Fault::CutGet(200_000)]);
    assert_eq!(bench.get().await.unwrap(), content(LARGE));
    let target = bench.local("target", b"the old content");
    bench.fake.fail_with([Fault::Corrupt]);
    assert!(matches!(bench.get().await, Err(Error::File(FileError::Hash { .. }))));
    assert_eq!(std::fs::read(target).unwrap(), b"the old content");
    let names: Vec<_> =
        std::fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.as_bytes().ends_with(b".part")), "{names:?}");
}

#[tokio::test]
async fn a_stale_map_is_replaced_by_the_attached_one_under_the_same_command() {
    let bench = Bench::new().await;
    bench.put(b"x").await.unwrap();
    let resolved = bench.calls("resolve");
    bench.fake.state().commands.clear();
    bench.fake.fail_with([Fault::StaleMap]);
    bench.put(b"y").await.unwrap();
    assert_eq!(bench.calls("resolve"), resolved, "the attached map was enough");
    let commands = bench.fake.state().commands.clone();
    assert_eq!(commands.len(), 2);
    assert_eq!(commands[0], commands[1]);
    assert_eq!(bench.client.info().map_epoch.0, 2);
}

#[tokio::test]
async fn passing_refusals_are_waited_out_and_final_ones_are_not() {
    let bench = Bench::new().await;
    bench.fake.fail_with([Fault::Refuse(Reason::NoQuorum), Fault::Refuse(Reason::Overloaded)]);
    bench.put(b"x").await.unwrap();
    let tried = bench.calls("put_small");
    assert_eq!(tried, 3);
    bench.fake.fail_with([Fault::Refuse(Reason::Banned)]);
    let error = bench.put(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused(Reason::Banned));
    assert_eq!(bench.calls("put_small"), tried + 1);
}

#[tokio::test]
async fn trees_go_there_and_back_and_bad_names_stay_out() {
    let bench = Bench::new().await;
    let tree = bench.dir.path().join("tree");
    std::fs::create_dir_all(tree.join("a/b")).unwrap();
    for at in 0..7 {
        std::fs::write(tree.join(format!("a/b/{at}")), content(at * 10_000)).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", tree.join("link")).unwrap();
    let put = PutTree { dir: tree.clone(), prefix: b"p".to_vec(), jobs: 4 };
    let report = bench.files().put_tree(&put, &|_| ()).await.unwrap();
    assert_eq!((report.files, report.failed, report.symlinks), (7, 0, 1));
    bench.fake.state().files.insert(b"p/../../evil".to_vec(), b"x".to_vec());
    let back = bench.dir.path().join("deep/back");
    let failed = std::sync::Mutex::new(Vec::new());
    let note = |event: &TreeEvent| {
        if let TreeEvent::Failed { what, .. } = event {
            failed.lock().unwrap().push(what.clone());
        }
    };
    let get = GetTree { prefix: b"p".to_vec(), dir: back.clone(), jobs: 4 };
    let report = bench.files().get_tree(&get, &note).await.unwrap();
    assert_eq!((report.files, report.failed), (7, 1));
    assert_eq!(*failed.lock().unwrap(), ["p/../../evil"]);
    assert!(!bench.dir.path().join("evil").exists());
    for at in 0..7 {
        assert_eq!(std::fs::read(back.join(format!("a/b/{at}"))).unwrap(), content(at * 10_000));
    }
    bench.fake.state().files.remove(b"p/../../evil".as_slice());
    let report = bench.files().remove_tree(b"p", 3, &|_| ()).await.unwrap();
    assert_eq!(report.files, 7);
    assert!(bench.fake.state().files.is_empty());
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_refusal_with_its_reason() {
    let bench = Bench::new().await;
    for error in [bench.get().await.err(), bench.files().stat(&name("n")).await.err()] {
        assert_eq!(error.unwrap().kind(), ErrorKind::Refused(Reason::NotFound));
    }
}
