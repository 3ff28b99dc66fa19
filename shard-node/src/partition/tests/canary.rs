//! What must not be found in a node's data folder.

use holdfast_sys_core::module::{CHUNK_BYTES, Op, UploadSpec};

use super::support::*;
use crate::inspect;

const CANARIES: [&str; 4] =
    ["canary-file-name", "canary-small-content", "canary-upload-tag", "canary-large-content"];

fn found(dir: &std::path::Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let holds = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    };
    files(dir).into_iter().filter(holds).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_neither_names_nor_content_nor_keys_are_in_the_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let upload = holdfast_domain::UploadId::new([1; 16]);
    let content: bytes::Bytes = CANARIES[3].bytes().cycle().take(CHUNK_BYTES).collect();
    let spec = UploadSpec { upload, size: 256 * 1024, tag: CANARIES[2].into() };
    home.commit(fresh_id(), vec![], vec![Op::BeginUpload(spec)]).await.unwrap();
    home.put_chunk(upload, 0, content).await.unwrap();
    let put = Op::Put { key: name(["f", CANARIES[0]]), value: CANARIES[1].into() };
    home.commit(fresh_id(), vec![], vec![Op::PublishUpload(upload), put]).await.unwrap();
    node.shard.raft().snapshot_now(SOON).await.unwrap();
    let image = image_of(dir.path());
    node.stop().await;

    // A marker that is there shows that the search finds what there is.
    std::fs::write(image.path().join("marker"), [b"xx", CANARIES[0].as_bytes()].concat()).unwrap();
    assert_eq!(found(image.path(), CANARIES[0].as_bytes()), [image.path().join("marker")]);
    std::fs::remove_file(image.path().join("marker")).unwrap();

    let secrets = inspect::group_secrets(open_engine(image.path()), keys()).unwrap();
    assert_eq!((secrets.slots.len(), secrets.partitions.len()), (1, 1));
    let keys = secrets.expose_all();
    assert_eq!(keys.len(), 5);
    for folder in [dir.path(), image.path()] {
        for canary in CANARIES {
            assert!(found(folder, canary.as_bytes()).is_empty(), "{canary} in {}", folder.display());
        }
        for (kind, key) in &keys {
            assert!(found(folder, &key[..]).is_empty(), "{kind:?} in {}", folder.display());
        }
        assert!(found(folder, &[9; 32]).is_empty(), "the DMK");
        assert!(found(folder, account_id(1).as_bytes()).is_empty(), "the account");
    }
}
