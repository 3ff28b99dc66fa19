use holdfast_sys_core::{
    limits::MAX_UPLOADS,
    module::{CHUNK_BYTES, UPLOAD_TTL_MS},
};

use super::*;
use crate::limits::MAX_DATA_BYTES;

const ID: UploadId = UploadId::new([5; 16]);

#[tokio::test]
async fn contents_of_every_shape_are_read_back_whole_and_from_any_offset() {
    let client = client().await;
    let sizes = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7];
    for (upload, size) in (1..).zip(sizes) {
        let data = content(size);
        let name = format!("dir/{size}").into_bytes();
        let file = client.upload(upload, &name, &data).await.unwrap();
        assert_eq!(client.get(&name, 0).await.unwrap(), (file, data.clone()), "size {size}");
        for offset in [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 3].into_iter().filter(|at| *at <= size)
        {
            assert_eq!(
                client.get(&name, offset as u64).await.unwrap().1,
                data[offset..],
                "{size} from {offset}"
            );
        }
    }
}

#[tokio::test]
async fn an_upload_resumes_by_its_id_from_what_is_durable() {
    let client = client().await;
    let data = content(3 * CHUNK_BYTES + 7);
    assert_eq!(client.begin(ID, b"a", data.len()).await.unwrap(), 0);
    let first = client.append(ID, 0, &data[..CHUNK_BYTES + 5000], 70_000).await.unwrap();
    assert_eq!(first, CHUNK_BYTES as u64);
    assert_eq!(client.begin(ID, b"a", data.len()).await.unwrap(), first);
    assert_eq!(reason(client.append(ID, 0, &data, 70_000).await), Reason::Conflict);
    client.home().state().broken_from = Some(2);
    assert_eq!(reason(client.append(ID, first, &data[CHUNK_BYTES..], 70_000).await), Reason::NoQuorum);
    client.home().state().broken_from = None;
    let durable = client.begin(ID, b"a", data.len()).await.unwrap();
    assert_eq!(durable, 2 * CHUNK_BYTES as u64);
    assert_eq!(reason(client.commit(ID, hash(&data)).await), Reason::UploadIncomplete);
    assert_eq!(
        client.append(ID, durable, &data[2 * CHUNK_BYTES..], 70_000).await.unwrap(),
        data.len() as u64
    );
    client.commit(ID, hash(&data)).await.unwrap();
    assert_eq!(client.get(b"a", 0).await.unwrap().1, data);
}

#[tokio::test]
async fn an_upload_is_invisible_until_it_is_committed() {
    let client = client().await;
    let data = content(CHUNK_BYTES);
    client.begin(ID, b"a", data.len()).await.unwrap();
    client.append(ID, 0, &data, 70_000).await.unwrap();
    assert_eq!(reason(client.stat(b"a").await), Reason::NotFound);
    assert!(client.list(b"", 10).await.is_empty());
}

#[tokio::test]
async fn content_that_is_not_what_was_promised_never_becomes_visible() {
    let client = client().await;
    let data = content(2 * CHUNK_BYTES);
    client.begin(ID, b"a", data.len()).await.unwrap();
    client.append(ID, 0, &data, 70_000).await.unwrap();
    client.home().damage(ID, 1);
    assert_eq!(reason(client.commit(ID, hash(&data)).await), Reason::HashMismatch);
    assert_eq!(reason(client.stat(b"a").await), Reason::NotFound);
    // The id is free again, and with it the space.
    assert_eq!(client.home().stored(), (0, 0));
    client.upload(5, b"a", &data).await.unwrap();
}

#[tokio::test]
async fn a_retried_commit_answers_as_the_first_did() {
    let client = client().await;
    let data = content(CHUNK_BYTES);
    client.begin(ID, b"a", data.len()).await.unwrap();
    client.append(ID, 0, &data, 70_000).await.unwrap();
    let route = client.route();
    client.home().state().lose_answer = true;
    assert_eq!(reason(client.commit_as(route.clone(), ID, hash(&data)).await), Reason::NoQuorum);
    client.home().state().page = 1;
    let file = client.commit_as(route, ID, hash(&data)).await.unwrap();
    assert_eq!(file, client.stat(b"a").await.unwrap());
    assert_eq!(reason(client.commit(UploadId::new([6; 16]), hash(&data)).await), Reason::UploadUnknown);
}

#[tokio::test]
async fn a_replaced_or_removed_file_gives_up_its_content() {
    let client = client().await;
    client.upload(1, b"a", &content(CHUNK_BYTES)).await.unwrap();
    client.upload(2, b"a", &content(2 * CHUNK_BYTES)).await.unwrap();
    assert_eq!(client.home().stored(), (1, 0));
    client.put(b"a", b"small").await.unwrap();
    assert_eq!(client.home().stored(), (0, 0));
    client.upload(3, b"a", &content(CHUNK_BYTES)).await.unwrap();
    client.remove(b"a").await.unwrap();
    assert_eq!(client.home().stored(), (0, 0));
}

#[tokio::test]
async fn too_much_data_or_an_unknown_upload_is_refused() {
    let client = client().await;
    assert_eq!(reason(client.append(ID, 0, b"x", 1).await), Reason::UploadUnknown);
    client.begin(ID, b"a", 10).await.unwrap();
    assert_eq!(reason(client.append(ID, 0, &[0; 11], 11).await), Reason::Malformed);
    let piece = MAX_DATA_BYTES + 1;
    assert_eq!(reason(client.append(ID, 0, &vec![0; piece], piece).await), Reason::Malformed);
    assert_eq!(reason(client.begin(ID, b"b", 10).await), Reason::Malformed);
    assert_eq!(reason(client.begin(ID, b"a", 11).await), Reason::Malformed);
}

#[tokio::test]
async fn an_upload_that_sends_nothing_is_cut_off() {
    let mut client = client().await;
    client.be_patient(Duration::from_millis(50)).await;
    client.begin(ID, b"a", 10).await.unwrap();
    let upload_id = ID.as_bytes().to_vec().into();
    let head = AppendRequest { route: client.route(), upload_id, ..AppendRequest::default() };
    let messages = futures::StreamExt::chain(futures::stream::iter([head]), futures::stream::pending());
    assert_eq!(reason(client.send(messages).await), Reason::Overloaded);
}

#[tokio::test]
async fn an_upload_that_hardly_moves_is_cut_off() {
    let mut client = client().await;
    client.be_patient(Duration::from_millis(200)).await;
    client.begin(ID, b"a", 1000).await.unwrap();
    let upload_id = ID.as_bytes().to_vec().into();
    let head = AppendRequest { route: client.route(), upload_id, ..AppendRequest::default() };
    let bytes = futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((AppendRequest { data: vec![1].into(), ..AppendRequest::default() }, ()))
    });
    let messages = futures::StreamExt::chain(futures::stream::iter([head]), Box::pin(bytes));
    let received = tokio::time::timeout(Duration::from_secs(5), client.send(messages));
    assert_eq!(reason(received.await.unwrap()), Reason::Overloaded);
}

#[tokio::test]
async fn a_download_that_is_not_read_is_cut_off_and_gives_its_place_back() {
    let mut client = client().await;
    let data = content(5 * CHUNK_BYTES);
    client.upload(1, b"a", &data).await.unwrap();
    client.be_patient(Duration::from_millis(50)).await;
    let get = || GetRequest { route: client.route(), name: b"a".to_vec().into(), offset: 0 };
    let mut held = Vec::new();
    for _ in 0..crate::limits::MAX_TRANSFERS_PER_HOME {
        held.push(client.files().get(get()).await.unwrap().into_inner());
    }
    assert!(client.files().get(get()).await.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.get(b"a", 0).await.unwrap().1, data, "the others hold no place any more");
    let replies: Result<Vec<_>, _> = held.remove(0).try_collect().await;
    assert_eq!(reason(replies), Reason::Overloaded, "not taken for the end of the file");
}

#[tokio::test]
async fn expired_uploads_make_room_for_new_ones() {
    let client = client().await;
    let id = |n: usize| UploadId::new([u8::try_from(n).unwrap(); 16]);
    for n in 0..MAX_UPLOADS {
        client.begin(id(n), b"a", 10).await.unwrap();
    }
    assert_eq!(reason(client.begin(id(MAX_UPLOADS), b"a", 10).await), Reason::Overloaded);
    client.home().state().now = holdfast_domain::UnixMs(UPLOAD_TTL_MS + 2000);
    client.begin(id(MAX_UPLOADS), b"a", 10).await.unwrap();
    assert_eq!(client.home().stored(), (0, 1));
}
