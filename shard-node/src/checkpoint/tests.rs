use std::{fs, path::Path};

use holdfast_domain::{ClusterId, EkHash, GroupId, NodeId, NodeRole, ReplicaId, RootHash};
use holdfast_enrol::folder::Settings;
use holdfast_tpm_node::swtpm::SoftTpm;

use super::*;

const ONE: Held = (GroupId(1), ReplicaId(15_361));
const TWO: Held = (GroupId(2), ReplicaId(15_362));

/// A machine: its disk and its TPM.
struct Machine {
    dir: tempfile::TempDir,
    _soft: SoftTpm,
    tpm: Tpm,
}

fn settings() -> Settings {
    Settings {
        cluster: ClusterId::new([1; 16]),
        root: RootHash::new([2; 32]),
        node: NodeId::new([3; 16]),
        role: NodeRole::Node,
        ek: EkHash::new([4; 32]),
        replica: None,
        tpm: "device:/dev/tpmrm0".into(),
        listen: "127.0.0.1:7100".into(),
        advertise: "127.0.0.1:7100".into(),
        registries: vec!["127.0.0.1:7000".into()],
        zone: String::new(),
    }
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let soft = SoftTpm::fresh(&dir.path().join("ca"), &dir.path().join("tpm")).unwrap();
        let tpm = Tpm::open(&soft.tcti()).unwrap();
        Folder::create(&dir.path().join("data"), settings()).unwrap().seal_in().unwrap();
        Self { dir, _soft: soft, tpm }
    }

    async fn start(&self, stored: &[Held]) -> Checkpoints {
        let folder = Folder::open(&self.dir.path().join("data"), NodeRole::Node).unwrap();
        let stored = stored.iter().copied().collect();
        Checkpoints::open(Arc::new(folder), self.tpm.clone(), &local(), &stored).await.unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("data").join(files::CHECKPOINT)
    }

    fn image(&self) -> Vec<u8> {
        fs::read(self.file()).unwrap()
    }

    fn put_back(&self, image: &[u8]) {
        fs::write::<&Path, _>(&self.file(), image).unwrap();
    }
}

fn local() -> LocalKey {
    LocalKey::from_bytes([5; 32])
}

fn reached(held: Held, index: u64) -> BTreeMap<Held, Floor> {
    [(held, Floor { term: 1, index })].into()
}

#[tokio::test]
async fn invariant_an_older_disk_is_found_and_stays_found_until_its_replicas_are_gone() {
    let machine = Machine::new();
    let first = machine.start(&[]).await;
    first.refresh(&[ONE].into(), &reached(ONE, 5)).await.unwrap();
    assert_eq!(first.floor(ONE), Some(Floor { term: 1, index: 5 }));
    let image = machine.image();
    // Nothing new: the TPM is spared.
    first.refresh(&[ONE].into(), &reached(ONE, 5)).await.unwrap();
    assert_eq!(machine.image(), image);
    drop(first);
    drop(machine.start(&[ONE]).await);

    let newest = machine.image();
    machine.put_back(&image);
    let back = machine.start(&[ONE, TWO]).await;
    assert!(matches!(back.cause(ONE), Some(Cause::Behind { .. })));
    assert_eq!((back.floor(ONE), back.floor(TWO)), (Some(Floor::BEYOND), Some(Floor::BEYOND)));
    back.refresh(&[ONE, TWO].into(), &reached(TWO, 9)).await.unwrap();
    drop(back);
    // The mistake is noticed, and the newest disk is still the newest.
    machine.put_back(&newest);
    let right = machine.start(&[ONE]).await;
    assert_eq!((right.cause(ONE), right.floor(ONE)), (None, Some(Floor { term: 1, index: 5 })));
    drop(right);

    machine.put_back(&image);
    let back = machine.start(&[ONE]).await;
    // A later replica has nothing to do with it.
    back.refresh(&[ONE, TWO].into(), &BTreeMap::new()).await.unwrap();
    drop(back);
    let later = machine.start(&[ONE, TWO]).await;
    assert!(later.cause(ONE).is_some() && later.cause(TWO).is_none());
    drop(later);
    machine.put_back(&newest);
    assert!(machine.start(&[ONE]).await.cause(ONE).is_some());
}

#[tokio::test]
async fn invariant_a_crash_beside_the_count_condemns_nobody() {
    let machine = Machine::new();
    let stored = [ONE].into();
    for counts in [false, true] {
        let running = machine.start(if counts { &[ONE] } else { &[] }).await;
        running.announce(&stored, &reached(ONE, 7)).await.unwrap();
        if counts {
            running.tpm.count_up(running.name).await.unwrap();
        }
        drop(running);
        let again = machine.start(&[ONE]).await;
        assert_eq!(again.cause(ONE), None, "counted: {counts}");
        assert_eq!(again.floor(ONE), Some(Floor { term: 1, index: 7 }), "counted: {counts}");
    }
}

#[tokio::test]
async fn a_disk_without_a_checkpoint_is_no_way_around_it() {
    let machine = Machine::new();
    drop(machine.start(&[]).await);
    fs::remove_file(machine.file()).unwrap();
    assert_eq!(machine.start(&[ONE]).await.cause(ONE), Some(Cause::NoCheckpoint));
}

#[tokio::test]
async fn what_another_key_sealed_is_refused() {
    let machine = Machine::new();
    drop(machine.start(&[]).await);
    let folder = Arc::new(Folder::open(&machine.dir.path().join("data"), NodeRole::Node).unwrap());
    let other = LocalKey::from_bytes([6; 32]);
    let opened = Checkpoints::open(folder, machine.tpm.clone(), &other, &BTreeSet::new()).await;
    assert!(matches!(opened.err(), Some(CheckpointError::Seal(..))));
}
