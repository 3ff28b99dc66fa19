use std::os::unix::fs::PermissionsExt as _;

use holdfast_domain::{ClusterId, EkHash, NodeId, RootHash};

use super::*;

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
        zone: "rack-1".into(),
    }
}

fn sealed_in(path: &Path) {
    Folder::create(path, settings()).unwrap().seal_in().unwrap();
}

#[test]
fn a_folder_reads_back_what_was_sealed_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    sealed_in(&path);
    assert_eq!(Folder::open(&path, NodeRole::Node).unwrap().settings(), &settings());
}

#[test]
fn a_folder_of_somebody_is_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    sealed_in(&path);
    let error = Folder::create(&path, settings()).unwrap_err();
    assert!(matches!(error, FolderError::Exists { .. }), "{error}");
    assert!(error.to_string().contains(&settings().cluster.to_string()), "{error}");
}

#[test]
fn a_join_that_did_not_finish_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    drop(Folder::create(&path, settings()).unwrap());
    fs::remove_dir_all(path.join("sealed")).unwrap();
    assert!(matches!(Folder::open(&path, NodeRole::Node), Err(FolderError::Missing(_))));
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    sealed_in(&path);
    let _first = Folder::open(&path, NodeRole::Node).unwrap();
    assert!(matches!(Folder::open(&path, NodeRole::Node), Err(FolderError::InUse(_))));
}

#[test]
fn the_other_program_and_open_permissions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    sealed_in(&path);
    assert!(matches!(Folder::open(&path, NodeRole::Registry), Err(FolderError::Role { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let error = Folder::open(&path, NodeRole::Node).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
}

#[test]
fn an_unknown_setting_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    sealed_in(&path);
    let file = path.join(SETTINGS);
    let text = format!("skip_tpm = true\n{}", fs::read_to_string(&file).unwrap());
    fs::write(&file, text).unwrap();
    let error = Folder::open(&path, NodeRole::Node).unwrap_err();
    assert!(error.to_string().contains("skip_tpm"), "{error}");
}

#[test]
fn a_flipped_byte_is_reported_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let folder = Folder::create(&path, settings()).unwrap();
    folder.put("identity/list", &vec![1u8, 2, 3]).unwrap();
    assert_eq!(folder.get::<Vec<u8>>("identity/list").unwrap(), Some(vec![1, 2, 3]));
    fs::write(path.join("identity/list"), [9, 9, 9]).unwrap();
    let error = folder.get::<Vec<u8>>("identity/list").unwrap_err();
    assert!(error.to_string().contains("identity/list"), "{error}");
    assert_eq!(folder.get::<u32>("identity/none").unwrap(), None);
}

#[test]
fn a_part_of_another_folder_is_refused_and_both_owners_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    sealed_in(&ours);
    let other = Settings { cluster: ClusterId::new([9; 16]), ..settings() };
    Folder::create(&theirs, other.clone()).unwrap().seal_in().unwrap();
    fs::rename(ours.join("raft"), dir.path().join("kept")).unwrap();
    fs::rename(theirs.join("raft"), ours.join("raft")).unwrap();
    let error = Folder::open(&ours, NodeRole::Node).unwrap_err().to_string();
    for named in [settings().cluster.to_string(), other.cluster.to_string(), "ours/raft".to_owned()] {
        assert!(error.contains(&named), "{error}");
    }
    fs::remove_dir_all(ours.join("raft")).unwrap();
    fs::rename(dir.path().join("kept"), ours.join("raft")).unwrap();
    Folder::open(&ours, NodeRole::Node).unwrap();
    fs::write(ours.join("raft/owner.toml"), "?").unwrap();
    assert!(matches!(Folder::open(&ours, NodeRole::Node), Err(FolderError::Unowned(_))));
}

#[test]
fn a_part_that_is_put_aside_leaves_an_empty_one_of_the_same_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    sealed_in(&path);
    for round in ["first", "second"] {
        let folder = Folder::open(&path, NodeRole::Node).unwrap();
        fs::write(folder.part("state").join("db"), round).unwrap();
        let aside = folder.renew_part("state").unwrap();
        assert_eq!(fs::read_to_string(aside.join("db")).unwrap(), round);
        let state = fs::metadata(folder.part("state")).unwrap();
        assert_eq!(state.permissions().mode() & 0o777, 0o700);
        assert!(!folder.part("state").join("db").exists());
    }
    assert!(Folder::open(&path, NodeRole::Node).is_ok(), "it is still this machine's");
}
