use futures::future::join_all;
use holdfast_sys_core::module::UPLOAD_TTL_MS;

use super::*;

#[tokio::test]
async fn the_usage_follows_every_change_exactly() {
    let client = client().await;
    let used = async || {
        let usage = client.usage().await;
        (usage.used_bytes, usage.files)
    };
    client.put(b"a", &[0; 100]).await.unwrap();
    client.put(b"b", &[0; 10]).await.unwrap();
    assert_eq!(used().await, (110, 2));
    client.put(b"a", &[0; 5]).await.unwrap();
    assert_eq!(used().await, (15, 2));
    client.upload(1, b"a", &content(300_000)).await.unwrap();
    assert_eq!(used().await, (300_010, 2));
    client.remove(b"a").await.unwrap();
    client.remove(b"b").await.unwrap();
    assert_eq!(used().await, (0, 0));
    assert_eq!(client.usage().await.quota_bytes, 1 << 30);
}

#[tokio::test]
async fn invariant_concurrent_writes_of_one_account_never_pass_the_quota_or_lose_count() {
    let client = client().await;
    client.home().state().quota_bytes = 1000;
    let names: Vec<_> = (0..40).map(|n| format!("f/{n}").into_bytes()).collect();
    let results = join_all(names.iter().map(|name| client.put(name, &[0; 100]))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    for result in results.into_iter().filter(Result::is_err) {
        assert_eq!(reason(result), Reason::QuotaExceeded);
    }
    let usage = client.usage().await;
    assert_eq!((usage.used_bytes, usage.files), (1000, 10));
    assert_eq!(client.list(b"f", 100).await.len(), 10);
}

#[tokio::test]
async fn uploads_under_way_count_until_they_end() {
    let client = client().await;
    client.home().state().quota_bytes = 1000;
    client.begin(UploadId::new([1; 16]), b"a", 900).await.unwrap();
    assert_eq!(reason(client.begin(UploadId::new([2; 16]), b"b", 200).await), Reason::QuotaExceeded);
    assert_eq!(reason(client.put(b"c", &[0; 200]).await), Reason::QuotaExceeded);
    client.home().state().now = holdfast_domain::UnixMs(UPLOAD_TTL_MS + 2000);
    client.put(b"c", &[0; 200]).await.unwrap();
    assert_eq!(client.home().stored(), (0, 0));
    client.begin(UploadId::new([2; 16]), b"b", 800).await.unwrap();
    assert_eq!(
        reason(client.begin(UploadId::new([3; 16]), b"d", u64::MAX as usize).await),
        Reason::QuotaExceeded
    );
}

#[tokio::test]
async fn a_conflict_is_tried_again_and_given_up_in_the_end() {
    let client = client().await;
    client.home().state().conflicts = 3;
    client.put(b"a", b"x").await.unwrap();
    client.home().state().conflicts = 4;
    assert_eq!(reason(client.put(b"a", b"y").await), Reason::Conflict);
    assert_eq!(client.get(b"a", 0).await.unwrap().1, b"x");
}

#[tokio::test]
async fn two_writers_of_one_name_leave_one_file() {
    let client = client().await;
    let contents = [[1; 10], [2; 10], [3; 10], [4; 10]];
    let writes = join_all(contents.iter().map(|data| client.put(b"same", data))).await;
    assert!(writes.iter().all(Result::is_ok));
    let usage = client.usage().await;
    assert_eq!((usage.used_bytes, usage.files), (10, 1));
}
