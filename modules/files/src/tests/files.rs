use holdfast_domain::{Audience, MethodRule, OrgId};
use holdfast_sys_core::RuleTable;

use super::*;
use crate::limits::MAX_INLINE_BYTES;

#[tokio::test]
async fn a_small_file_is_read_back_with_what_was_promised() {
    let client = client().await;
    let written = client.put(b"a/b\xff", b"hello").await.unwrap();
    assert_eq!(client.get(b"a/b\xff", 0).await.unwrap(), (written.clone(), b"hello".to_vec()));
    assert_eq!(client.get(b"a/b\xff", 2).await.unwrap().1, b"llo");
    assert_eq!(client.get(b"a/b\xff", 5).await.unwrap().1, b"");
    assert_eq!(client.stat(b"a/b\xff").await.unwrap(), written);
    assert_eq!((written.size, written.sha256, written.modified_ms), (5, hash(b"hello"), 1000));
}

#[tokio::test]
async fn accounts_see_their_own_files_only_and_others_do_not_exist() {
    let (one, other) = {
        let one = client().await;
        let other = one.other(2);
        (one, other)
    };
    one.put(b"a", b"one").await.unwrap();
    assert_eq!(reason(other.get(b"a", 0).await), Reason::NotFound);
    assert_eq!(reason(other.stat(b"a").await), Reason::NotFound);
    assert_eq!(reason(other.remove(b"a").await), Reason::NotFound);
    assert!(other.list(b"", 10).await.is_empty());
    other.put(b"a", b"other").await.unwrap();
    assert_eq!(one.get(b"a", 0).await.unwrap().1, b"one");
}

#[tokio::test]
async fn what_a_request_lacks_or_overdoes_is_malformed() {
    let client = client().await;
    assert_eq!(reason(client.put(b"", b"x").await), Reason::Malformed);
    assert_eq!(reason(client.put(b"a\0", b"x").await), Reason::Malformed);
    assert_eq!(reason(client.put(b"a", &[0; MAX_INLINE_BYTES + 1]).await), Reason::Malformed);
    assert_eq!(reason(client.put_as(None, b"a", b"x").await), Reason::Malformed);
    let route = Some(Route { command_id: Bytes::from_static(b"short"), ..Route::default() });
    assert_eq!(reason(client.put_as(route, b"a", b"x").await), Reason::Malformed);
    assert_eq!(reason(client.list_page(b"", Bytes::new(), 1001).await), Reason::Malformed);
    client.put(b"a", &[0; MAX_INLINE_BYTES]).await.unwrap();
    assert_eq!(reason(client.get(b"a", MAX_INLINE_BYTES as u64 + 1).await), Reason::Malformed);
}

#[tokio::test]
async fn a_route_may_name_the_callers_own_home_and_strangers_homes_are_closed() {
    let own = client().await.at(AccountId::new([1; 16]).into());
    own.put(b"a", b"x").await.unwrap();
    for home in [AccountId::new([2; 16]).into(), OrgId::new(*own.account.as_bytes()).into()] {
        let stranger = own.other(1).at(home);
        assert_eq!(reason(stranger.put(b"a", b"x").await), Reason::NotPermitted);
        assert_eq!(reason(stranger.append(UploadId::new([5; 16]), 0, b"x", 1).await), Reason::NotPermitted);
        assert_eq!(reason(stranger.get(b"a", 0).await), Reason::NotPermitted);
    }
    let nobody = Some(Route { home: Some(Default::default()), ..own.route().unwrap() });
    assert_eq!(reason(own.put_as(nobody, b"a", b"x").await), Reason::Malformed);
}

#[tokio::test]
async fn a_small_file_with_another_hash_is_refused() {
    let client = client().await;
    let (route, name) = (client.route(), Bytes::from_static(b"a"));
    let request = PutSmallRequest { route, name, data: Bytes::from_static(b"x"), sha256: hash(b"y") };
    assert_eq!(reason(client.files().put_small(request).await), Reason::HashMismatch);
}

#[tokio::test]
async fn a_prefix_lists_whole_components_over_many_pages() {
    let client = client().await;
    client.home().state().page = 3;
    let deep = b"a/1/2/3/4/5/6/7/8".as_slice();
    let names: Vec<Vec<u8>> = (0..20).map(|n| format!("a/{n}").into_bytes()).collect();
    for name in names.iter().map(Vec::as_slice).chain([b"ab/1".as_slice(), b"a", deep]) {
        client.put(name, b"x").await.unwrap();
    }
    let mut under: Vec<_> = names.iter().cloned().chain([deep.to_vec()]).collect();
    under.sort();
    assert_eq!(client.list(b"a", 7).await, under);
    assert_eq!(client.list(b"", 1000).await.len(), 23);
    assert_eq!(client.list(b"a/1/2/3/4/5/6/7", 5).await, [deep]);
    assert_eq!(client.list(b"a/1/2/3/4/5/6/8", 5).await, Vec::<Vec<u8>>::new());
    assert_eq!(client.list(b"nowhere", 5).await, Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn a_listing_of_long_names_fits_a_message() {
    let client = client().await;
    for n in 0..400 {
        client.put(&[format!("{n:04}").as_bytes(), &[b'x'; 4092]].concat(), b"").await.unwrap();
    }
    let page = client.list_page(b"", Bytes::new(), 1000).await.unwrap();
    let bytes: usize = page.files.iter().map(|file| file.name.len() + 60).sum();
    assert!(bytes < 2 * 1024 * 1024 && !page.cursor.is_empty());
    assert_eq!(client.list(b"", 1000).await.len(), 400);
}

#[tokio::test]
async fn a_retried_write_answers_as_the_first_did() {
    let client = client().await;
    let route = client.route();
    client.home().state().lose_answer = true;
    assert_eq!(reason(client.put_as(route.clone(), b"a", b"x").await), Reason::NoQuorum);
    assert_eq!(client.put_as(route, b"a", b"x").await.unwrap().size, 1);
    assert_eq!(client.usage().await.files, 1);
    let route = client.route();
    client.home().state().lose_answer = true;
    assert_eq!(reason(client.remove_as(route.clone(), b"a").await), Reason::NoQuorum);
    client.remove_as(route, b"a").await.unwrap();
    assert_eq!(reason(client.remove(b"a").await), Reason::NotFound);
    assert_eq!(client.usage().await.files, 0);
}

#[test]
fn each_method_is_for_clients_and_under_a_check() {
    let table = RuleTable::from_descriptors(&[holdfast_files_api::DESCRIPTORS]).unwrap();
    let own: Vec<_> = table.methods().filter(|method| method.service == "holdfast.files.v1.Files").collect();
    assert_eq!(own.len(), 9);
    assert!(own.iter().all(|method| method.admits.audiences().eq([Audience::Client])));
    assert!(own.iter().all(|method| matches!(method.rule, MethodRule::Check(_))));
}
